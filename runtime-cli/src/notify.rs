//! The service manager that wants to hear when the container is ready: `$NOTIFY_SOCKET`.

use std::env;
use std::ffi::OsString;
use std::thread::{self, JoinHandle};

use runtime_core::{Container, Readiness, ServiceManager};

use crate::failure::{Failure, Result};

/// The socket of the service manager.
pub(crate) fn supervisor() -> Option<OsString> {
    env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty())
}

/// Listens to a created container for the service manager. Where that cannot be reached there is nobody to tell, which is no
/// reason not to start the container.
pub(crate) fn listen(container: &Container) -> Result<Option<Readiness>> {
    let Some(address) = supervisor() else {
        return Ok(None);
    };
    match ServiceManager::connect(&address) {
        Ok(manager) => Ok(Some(container.listen_for_readiness(manager)?)),
        Err(error) => {
            tracing::warn!("{error}");
            Ok(None)
        }
    }
}

/// Waits until a container that goes on without this process is ready; it is the service then.
pub(crate) fn forward_of_detached(container: &Container, readiness: Option<Readiness>) {
    // One that has ended will never be ready.
    if let (Some(readiness), Some(pid)) = (readiness, container.pid()) {
        forward(&readiness, pid);
    }
}

/// Word of readiness on its way, while this process, which remains the service, attends to the container.
pub(crate) struct Forwarding(JoinHandle<()>);

impl Forwarding {
    pub(crate) fn start(readiness: Readiness) -> Result<Self> {
        let pid = std::process::id().cast_signed();
        thread::Builder::new()
            .name("notify".to_owned())
            .spawn(move || {
                forward(&readiness, pid);
                if let Err(error) = readiness.discard_the_rest() {
                    tracing::warn!("{error}");
                }
            })
            .map(Forwarding)
            .map_err(|cause| Failure::io("start a thread", cause))
    }

    /// Waits for it, once the container has ended: what the program said at the very end is told, too.
    pub(crate) fn finish(self) {
        // It does not panic, and the container's end is what counts here.
        let _ = self.0.join();
    }
}

fn forward(readiness: &Readiness, main_pid: i32) {
    if let Err(error) = readiness.forward(main_pid) {
        tracing::warn!("{error}");
    }
}
