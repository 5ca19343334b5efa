//! Hooks that call the runtime on their own container.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use conformance::Container;
use conformance::runtime::runtime;
use serde_json::json;

/// A container with a hook of this kind: a script on the host, whose `$@` is the runtime with the state root, `$ID` the
/// container, and which runs in the case's directory.
fn with_hook(kind: &str, script: &str) -> Container {
    let container = Container::new(|_| {});
    let path = container.path().join("hook");
    write_script(&container, &path, script);
    let mut config = container.config();
    config
        .waits()
        .set("/hooks", json!({kind: [{"path": path, "timeout": 20}]}));
    container.write_config(&config);
    container
}

fn write_script(container: &Container, path: &Path, script: &str) {
    let command = container.runtime();
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    let words: Vec<_> = words.map(|word| format!("'{}'", word.display())).collect();
    let text = format!(
        "#!/bin/sh\ncd {}; ID={}\nset -- {}\n{script}\n",
        container.path().display(),
        container.id,
        words.join(" ")
    );
    fs::write(path, text).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

const POSTSTART: &str = r#"set -e
"$@" state "$ID" > seen
"$@" list > list
"$@" update --pids-limit 77 "$ID"
"$@" pause "$ID"
"$@" state "$ID" > paused
"$@" resume "$ID"
"$@" exec "$ID" true
"$@" ps "$ID" > ps
"$@" kill "$ID" 0
echo done > done"#;

#[test]
fn a_poststart_hook_changes_its_own_container() {
    let container = with_hook("poststart", POSTSTART);
    let _ = container.create().ok();
    let _ = container.start().ok();
    assert_eq!(container.read("done"), "done\n");
    assert!(container.read("seen").contains("\"running\""));
    assert!(container.read("paused").contains("\"paused\""));
    assert_eq!(container.status(), "running");
    let _ = container.delete_force().ok();
    container.assert_nothing_left();
    fs::remove_file(container.path().join("done")).unwrap();
    let _ = container.run_detached();
    assert_eq!(container.read("done"), "done\n");
}

#[test]
fn a_poststart_hook_may_delete_its_own_container() {
    for script in [
        r#""$@" delete --force "$ID""#,
        r#""$@" delete --force "$ID"; false"#,
    ] {
        let container = with_hook("poststart", script);
        let _ = container.create().ok();
        let started = container.start();
        assert_eq!(
            started.code() == 0,
            !script.ends_with("false"),
            "{started:#?}"
        );
        container.assert_nothing_left();
        let _ = container
            .call(&["state"])
            .refused(&["container does not exist"]);
    }
}

#[test]
fn a_hook_of_create_is_told_that_its_container_is_being_created() {
    if runtime().departs("runc", "knows no container before its create is done") {
        return;
    }
    for kind in ["prestart", "createRuntime"] {
        let script = r#""$@" state "$ID" > seen || exit 1
for call in start pause resume delete "update --pids-limit 7"; do
    "$@" $call "$ID" 2>> errors && exit 1
done
echo done > done"#;
        let container = with_hook(kind, script);
        let _ = container.create().ok();
        assert_eq!(container.read("done"), "done\n", "{kind}");
        assert!(container.read("seen").contains("\"creating\""));
        let errors = container.read("errors");
        let phrase = "a container that is being created";
        assert_eq!(errors.matches(phrase).count(), 5, "{errors}");
        let _ = container.start().ok();
        assert_eq!(container.status(), "running");
    }
}
