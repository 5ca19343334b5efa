//! `create` by the library: what it costs a small process, and a large one with many threads.
//!
//! A process of its own does that, which says on standard output how long each took:
//!
//! ```text
//! benches create BUNDLE ID STATE MIB THREADS      a container for each line on standard input
//! ```

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use runtime_core::{Bundle, Stdio as ContainerStdio};

use crate::error::{Context, Error, Result};
use crate::measure::stop_if_interrupted;
use crate::order::Order;
use crate::samples::{Collected, Key, Samples, milliseconds};
use crate::scenario::Scenario;
use crate::sys::harness;
use crate::workplace::Workplace;

/// The callers: a name, the heap in MiB and the number of threads.
const CALLERS: [(&str, &str, &str); 2] = [(SMALL, "0", "1"), (LARGE, "1024", "64")];
pub(crate) const OPERATION: &str = "create by the library";
pub(crate) const SMALL: &str = "small";
pub(crate) const LARGE: &str = "large";

pub(crate) fn measure(workplace: &Workplace, runs: usize) -> Result<Vec<Samples>> {
    let mut callers = Vec::new();
    for caller in CALLERS {
        callers.push(Caller::start(workplace, caller)?);
    }
    for caller in &mut callers {
        caller.create()?;
    }
    let mut collected = Collected::default();
    let mut order = Order::new(callers.len());
    let key = Key::new(OPERATION, "hot", "ms");
    for _ in 0..runs {
        for &index in order.shuffle() {
            let time = callers[index].create()?;
            collected.record(&key, callers[index].name, milliseconds(time));
            stop_if_interrupted()?;
        }
    }
    Ok(collected.sorted(&[]))
}

/// A process that makes containers.
struct Caller {
    name: &'static str,
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Caller {
    fn start(
        workplace: &Workplace,
        (name, heap, threads): (&'static str, &str, &str),
    ) -> Result<Self> {
        let container = workplace.container("library", &format!("heap-{heap}"), Scenario::Heap)?;
        let own = std::env::current_exe().context("the bench's own path")?;
        let mut command = Command::new(own);
        command.arg("create").arg(&container.bundle);
        command
            .arg(&container.id)
            .arg(workplace.state_of("library"));
        command.args([heap, threads]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context(name)?;
        let output = child.stdout.take();
        let output = output.ok_or_else(|| Error::new("no standard output"))?;
        let output = BufReader::new(output);
        Ok(Self {
            name,
            child,
            output,
        })
    }

    fn create(&mut self) -> Result<Duration> {
        let input = self.child.stdin.as_mut();
        let input = input.ok_or_else(|| Error::new("no standard input"))?;
        input.write_all(b"\n").context(self.name)?;
        let mut line = String::new();
        self.output.read_line(&mut line).context(self.name)?;
        Ok(Duration::from_nanos(
            line.trim().parse().context(self.name)?,
        ))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        if let Err(error) = self.child.wait() {
            eprintln!("benches: {}: {error}", self.name);
        }
    }
}

/// `benches create`.
pub(crate) fn main(bundle: &Path, id: &str, state: &Path, heap: &str, threads: &str) -> Result<()> {
    harness::note_interrupts().context("signal handlers")?;
    let (heap, threads): (usize, usize) = (
        heap.parse().context("heap")?,
        threads.parse().context("threads")?,
    );
    // Each page is written to, so that it is there.
    let heap = std::hint::black_box(vec![1_u8; heap << 20]);
    for _ in 1..threads {
        thread::spawn(|| {
            loop {
                thread::park();
            }
        });
    }
    for line in std::io::stdin().lines() {
        line.context("standard input")?;
        let time = create(bundle, id, state).map_err(|error| Error::new(error.to_string()))?;
        println!("{}", time.as_nanos());
    }
    drop(heap);
    Ok(())
}

fn create(bundle: &Path, id: &str, state: &Path) -> runtime_core::Result<Duration> {
    let bundle = Bundle::load(bundle)?;
    let builder = runtime_core::Container::builder(id, bundle);
    let builder = builder.state_root(state).stdio(ContainerStdio::Null);
    let begin = Instant::now();
    let container = builder.create()?;
    let time = begin.elapsed();
    container.kill(libc::SIGKILL)?;
    container.wait()?;
    container.delete(false)?;
    Ok(time)
}
