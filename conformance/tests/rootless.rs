//! Containers of a user who is not root, outside of any user namespace: `runc spec --rootless` and what follows.
#![allow(clippy::unwrap_used)]

#[path = "rootless/user.rs"]
mod user;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use conformance::driver::is_systemd_and;
use conformance::process::{run, until};
use conformance::runtime::runtime;
use conformance::{Config, Container, cgroup};
use serde_json::{Value, json};

use user::{GID, UID, User};

/// What the container's program can tell of its user.
const WHO: &str = "id -u; id -g; awk '{print $1, $2, $3}' /proc/self/uid_map /proc/self/gid_map";

#[test]
fn a_user_runs_a_container_of_what_spec_prints_for_him() {
    let Some(user) = User::new() else { return };
    user.config(|config| {
        config.shell(&format!(
            "{WHO}; hostname; echo x > /dev/null; head -c 1 /dev/zero | wc -c; cat /proc/keys; ls /sys/firmware"
        ));
    });
    let printed = user.run(&[]).ok().stdout;
    let expected = format!("0\n0\n0 {UID} 1\n0 {GID} 1\n{}\n1\n", user.hostname());
    assert_eq!(printed, expected);
}

#[test]
fn a_users_container_lives_as_any_other() {
    let Some(user) = User::new() else { return };
    user.config(|config| {
        config.shell("sleep 1000 & exec sleep 1000");
    });
    let id = user.container.id.as_str();
    let bundle = user.container.bundle();
    let bundle = bundle.to_str().unwrap();
    let _ = user.call(&["create", "--bundle", bundle, id]).ok();
    let state = |what: &str| -> Value {
        let printed = user.call(&["state", id]).ok().stdout;
        serde_json::from_str::<Value>(&printed).unwrap()[what].clone()
    };
    assert_eq!(state("status"), "created");
    let _ = user.call(&["start", id]).ok();
    assert_eq!(state("status"), "running");
    assert!(user.call(&["list", "-q"]).ok().stdout.contains(id));
    let pid = state("pid").as_i64().unwrap();
    assert_eq!(fs::metadata(format!("/proc/{pid}")).unwrap().uid(), UID);

    let who = user.call(&["exec", id, "sh", "-c", WHO]).ok().stdout;
    assert_eq!(who, format!("0\n0\n0 {UID} 1\n0 {GID} 1\n"));
    // runc reads the size of a terminal that it does not have, and lists processes by their cgroup alone.
    let is_runc = runtime().name == "runc";
    if !is_runc {
        let terminal = user.call(&["exec", "--tty", id, "tty"]).ok().stdout;
        assert_eq!(terminal.trim(), "/dev/pts/0");
    }
    until("both processes", || {
        if is_runc {
            return Some(());
        }
        let pids = user.call(&["ps", "--format", "json", id]).ok().stdout;
        let pids: Vec<i64> = serde_json::from_str(&pids).unwrap();
        (pids.len() == 2 && pids.contains(&pid)).then_some(())
    });
    let _ = user.call(&["delete", id]).refused(&["not stopped"]);
    let _ = user.call(&["kill", id, "KILL"]).ok();
    until("its end", || (state("status") == "stopped").then_some(()));
    let _ = user.call(&["delete", id]).ok();
    user.container.assert_nothing_left();
}

#[test]
fn a_users_state_is_in_a_directory_of_his_own() {
    let Some(user) = User::new() else { return };
    user.config(|config| {
        config.args(&["true"]);
    });
    let bundle = user.container.bundle();
    let arguments = [
        "run",
        "--bundle",
        bundle.to_str().unwrap(),
        &user.container.id,
    ];
    let program = user.program();
    let directory = user.container.path().join("runtime-directory");
    fs::create_dir(&directory).unwrap();
    user.own(&directory);
    let mut with = user.command(&[&format!("XDG_RUNTIME_DIR={}", directory.display())]);
    let _ = run(with.arg(&program).args(arguments)).ok();
    let found: Vec<_> = fs::read_dir(&directory).unwrap().flatten().collect();
    let [root] = found.as_slice() else {
        panic!("{found:?}")
    };
    // The sticky bit keeps it from being pruned.
    assert_eq!(
        root.metadata().unwrap().permissions().mode() & 0o7777,
        0o1700
    );

    if !runtime().is_bareboat() {
        return;
    }
    let mut without = user.command(&[]);
    let refused = run(without.arg(&program).args(arguments));
    let _ = refused.refused(&["XDG_RUNTIME_DIR is not set"]);
}

/// The phrase, options before `run`, and what the configuration asks for.
type Refused<'a> = (&'a str, &'a [&'a str], &'a dyn Fn(&mut Config));

#[test]
fn what_a_user_cannot_have_is_refused_and_leaves_nothing() {
    if is_systemd_and("a user's systemd is another case") {
        return;
    }
    let Some(user) = User::new() else { return };
    let no_user_namespace = |config: &mut Config| {
        let namespaces = config.0["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "user");
        config
            .remove("/linux/uidMappings")
            .remove("/linux/gidMappings");
    };
    let cases: [Refused<'_>; 7] = [
        (
            "rootless container requires user namespaces",
            &[],
            &no_user_namespace,
        ),
        (
            "cannot set any additional groups in a rootless container",
            &[],
            &|config| {
                config.set("/process/user/additionalGids", json!([5]));
            },
        ),
        (
            "cannot specify gid=5 mount option for rootless container",
            &[],
            &|config| {
                config.push("/mounts/2/options", json!("gid=5"));
            },
        ),
        (
            "cannot set pids limit: container could not join or create cgroup",
            &[],
            &|config| {
                config.set("/linux/resources", json!({"pids": {"limit": 20}}));
            },
        ),
        ("unable to apply cgroup configuration", &[], &|config| {
            config.set("/linux/cgroupsPath", json!("/conformance-rootless/none"));
        }),
        (
            "unable to apply cgroup configuration",
            &["--rootless", "false"],
            &|_| {},
        ),
        ("oom_score_adj", &[], &|config| {
            config.set("/process/oomScoreAdj", json!(-900));
        }),
    ];
    for (phrase, options, change) in cases {
        user.config(|config| {
            config.args(&["true"]);
            change(config);
        });
        let _ = user.run(options).refused(&[phrase]);
        user.container.assert_nothing_left();
    }
    user.config(|config| {
        config.args(&["true"]);
    });
    let _ = user.run(&["--rootless", "true"]).ok();
}

#[test]
fn a_users_files_can_be_bound_and_written_as_his() {
    let Some(user) = User::new() else { return };
    let data = user.container.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("given"), "something\n").unwrap();
    user.own(&data);
    user.config(|config| {
        let bind = |destination: &str, options: &[&str]| {
            json!({"destination": destination, "source": data, "type": "bind", "options": options})
        };
        config.push("/mounts", bind("/data", &["rbind", "nodev"]));
        config.push("/mounts", bind("/readonly", &["bind", "ro"]));
        config.shell("cat /readonly/given; touch /data/made; touch /readonly/made 2>/dev/null || echo read-only");
        config.set("/root/readonly", json!(false));
    });
    assert_eq!(user.run(&[]).ok().stdout, "something\nread-only\n");
    let made = fs::metadata(data.join("made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (UID, GID));

    user.config(|config| {
        config.push(
            "/mounts",
            json!({"destination": "/data", "source": "/no/such", "type": "bind", "options": ["rbind"]}),
        );
    });
    let _ = user.run(&[]).refused(&["/no/such"]);
    user.container.assert_nothing_left();
}

#[test]
fn a_users_process_may_be_killed_sooner_and_has_limits_of_its_own() {
    let Some(user) = User::new() else { return };
    user.config(|config| {
        config.set("/process/oomScoreAdj", json!(300));
        config.set(
            "/process/rlimits",
            json!([{"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60}]),
        );
        config.shell("cat /proc/self/oom_score_adj; ulimit -Sn; ulimit -Hn");
    });
    assert_eq!(user.run(&[]).ok().stdout, "300\n50\n60\n");
}

#[test]
fn a_hook_runs_in_the_namespaces_of_a_users_container() {
    let Some(user) = User::new() else { return };
    user.config(|config| {
        let seen = user.container.path().join("seen");
        let script = format!(
            "test $(id -u) = 0 && read inside outside count < /proc/self/uid_map && echo $outside > {}",
            seen.display()
        );
        let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]);
        config.set("/hooks", json!({"createContainer": hook}));
        config.args(&["true"]);
    });
    let _ = user.run(&[]).ok();
    assert_eq!(user.container.read("seen").trim(), UID.to_string());
}

#[test]
fn subordinate_ids_are_mapped_by_the_hosts_tools() {
    if runtime().departs(
        "runc",
        "refuses additional groups of any rootless container",
    ) {
        return;
    }
    let Some(user) = User::with_subordinate_ids() else {
        return;
    };
    user.config(|config| {
        user.map_subordinate_ids(config);
        config.set(
            "/process/user",
            json!({"uid": 1000, "gid": 1000, "additionalGids": [5, 6]}),
        );
        config.set("/process/oomScoreAdj", json!(200));
        config.shell("id -G; exec sleep 1000");
    });
    let id = user.container.id.as_str();
    let _ = user.run(&["--detach"]).ok();
    let script = format!("{WHO}; id -G; cat /proc/self/oom_score_adj");
    let printed = user.call(&["exec", id, "sh", "-c", &script]).ok().stdout;
    let maps = format!("0 {UID} 1\n1 200000 65536\n0 {GID} 1\n1 200000 65536\n");
    assert_eq!(printed, format!("1000\n1000\n{maps}1000 5 6\n200\n"));
    let printed = user.call(&["exec", "--user", "7:8", id, "id", "-u"]).ok();
    assert_eq!(printed.stdout, "7\n");
    let state: Value = serde_json::from_str(&user.call(&["state", id]).ok().stdout).unwrap();
    let process = fs::metadata(format!("/proc/{}", state["pid"])).unwrap();
    assert_eq!(process.uid(), 200_999);
    let _ = user.call(&["delete", "--force", id]).ok();
    user.container.assert_nothing_left();
}

#[test]
fn ids_that_are_not_the_users_are_refused_and_so_is_what_lacks_the_tool() {
    if runtime().departs("runc", "says so in several lines") {
        return;
    }
    let Some(user) = User::with_subordinate_ids() else {
        return;
    };
    user.config(|config| {
        user.map_subordinate_ids(config);
        config.set("/linux/uidMappings/1/hostID", json!(900_000));
        config.args(&["true"]);
    });
    let _ = user.run(&[]).refused(&["newuid"]);
    user.container.assert_nothing_left();
    user.config(|config| {
        user.map_subordinate_ids(config);
        config.args(&["true"]);
    });
    let bundle = user.container.bundle();
    let mut command = user.command(&["PATH=/nowhere"]);
    command.arg(user.program()).arg("--root");
    command.arg(user.container.state_root());
    command.args(["run", "--bundle"]).arg(bundle);
    let _ = run(command.arg(&user.container.id)).refused(&["newuidmap"]);
    user.container.assert_nothing_left();
}

/// The user's own number is not root's in the container, and the files of its first process are not his.
#[test]
fn the_container_s_root_may_be_a_subordinate_id() {
    if runtime().departs("runc", "gives its fifo to that root, which a user may not") {
        return;
    }
    let Some(user) = User::with_subordinate_ids() else {
        return;
    };
    user.config(|config| {
        let map = |own: u32| {
            json!([
                {"containerID": 1000, "hostID": own, "size": 1},
                {"containerID": 0, "hostID": 200_000, "size": 1000},
            ])
        };
        config
            .set("/linux/uidMappings", map(UID))
            .set("/linux/gidMappings", map(GID));
        config.set("/process/oomScoreAdj", json!(200));
        config.set(
            "/process/rlimits",
            json!([{"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60}]),
        );
        config.args(&["sleep", "1000"]);
    });
    let id = user.container.id.as_str();
    let _ = user.run(&["--detach"]).ok();
    let script =
        "id -u; cat /proc/1/oom_score_adj; grep -c 'Max open files *50 *60' /proc/1/limits";
    let printed = user.call(&["exec", id, "sh", "-c", script]).ok().stdout;
    assert_eq!(printed, "0\n200\n1\n");
    let _ = user.call(&["kill", id, "KILL"]).ok();
    let _ = user.call(&["delete", "--force", id]).ok();
    user.container.assert_nothing_left();
}

#[test]
fn a_user_has_limits_in_a_cgroup_that_is_his() {
    if is_systemd_and("a user's systemd is another case") {
        return;
    }
    let Some(mut user) = User::new() else { return };
    let delegated = user.delegate_cgroup();
    user.config(|config| {
        config.set("/linux/cgroupsPath", json!(format!("{delegated}/inner")));
        if delegated_controller("pids") {
            config.set("/linux/resources", json!({"pids": {"limit": 20}}));
        }
        config.args(&["sleep", "1000"]);
    });
    let id = user.container.id.clone();
    let id = id.as_str();
    let _ = user.run(&["--detach"]).ok();
    let inner = format!("{delegated}/inner");
    if delegated_controller("pids") {
        assert_eq!(cgroup::read(&inner, "pids", "pids.max", "pids.max"), "20");
    }
    let _ = user.call(&["exec", "--detach", id, "sleep", "1000"]).ok();
    let pids = user.call(&["ps", "--format", "json", id]).ok().stdout;
    let pids: Vec<i64> = serde_json::from_str(&pids).unwrap();
    assert_eq!(pids.len(), 2);
    // From where he may not move a process into his own cgroup of version 2, it is not moved.
    user.leave_cgroup();
    let _ = user.call(&["exec", id, "true"]).ok();
    let _ = user.call(&["pause", id]).ok();
    let _ = user.call(&["resume", id]).ok();
    let _ = user.call(&["delete", "--force", id]).ok();
    let left = cgroup::existing(&inner);
    cgroup::remove(&delegated);
    assert!(left.is_empty(), "{left:?}");
}

/// As `unshare --map-root-user` alone makes it: the mounts are still the host's.
#[test]
fn root_of_a_user_namespace_needs_no_mount_namespace_of_his_own() {
    let Some(user) = User::new() else { return };
    let in_namespace = |script: &str| {
        let mut command = user.command(&[]);
        command.args(["unshare", "--user", "--map-root-user", "sh", "-c"]);
        command.arg(format!("{script}exec \"$@\"")).arg("sh");
        command.arg(user.program()).arg("--root");
        command.arg(user.container.state_root());
        command
            .args(["run", "--bundle"])
            .arg(user.container.bundle());
        run(command.arg(&user.container.id))
    };
    user.config(|config| {
        let own = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
        config.set("/linux/uidMappings", own.clone());
        config
            .set("/linux/gidMappings", own)
            .shell("id -u; cat /proc/keys");
    });
    assert_eq!(in_namespace("").ok().stdout, "0\n");

    // /proc/sys/user has the limits of the user namespace that its reader is in.
    if runtime().is_bareboat() {
        let refused = in_namespace("echo 0 > /proc/sys/user/max_user_namespaces && ");
        let _ = refused.refused(&["user.max_*_namespaces"]);
        user.container.assert_nothing_left();
    }
}

#[test]
fn root_goes_without_cgroups_that_are_read_only_if_he_says_so() {
    if is_systemd_and("systemd writes the cgroups of the host") {
        return;
    }
    let container = Container::new(|config| {
        config.remove("/linux/cgroupsPath").args(&["true"]);
    });
    let script: String = cgroup::hierarchies()
        .iter()
        .map(|(_, mount)| mount.display())
        .map(|mount| {
            format!("mount --bind {mount} {mount} && mount -o remount,bind,ro {mount} && ")
        })
        .collect();
    let run_with = |options: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c"]);
        command.arg(format!("{script}exec \"$@\"")).arg("sh");
        command.arg(&runtime().path).arg("--root");
        command.arg(container.state_root()).args(options);
        command.args(["run", "--bundle"]).arg(container.bundle());
        run(command.arg(&container.id))
    };
    for options in [&[][..], &["--rootless", "false"]] {
        let _ = run_with(options).refused(&["unable to apply cgroup configuration"]);
        container.assert_nothing_left();
    }
    let _ = run_with(&["--rootless=true"]).ok();
}

fn delegated_controller(name: &str) -> bool {
    let directory = cgroup::directory(name, "/");
    let controllers = fs::read_to_string(directory.join("cgroup.controllers"));
    cgroup::is_v1(name)
        || controllers.is_ok_and(|list| list.split_whitespace().any(|one| one == name))
}
