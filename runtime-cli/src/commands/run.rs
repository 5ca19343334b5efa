//! `bareboat run`

use std::os::fd::OwnedFd;

use clap::Args;
use nix::sys::prctl;
use runtime_core::{Bundle, Container, ErrorKind, Readiness, Timings};

use super::launch::{Launch, wants_terminal};
use crate::cli::Globals;
use crate::failure::Result;
use crate::foreground::{self, Foreground};
use crate::notify::{self, Forwarding};
use crate::terminal::{HostConsole, Terminal};
use crate::timings::while_program_runs;

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Name of the new container, unique on this host
    #[arg(value_name = "CONTAINER")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) launch: Launch,
    /// Return when the container runs
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Keep the container when its process ended
    #[arg(long)]
    pub(crate) keep: bool,
    /// Leave processes that lose their parent to the system's init
    #[arg(long)]
    pub(crate) no_subreaper: bool,
}

impl Run {
    pub(crate) fn execute(self, globals: &Globals) -> Result<u8> {
        let file = &self.launch.timings;
        file.record(|timings| self.run(globals, timings))
    }

    fn run(&self, globals: &Globals, timings: Option<&Timings>) -> Result<u8> {
        let bundle = self.launch.load(timings)?;
        self.launch.check_terminal(&bundle, self.detach)?;
        if self.detach {
            return self.run_detached(bundle, globals, timings);
        }
        if !self.no_subreaper
            && let Err(cause) = prctl::set_child_subreaper(true)
        {
            tracing::warn!("become a subreaper: {cause}");
        }
        self.run_in_foreground(bundle, globals, timings)
    }

    // This and its sibling have large frames, on top of which the bundle need not be read.
    #[inline(never)]
    fn run_detached(
        &self,
        bundle: Bundle,
        globals: &Globals,
        timings: Option<&Timings>,
    ) -> Result<u8> {
        let builder = self.launch.builder(&self.id, bundle, globals, timings)?;
        if notify::supervisor().is_none() {
            builder.run()?;
            return Ok(0);
        }
        let container = builder.create()?;
        let readiness = listen_and_start(&container).inspect_err(|_| delete(&container))?;
        notify::forward_of_detached(&container, readiness);
        Ok(0)
    }

    #[inline(never)]
    fn run_in_foreground(
        &self,
        bundle: Bundle,
        globals: &Globals,
        timings: Option<&Timings>,
    ) -> Result<u8> {
        let terminal = wants_terminal(&bundle);
        let builder = self.launch.builder(&self.id, bundle, globals, timings)?;
        let foreground = Foreground::prepare()?;
        // The program finds the window's size and modes as they will be, and somebody who hears that it is ready.
        let starts_later = terminal || notify::supervisor().is_some();
        let mut container = if starts_later {
            builder.create()?
        } else {
            builder.run()?
        };
        let outcome = supervise(&mut container, foreground, starts_later, timings);
        if outcome.is_err() || !self.keep {
            delete(&container);
        }
        outcome
    }
}

fn delete(container: &Container) {
    match container.delete(true) {
        // Somebody else has done it.
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => tracing::warn!("{error}"),
        Ok(()) => {}
    }
}

fn listen_and_start(container: &Container) -> Result<Option<Readiness>> {
    let readiness = notify::listen(container)?;
    container.start()?;
    Ok(readiness)
}

/// Sees the container through to its end, from its start where that is yet to come.
fn supervise(
    container: &mut Container,
    foreground: Foreground,
    start: bool,
    timings: Option<&Timings>,
) -> Result<u8> {
    let process = process(container)?;
    let console = container
        .take_console()
        .map(|master| Terminal::new(master, HostConsole::find()))
        .transpose()?;
    let readiness = if start {
        listen_and_start(container)?
    } else {
        None
    };
    let forwarding = readiness.map(Forwarding::start).transpose()?;
    while_program_runs(timings, || foreground.supervise(process.as_ref(), console))?;
    if let Some(forwarding) = forwarding {
        forwarding.finish();
    }
    Ok(foreground::exit_code(container.wait()?))
}

/// The container's first process, if it has not ended already.
fn process(container: &Container) -> Result<Option<OwnedFd>> {
    match container.pidfd() {
        Err(error) if error.kind() == ErrorKind::NotRunning => Ok(None),
        pidfd => Ok(Some(pidfd?)),
    }
}
