//! A process that joins a container, as seen by one that is there already, stops it, and looks (CVE-2016-9962).

use std::fs::{self, File};
use std::process::Stdio;

use conformance::process::{Running, spawn};
use conformance::runtime::runtime;
use conformance::scan::Scan;
use conformance::{Config, Container};
use serde_json::json;

/// In the caller's environment.
const SECRET: &str = "SECRET_OF_THE_CALLER";

/// A container whose first process scans whatever appears beside it, and the file that ends it.
struct Watched {
    container: Container,
    scanner: Running,
}

impl Watched {
    fn new(capabilities: &[&str], change: impl FnOnce(&mut Config)) -> Self {
        let container = Container::with_path(|config, path| {
            let path = path.to_str().unwrap();
            let canary = format!("{path}/canary");
            let words = [
                "/probe",
                "scan",
                &canary,
                "/stop",
                "/bin/busybox",
                SECRET,
                path,
            ];
            config
                .args(&words)
                .capabilities(capabilities)
                .set("/root/readonly", json!(false));
            change(config);
        });
        container.file("canary", "the host");
        let scanner = container.run_in_foreground();
        Scan::await_start(&scanner);
        Self { container, scanner }
    }

    /// Runs `true` in the container, again and again, by a caller with descriptors on the host's directories.
    fn exec(&self, times: usize, options: &[&str]) {
        for _ in 0..times {
            let mut command = self.container.exec_command(options, &["true"]);
            command.stdin(Stdio::null()).env(SECRET, "1");
            let finished = spawn(&mut command).wait();
            assert_eq!(finished.code(), 0, "{finished:#?}");
        }
    }

    fn finish(self) -> (Container, Scan) {
        let stop = self.container.rootfs().join("stop");
        let scan = Scan::finish(self.scanner, &stop);
        eprintln!("{scan:#?}");
        (self.container, scan)
    }
}

#[test]
fn a_process_that_joins_shows_nothing_of_the_host_to_a_tracer() {
    let watched = Watched::new(&["CAP_SYS_PTRACE", "CAP_KILL", "CAP_DAC_OVERRIDE"], |_| {});
    watched.exec(100, &[]);
    let (_container, scan) = watched.finish();
    assert!(scan.caught > 20, "{scan:#?}");
}
