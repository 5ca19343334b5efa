//! The host's binary, reached through /proc/PID/exe of what enters a container.

use std::fs;

use conformance::Container;
use conformance::runtime::runtime;

#[test]
fn the_hosts_binary_cannot_be_written_through_proc() {
    // CVE-2019-5736
    let before = fs::read(&runtime().path).unwrap();
    let writer =
        "while :; do for exe in /proc/[0-9]*/exe; do (echo x > $exe) 2>/dev/null; done; done";
    let container = Container::new(|config| {
        config
            .shell(writer)
            .capabilities(&["CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE"]);
    });
    let _ = container.run_detached();
    for _ in 0..30 {
        let _ = container.exec(&[], &["/proc/self/exe", "--help"]);
    }
    let _ = container.exec(&[], &["true"]).ok();
    assert_eq!(before, fs::read(&runtime().path).unwrap());
}

#[test]
fn an_entrypoint_that_is_proc_self_exe_is_not_the_hosts_binary() {
    let before = fs::read(&runtime().path).unwrap();
    let container = Container::new(|config| {
        config.args(&["/proc/self/exe"]);
    });
    let _ = container.run();
    let script = Container::new(|config| {
        config.args(&["/script"]);
    });
    let path = script.rootfs().join("script");
    fs::write(&path, "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let _ = script.run();
    assert_eq!(before, fs::read(&runtime().path).unwrap());
}
