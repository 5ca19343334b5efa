//! What `create` and `run` share.

use std::path::{Path, PathBuf};

use clap::Args;
use runtime_core::{Bundle, Container, ContainerBuilder, Timings};

use crate::cli::Globals;
use crate::descriptors::{self, Inherited};
use crate::failure::{Failure, Result};
use crate::notify;
use crate::timings::{TimingsFile, during};

/// Options of a container that is made from a bundle.
#[derive(Debug, Args)]
pub(crate) struct Launch {
    /// The bundle: a directory with config.json and the root filesystem
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) bundle: PathBuf,
    /// Unix socket that receives the master of the container's pseudoterminal
    #[arg(long, value_name = "SOCKET")]
    pub(crate) console_socket: Option<PathBuf>,
    /// Unix socket that receives a descriptor of the container's init process, a pidfd
    #[arg(long, value_name = "SOCKET")]
    pub(crate) pidfd_socket: Option<PathBuf>,
    /// File to write the pid of the container's init process to
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Enter the root filesystem without pivot_root(2), for one on a ramdisk
    #[arg(long)]
    pub(crate) no_pivot: bool,
    /// Let the container use the session keyring of the caller
    #[arg(long)]
    pub(crate) no_new_keyring: bool,
    /// Pass N descriptors to the container after standard streams and $LISTEN_FDS
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(crate) preserve_fds: u32,
    #[command(flatten)]
    pub(crate) timings: TimingsFile,
}

impl Launch {
    pub(crate) fn load(&self, timings: Option<&Timings>) -> Result<Bundle> {
        let load = || Bundle::load(directory_or_current(&self.bundle));
        Ok(during(timings, "load the bundle", load)?)
    }

    /// A builder with everything that the command line says.
    pub(crate) fn builder(
        &self,
        id: &str,
        bundle: Bundle,
        globals: &Globals,
        timings: Option<&Timings>,
    ) -> Result<ContainerBuilder> {
        let inherited = Inherited::of_new_container(self.preserve_fds);
        let names = descriptors::names();
        let mut builder = Container::builder(id, bundle)
            .state_root(globals.state_root()?)
            .cgroup_driver(globals.cgroup_driver())
            .no_pivot(self.no_pivot)
            .no_new_keyring(self.no_new_keyring)
            .preserve_fds(inherited.count())
            .extra_environment(inherited.environment(names.as_deref()))
            .notify_socket(notify::supervisor().is_some());
        if let Some(rootless) = globals.rootless.cgroups() {
            builder = builder.rootless_cgroups(rootless);
        }
        if let Some(socket) = given(self.console_socket.as_deref()) {
            builder = builder.console_socket(socket.to_owned());
        }
        if let Some(socket) = given(self.pidfd_socket.as_deref()) {
            builder = builder.pidfd_socket(socket.to_owned());
        }
        if let Some(file) = given(self.pid_file.as_deref()) {
            builder = builder.pid_file(file.to_owned());
        }
        if let Some(timings) = timings {
            builder = builder.timings(timings);
        }
        Ok(builder)
    }

    pub(crate) fn check_terminal(&self, bundle: &Bundle, detach: bool) -> Result<()> {
        check_terminal(
            wants_terminal(bundle),
            detach,
            given(self.console_socket.as_deref()).is_some(),
        )
    }
}

/// Whether the container's process is to have a terminal.
pub(crate) fn wants_terminal(bundle: &Bundle) -> bool {
    bundle
        .spec()
        .process()
        .as_ref()
        .and_then(|process| process.terminal())
        .unwrap_or(false)
}

/// A path option with a value: an empty one counts as not given.
pub(crate) fn given(path: Option<&Path>) -> Option<&Path> {
    path.filter(|path| !path.as_os_str().is_empty())
}

pub(crate) fn directory_or_current(path: &Path) -> &Path {
    given(Some(path)).unwrap_or(Path::new("."))
}

/// A detached terminal needs someone to take its master, and nobody else may.
pub(crate) fn check_terminal(terminal: bool, detach: bool, console_socket: bool) -> Result<()> {
    match (detach && terminal, console_socket) {
        (true, false) => Err(Failure::new(
            "cannot allocate tty if bareboat will detach without setting console socket",
        )),
        (false, true) => Err(Failure::new(
            "cannot use console socket if bareboat will not detach or allocate tty",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_socket_is_for_detached_terminals_and_they_need_one() {
        assert!(check_terminal(true, true, true).is_ok());
        assert!(check_terminal(true, false, false).is_ok());
        assert!(check_terminal(false, true, false).is_ok());
        assert!(
            check_terminal(true, true, false)
                .unwrap_err()
                .to_string()
                .starts_with("cannot allocate tty")
        );
        for (terminal, detach) in [(true, false), (false, true), (false, false)] {
            let error = check_terminal(terminal, detach, true).unwrap_err();
            assert!(
                error.to_string().starts_with("cannot use console socket"),
                "{terminal} {detach}"
            );
        }
    }
}
