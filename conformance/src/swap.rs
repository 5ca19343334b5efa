//! Exchanges two names again and again, while a runtime looks at one of them: the race behind most of the ways out of a
//! container's root.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

/// Exchanges what two paths name, in one step: renameat2(2), `RENAME_EXCHANGE`.
pub fn exchange(one: &Path, other: &Path) -> nix::Result<()> {
    renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE)
}

/// Exchanges them until one of them is gone. For the probe, in a container that shares a volume.
pub fn forever(one: &Path, other: &Path) -> nix::Result<()> {
    loop {
        match exchange(one, other) {
            Ok(()) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// A thread that exchanges two names until it goes out of scope.
#[derive(Debug)]
pub struct Swapper {
    stop: Arc<AtomicBool>,
    swaps: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Swapper {
    /// Begins.
    #[must_use]
    pub fn start(one: PathBuf, other: PathBuf) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let swaps = Arc::<AtomicU64>::default();
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&swaps));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                exchange(&one, &other).expect("the names are there");
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self {
            stop,
            swaps,
            thread: Some(thread),
        }
    }

    /// Ends, and says how often they were exchanged.
    #[must_use]
    pub fn stop(mut self) -> u64 {
        self.end();
        self.swaps.load(Ordering::Relaxed)
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok(), "the swapper failed");
        }
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.stop.store(true, Ordering::Relaxed);
            drop(thread.join());
        }
    }
}
