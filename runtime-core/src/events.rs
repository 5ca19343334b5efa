//! Events of a container that the kernel tells of: processes killed for want of memory, and the end of them all.

use std::time::Duration;

use crate::cgroup::watch::{Noticed, Watch};
use crate::container::Container;
use crate::error::{Attempt, Error, ErrorKind, Result};

/// The kernel ran out of the memory that the container may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OomEvent {
    /// How many processes it has killed for it since the container was made. In version 1 the kernel tells of the shortage
    /// before it counts the victim, and when it was told not to kill (`disableOOMKiller`) it stops processes instead.
    pub kills: u64,
}

/// What [`OomEvents::wait`] came back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waited {
    /// The container was short of memory.
    Oom(OomEvent),
    /// It has no processes any more, and there will be no further event.
    Ended,
    /// Nothing happened for as long as was waited.
    Nothing,
}

/// The events of a container, in order, until its cgroup has no processes. Waiting for them sleeps in the kernel; there is
/// no thread behind it, and dropping it is all that ends it. Events closer together than a few milliseconds may be told as
/// one.
///
/// ```no_run
/// use runtime_core::Container;
///
/// for event in Container::load("/run/bareboat", "web")?.oom_events()? {
///     println!("{} processes were killed", event?.kills);
/// }
/// println!("the container has ended");
/// # Ok::<(), runtime_core::Error>(())
/// ```
#[derive(Debug)]
pub struct OomEvents {
    watch: Watch,
    id: String,
    ended: bool,
}

impl Container {
    /// What happens from now on.
    ///
    /// # Errors
    ///
    /// As for [`Container::stats`]; and [`ErrorKind::Unsupported`] when no memory controller watches the container.
    pub fn oom_events(&self) -> Result<OomEvents> {
        let cgroup = self.cgroup_in_use()?;
        let attempt = || format!("watch the memory of {}", self.id());
        let watch = cgroup.watch_memory().host(attempt)?;
        let watch = watch.ok_or_else(|| {
            let problem = format!("no memory controller watches {}", self.id());
            Error::new(ErrorKind::Unsupported, problem)
        })?;
        Ok(OomEvents {
            watch,
            id: self.id().to_owned(),
            ended: false,
        })
    }
}

impl OomEvents {
    /// Waits for the next event, or so long.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Host`] when the kernel does not answer.
    pub fn wait(&mut self, patience: Duration) -> Result<Waited> {
        if self.ended {
            return Ok(Waited::Ended);
        }
        let attempt = || format!("watch the memory of {}", self.id);
        match self.watch.wait(patience).host(attempt)? {
            Noticed::Oom { kills } => Ok(Waited::Oom(OomEvent { kills })),
            Noticed::Nothing => Ok(Waited::Nothing),
            Noticed::Ended => {
                self.ended = true;
                Ok(Waited::Ended)
            }
        }
    }
}

impl Iterator for OomEvents {
    type Item = Result<OomEvent>;

    fn next(&mut self) -> Option<Result<OomEvent>> {
        loop {
            match self.wait(Duration::from_secs(3600)) {
                Ok(Waited::Oom(event)) => return Some(Ok(event)),
                Ok(Waited::Ended) => return None,
                Ok(Waited::Nothing) => {}
                Err(error) => {
                    // Asked again, it would fail again.
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
    }
}
