//! `pause` and `resume`: runtime.md, "Lifecycle", leaves them to runtimes.

use crate::container::Container;
use crate::error::{Error, ErrorKind, Result};
use crate::state::Directory;
use crate::status::Status;

impl Container {
    /// Stops all processes of the container, whether it runs or waits for its start, until [`Container::resume`]. It waits
    /// for at most 10 s until all have stopped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotRunning`] when it has stopped, [`ErrorKind::InvalidState`] when it is paused already,
    /// [`ErrorKind::Unsupported`] when it has no cgroup that could be frozen, [`ErrorKind::Host`] when a process does not
    /// stop in time: it is named, and all go on.
    pub fn pause(&self) -> Result<()> {
        let pause = || {
            let _lock = Directory::open_created(&self.root, self.id(), "pause")?;
            let container = Container::load(&self.root, self.id())?;
            match container.status()? {
                Status::Running | Status::Created => container.freeze(),
                Status::Stopped => Err(self.not_running()),
                status => Err(self.state_error(&format!("container not running: {status}"))),
            }
        };
        pause().map_err(|error| error.context(format_args!("pause {}", self.id())))
    }

    /// Lets the processes of a paused container go on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidState`] when it is not paused.
    pub fn resume(&self) -> Result<()> {
        let resume = || {
            let _lock = Directory::open_created(&self.root, self.id(), "resume")?;
            let container = Container::load(&self.root, self.id())?;
            match container.status()? {
                Status::Paused => container.thaw(),
                status => Err(self.state_error(&format!("container not paused: {status}"))),
            }
        };
        resume().map_err(|error| error.context(format_args!("resume {}", self.id())))
    }

    fn freeze(&self) -> Result<()> {
        let cgroup = self.record.cgroup.as_ref();
        let Some(cgroup) = cgroup.filter(|cgroup| cgroup.has_freezer()) else {
            let problem = "cannot toggle freezer: cgroups not configured for container";
            return Err(Error::new(ErrorKind::Unsupported, problem));
        };
        cgroup
            .freeze()
            .map_err(|cause| Error::io(ErrorKind::Host, "freeze its processes", cause))?;
        if self.has_ended() {
            // Nobody resumes a container that has stopped, and who was about to join it would wait for that.
            self.thaw()?;
            return Err(self.not_running());
        }
        Ok(())
    }
}
