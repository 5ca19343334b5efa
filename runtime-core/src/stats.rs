//! What a container uses.

use crate::cgroup::stats::CgroupStats;
use crate::container::Container;
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::intel_rdt::IntelRdtStats;

/// What a container uses, and what it may use.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// What the kernel keeps of its cgroup.
    pub cgroup: CgroupStats,
    /// Caches and memory bandwidth, for a container whose configuration has `linux.intelRdt`.
    pub intel_rdt: Option<IntelRdtStats>,
}

impl Container {
    /// What it uses now.
    ///
    /// ```no_run
    /// use runtime_core::Container;
    ///
    /// let stats = Container::load("/run/bareboat", "web")?.stats()?;
    /// println!("{} bytes", stats.cgroup.memory.usage.usage);
    /// # Ok::<(), runtime_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotRunning`] when it has stopped, [`ErrorKind::InvalidState`] when it has no cgroup, as that of a user
    /// who may not make any; [`ErrorKind::Host`] when a file of the kernel's cannot be read.
    pub fn stats(&self) -> Result<Stats> {
        let cgroup = self.cgroup_in_use()?;
        let attempt = || format!("read the statistics of {}", self.id());
        let intel_rdt = self.record().intel_rdt.as_ref();
        Ok(Stats {
            cgroup: cgroup.stats().host(attempt)?,
            intel_rdt: intel_rdt.map(|group| group.stats()).transpose()?,
        })
    }

    /// Its cgroup, while it has processes.
    pub(crate) fn cgroup_in_use(&self) -> Result<&crate::cgroup::Cgroup> {
        if self.record().init.is_none() {
            return Err(self.state_error("cannot ask a container that is being created"));
        }
        let cgroup = self.record().cgroup.as_ref();
        let cgroup = cgroup.ok_or_else(|| self.state_error("it has no cgroup to ask"))?;
        if self.pid().is_none() && self.pids()?.is_empty() {
            let problem = format!("container with id {} is not running", self.id());
            return Err(Error::new(ErrorKind::NotRunning, problem));
        }
        Ok(cgroup)
    }
}
