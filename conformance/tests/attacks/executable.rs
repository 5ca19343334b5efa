//! The host's binary, reached through /proc/PID/exe of what enters a container (CVE-2019-5736).
//!
//! The runtime is a copy of the case's own: that is what would be overwritten.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use conformance::overwrite::Overwriting;
use conformance::process::{run, spawn};
use conformance::runtime::runtime;
use conformance::scan::Scan;
use conformance::{Config, Container, Finished};
use serde_json::json;

/// A container whose runtime is a copy.
struct Victim {
    container: Container,
    binary: PathBuf,
}

impl Victim {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let container = Container::new(|config| {
            config.set("/root/readonly", json!(false)).capabilities(&[
                "CAP_DAC_OVERRIDE",
                "CAP_SYS_PTRACE",
                "CAP_KILL",
            ]);
            change(config);
        });
        let script = container.rootfs().join("script");
        fs::write(&script, "#!/proc/self/exe\n").unwrap();
        fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
        let binary = container.path().join("runtime");
        fs::copy(&runtime().path, &binary).unwrap();
        Self { container, binary }
    }

    /// The command, by the copy.
    fn by_copy(&self, command: &Command) -> Command {
        let mut copy = Command::new(&self.binary);
        copy.args(command.get_args())
            .current_dir("/")
            .stdin(Stdio::null());
        for (name, value) in command.get_envs() {
            copy.env(name, value.unwrap_or_default());
        }
        copy
    }

    fn assert_untouched(&self) {
        let same = fs::read(&runtime().path).unwrap() == fs::read(&self.binary).unwrap();
        assert!(same, "the host's binary was overwritten");
    }
}

#[test]
fn the_hosts_binary_cannot_be_written_through_proc() {
    let victim = Victim::new(|config| {
        config.args(&["/probe", "overwrite", "/stop"]);
    });
    let writer = spawn(&mut victim.by_copy(&victim.container.run_command(&[])));
    Scan::await_start(&writer);
    for program in ["true", "/proc/self/exe", "/script"] {
        for _ in 0..20 {
            let exec = victim.container.exec_command(&[], &[program]);
            let _ = run(&mut victim.by_copy(&exec));
        }
    }
    let found = Overwriting::finish(writer, &victim.container.rootfs().join("stop"));
    victim.assert_untouched();
    let copy = victim.binary.display().to_string();
    assert!(!found.seen.is_empty(), "none was seen that joined");
    assert!(!found.seen.contains(&copy), "{found:?}");
    assert_eq!(found.written.iter().collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_program_that_is_proc_self_exe_is_not_the_hosts_binary() {
    let overwrite = "exec 3>>/proc/self/exe";
    for program in [
        &["/proc/self/exe"][..],
        &["/script"],
        &["/proc/self/exe", "-c", overwrite],
        &["/script", "3"],
    ] {
        let victim = Victim::new(|config| {
            config.args(program);
        });
        let finished = run(&mut victim.by_copy(&victim.container.run_command(&[])));
        assert_harmless(&finished);
        victim.assert_untouched();
        let waiting = Victim::new(|config| {
            config.waits();
        });
        let _ = run(&mut waiting.by_copy(&waiting.container.run_command(&["--detach"]))).ok();
        let exec = waiting.container.exec_command(&[], program);
        let finished = run(&mut waiting.by_copy(&exec));
        assert_harmless(&finished);
        waiting.assert_untouched();
    }
}

/// The init does nothing without a plan; a runtime that executes itself says what it is.
fn assert_harmless(finished: &Finished) {
    if runtime().is_bareboat() {
        assert_ne!(finished.code(), 0, "{finished:#?}");
        assert!(finished.stdout.is_empty(), "{finished:#?}");
    }
}
