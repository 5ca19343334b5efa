//! What a user gets for a mistake: one line that says what is wrong, runc's exit status, and nothing left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use conformance::process::run;
use conformance::runtime::runtime;
use conformance::{Config, Container};
use serde_json::{Value, json};

/// Create and run are refused with these words in the error, and leave nothing.
fn refuses(phrases: &[&str], change: impl FnOnce(&mut Config)) {
    let container = Container::new(change);
    let _ = container.create().refused(phrases);
    container.assert_nothing_left();
    let _ = container.run().refused(phrases);
    container.assert_nothing_left();
}

/// The value at the JSON pointer is refused; bareboat names the pointer.
fn refuses_at(pointer: &str, value: Value) {
    let phrases: &[&str] = if runtime().is_bareboat() {
        &[pointer]
    } else {
        &[]
    };
    refuses(phrases, |config| {
        config.set(pointer, value);
    });
}

#[test]
fn a_missing_bundle_is_an_error() {
    let container = Container::empty();
    let _ =
        run(&mut container.subcommand(["create", "--bundle", "/no/such/bundle", &container.id]))
            .refused(&["/no/such/bundle"]);
    container.assert_nothing_left();
}

#[test]
fn a_missing_config_json_is_an_error() {
    let container = Container::empty();
    let _ = container.create().refused(&["config.json"]);
    container.assert_nothing_left();
}

#[test]
fn a_config_json_that_is_not_json_is_an_error() {
    let container = Container::empty();
    for text in [
        "",
        "{",
        "not json",
        "{\"ociVersion\": \"1.0.2\",}",
        "\u{feff}{}",
    ] {
        fs::write(container.bundle().join("config.json"), text).unwrap();
        let finished = container.create();
        assert_eq!(finished.code(), 1, "{text:?}: {finished:?}");
        container.assert_nothing_left();
    }
}

#[test]
fn a_config_json_of_the_wrong_shape_is_an_error() {
    let container = Container::empty();
    for text in [
        "[]",
        "null",
        "1",
        "{}",
        "{\"ociVersion\": 1}",
        "{\"ociVersion\": \"1.0.2\"}",
    ] {
        fs::write(container.bundle().join("config.json"), text).unwrap();
        let finished = container.create();
        assert!(matches!(finished.code(), 1 | 2), "{text}: {finished:?}");
        container.assert_nothing_left();
    }
}

#[test]
fn a_field_of_the_wrong_type_is_an_error_that_names_it() {
    for (pointer, value) in [
        ("/process/args", json!("sh")),
        ("/process/args", json!([1])),
        ("/process/cwd", json!(7)),
        ("/process/user/uid", json!("root")),
        ("/process/env", json!({"A": "B"})),
        ("/root", json!("rootfs")),
        ("/mounts", json!({})),
        ("/mounts/0/options", json!("ro")),
        ("/linux/namespaces/0", json!("pid")),
        ("/linux/resources/memory/limit", json!("1G")),
    ] {
        refuses_at(pointer, value);
    }
}

#[test]
fn a_value_out_of_range_is_an_error_that_names_it() {
    for (pointer, value) in [
        ("/process/user/uid", json!(-1)),
        ("/process/user/gid", json!(4_294_967_296_u64)),
        ("/process/args", json!([])),
        ("/process/cwd", json!("relative")),
        ("/process/cwd", json!("")),
        ("/process/rlimits/0/type", json!("RLIMIT_NOSUCH")),
        ("/process/oomScoreAdj", json!(5000)),
        ("/linux/namespaces/0/type", json!("nosuch")),
        ("/linux/rootfsPropagation", json!("sideways")),
    ] {
        refuses_at(pointer, value);
    }
}

#[test]
fn an_unknown_capability_is_said_to_be_unknown() {
    // capabilities(7) grows: runc warns and goes on since 1.0.
    let container = Container::new(|config| {
        config.push("/process/capabilities/bounding", json!("CAP_NO_SUCH"));
    });
    let finished = container.run();
    assert!(finished.stderr.contains("CAP_NO_SUCH"), "{finished:?}");
    container.assert_nothing_left();
}

#[test]
fn a_namespace_given_twice_is_an_error() {
    refuses(&[], |config| {
        config.push("/linux/namespaces", json!({"type": "uts"}));
    });
}

#[test]
fn a_namespace_path_that_is_not_there_or_of_another_kind_is_an_error() {
    refuses(&["/no/such/namespace"], |config| {
        config.namespace("network", Some("/no/such/namespace"));
    });
    refuses(&[], |config| {
        config.namespace("network", Some("/proc/self/ns/ipc"));
    });
}

#[test]
fn a_missing_root_file_system_is_an_error() {
    refuses(&["nosuch"], |config| {
        config.set("/root/path", json!("nosuch"));
    });
}

#[test]
fn a_mount_source_that_is_not_there_is_an_error_that_names_it() {
    refuses(&["/no/such/source", "o such file or directory"], |config| {
        config.bind("/no/such/source", "/mnt", &["bind"]);
    });
}

#[test]
fn a_file_system_type_that_is_not_there_is_an_error_that_names_it() {
    let phrases: &[&str] = if runtime().is_bareboat() {
        &["/mnt", "nosuchfs"]
    } else {
        &["/mnt"]
    };
    refuses(phrases, |config| {
        config.mount("/mnt", "nosuchfs", "none", &[]);
    });
}

#[test]
fn a_mount_option_that_the_file_system_refuses_is_an_error() {
    refuses(&["/mnt"], |config| {
        config.mount("/mnt", "tmpfs", "tmpfs", &["nosuchoption=1"]);
    });
}

#[test]
fn a_directory_mounted_on_a_file_is_an_error() {
    refuses(&["/etc/passwd"], |config| {
        config.bind("/etc", "/etc/passwd", &["bind"]);
    });
}

#[test]
fn a_program_that_is_not_found_is_runcs_error() {
    refuses(
        &[r#"exec: "nosuch": executable file not found in $PATH"#],
        |config| {
            config.args(&["nosuch"]);
        },
    );
    refuses(
        &[r#"exec: "/no/such""#, "no such file or directory"],
        |config| {
            config.args(&["/no/such"]);
        },
    );
}

#[test]
fn a_program_that_is_not_executable_is_runcs_error() {
    refuses(&[r#"exec: "/etc/passwd": permission denied"#], |config| {
        config.args(&["/etc/passwd"]);
    });
    refuses(&[r#"exec: "/etc""#], |config| {
        config.args(&["/etc"]);
    });
}

#[test]
fn a_program_of_no_known_format_fails_at_the_start() {
    let container = Container::new(|config| {
        config.args(&["/bin/garbage"]);
    });
    let program = container.rootfs().join("bin/garbage");
    fs::write(&program, "no format\n").unwrap();
    fs::set_permissions(program, PermissionsExt::from_mode(0o755)).unwrap();
    let finished = container.run();
    assert_eq!(finished.code(), 1, "{finished:?}");
    assert!(
        finished.stderr.to_lowercase().contains("exec format error"),
        "{finished:?}"
    );
    container.assert_nothing_left();
}

#[test]
fn a_cwd_that_is_a_file_is_an_error() {
    refuses(&["/etc/passwd"], |config| {
        config.set("/process/cwd", json!("/etc/passwd"));
    });
}

#[test]
fn a_sysctl_that_is_not_there_or_not_namespaced_is_an_error() {
    for name in [
        "kernel.nosuch",
        "net.nosuch.x",
        "vm.swappiness",
        "kernel.hostname/../x",
        "kernel.pid_max",
    ] {
        refuses(&[], |config| {
            config.set("/linux/sysctl", json!({name: "1"}));
        });
    }
}

#[test]
fn a_limit_that_the_kernel_refuses_is_an_error() {
    refuses(&[], |config| {
        config.set("/linux/resources/cpu/quota", json!(1));
    });
    refuses(&[], |config| {
        config.set("/linux/resources/cpu/cpus", json!("1000"));
    });
}

#[test]
fn without_privilege_the_error_says_so_and_nothing_is_left() {
    let container = Container::new(|_| {});
    let state = container.path().join("unprivileged");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, PermissionsExt::from_mode(0o777)).unwrap();
    // Where every user may run it.
    let binary = container.path().join("runtime");
    fs::copy(&runtime().path, &binary).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(binary);
    command
        .arg("--root")
        .arg(&state)
        .args(["create", "--bundle"])
        .arg(container.bundle());
    let finished = run(command.arg(&container.id)).refused(&[]);
    let error = finished.stderr.to_lowercase();
    assert!(
        ["rootless", "permi", "privilege"]
            .iter()
            .any(|word| error.contains(word)),
        "{finished:?}"
    );
    container.assert_nothing_left();
    assert_eq!(fs::read_dir(state).unwrap().count(), 0);
}

#[test]
fn the_log_file_gets_the_error_as_json() {
    let container = Container::new(|config| {
        config.args(&["nosuch"]);
    });
    let mut command = container.runtime();
    command.arg("--log").arg(container.path().join("log.json"));
    command
        .args(["--log-format", "json", "create", "--bundle"])
        .arg(container.bundle())
        .arg(&container.id);
    assert_eq!(run(&mut command).code(), 1);
    let text = container.read("log.json");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let error = lines
        .iter()
        .find(|line| line["level"] == "error")
        .expect("a line of level error");
    assert!(
        error["msg"]
            .as_str()
            .unwrap()
            .contains("executable file not found in $PATH"),
        "{text}"
    );
    assert!(error["time"].as_str().unwrap().contains('T'), "{text}");
    container.assert_nothing_left();
}

#[test]
fn an_unknown_option_or_a_missing_id_is_an_error() {
    let container = Container::new(|_| {});
    assert_ne!(
        run(&mut container.subcommand(["create", "--nosuch", &container.id])).code(),
        0
    );
    assert_ne!(run(&mut container.subcommand(["create"])).code(), 0);
}
