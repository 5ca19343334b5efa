//! What a container uses: the statistics that the kernel keeps of its cgroup.
//!
//! Times are nanoseconds and amounts of memory bytes, whatever unit the kernel's file has. Each controller is asked in
//! version 1 where the host has it there, and in version 2 otherwise. What the kernel does not tell is 0, empty or absent.
//!
//! References: Documentation/admin-guide/cgroup-v1/ and cgroup-v2.rst of the kernel.

mod blkio;
mod cpu;
mod cpuset;
mod files;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod hugetlb;
mod memory;
mod misc;
mod parse;
mod pids;
mod psi;
mod rdma;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;

use super::Cgroup;
use super::plan::{Directory, Version};
use files::Files;

pub use blkio::{Blkio, BlkioEntry};
pub use cpu::{Bursts, Cpu, CpuUsage, Throttling};
pub use cpuset::Cpuset;
pub use hugetlb::Hugetlb;
pub use memory::{Memory, MemoryUsage};
pub use misc::Misc;
pub use pids::Pids;
pub use psi::{Pressure, Psi};
pub use rdma::Rdma;

/// The statistics of a cgroup.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CgroupStats {
    /// Processor time.
    pub cpu: Cpu,
    /// Processors and memory nodes that it may use. Version 1 alone has these numbers.
    pub cpuset: Option<Cpuset>,
    /// Memory and swap.
    pub memory: Memory,
    /// Processes and threads.
    pub pids: Pids,
    /// Block devices.
    pub blkio: Blkio,
    /// Huge pages, by their size as in `2MB`.
    pub hugetlb: BTreeMap<String, Hugetlb>,
    /// RDMA resources, by device.
    pub rdma: BTreeMap<String, Rdma>,
    /// Scalar resources of the misc controller, by name.
    pub misc: BTreeMap<String, Misc>,
}

impl Cgroup {
    /// The statistics of all its controllers. Of a cgroup that is gone there are none.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or is not what the kernel's documentation says; the error names the file.
    pub fn stats(&self) -> io::Result<CgroupStats> {
        let psi = |file| match self.in_v2().map(Files::of).transpose()?.flatten() {
            Some(files) => psi::read(&files, file),
            None => Ok(None),
        };
        let mut stats = CgroupStats {
            cpu: cpu::read(self)?,
            cpuset: self.files_of("cpuset", cpuset::read)?,
            memory: self.files_of("memory", memory::read)?,
            pids: self.files_of("pids", pids::read)?,
            blkio: self.files_of("blkio", blkio::read)?,
            hugetlb: self.files_of("hugetlb", hugetlb::read)?,
            rdma: self.files_of("rdma", rdma::read)?,
            misc: self.files_of("misc", misc::read)?,
        };
        stats.cpu.psi = psi("cpu.pressure")?;
        stats.memory.psi = psi("memory.pressure")?;
        stats.blkio.psi = psi("io.pressure")?;
        Ok(stats)
    }

    /// How many of its processes, and of the cgroups below it, the kernel has killed for want of memory; nothing where no
    /// memory controller counts them.
    ///
    /// # Errors
    ///
    /// As for [`Cgroup::stats`].
    pub fn oom_kills(&self) -> io::Result<Option<u64>> {
        self.files_of("memory", memory::oom_kills)
    }

    /// Whether memory was ever refused to it, whoever was killed for it or not.
    pub(crate) fn was_short_of_memory(&self) -> io::Result<bool> {
        self.files_of("memory", memory::was_short)
    }

    /// Whether it has as many tasks as it may have.
    pub(crate) fn has_no_room_for_processes(&self) -> io::Result<bool> {
        let pids = self.files_of("pids", pids::read)?;
        Ok(pids.limit.is_some_and(|limit| pids.current >= limit))
    }

    /// The same of the slice that its unit is in, if it is a unit's. It counts what was killed in the units in it even when
    /// they are gone, and systemd removes a scope as soon as its last process has ended. In version 1 each cgroup counts for
    /// itself.
    ///
    /// # Errors
    ///
    /// As for [`Cgroup::stats`].
    pub(crate) fn oom_kills_in_slice(&self) -> io::Result<Option<u64>> {
        let place = self.unit().and_then(|_| self.place_of("memory"));
        let slice = place.and_then(|place| {
            let path = place.path.parent()?.to_owned();
            Some(Directory {
                path,
                ..place.clone()
            })
        });
        let Some(slice) = slice.filter(|slice| slice.version == Version::V2) else {
            return Ok(None);
        };
        match Files::of(&slice)? {
            Some(files) => memory::oom_kills(&files, slice.version),
            None => Ok(None),
        }
    }

    /// What `read` makes of the files of a controller, by its name in version 1.
    fn files_of<T: Default>(
        &self,
        controller: &str,
        read: impl FnOnce(&Files, Version) -> io::Result<T>,
    ) -> io::Result<T> {
        let Some(directory) = self.place_of(controller) else {
            return Ok(T::default());
        };
        match Files::of(directory)? {
            Some(files) => read(&files, directory.version),
            None => Ok(T::default()),
        }
    }

    /// Where a controller's files are, if it is there at all.
    pub(crate) fn place_of(&self, controller: &str) -> Option<&Directory> {
        self.with_controller(controller).or(self.in_v2())
    }
}
