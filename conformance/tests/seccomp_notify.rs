//! Calls that a filter hands to an agent: config-linux.md, "Seccomp" (SCMP_ACT_NOTIFY, listenerPath) and "The Container
//! Process State".

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use conformance::agent::Answer;
use conformance::process::until;
use conformance::runtime::runtime;
use conformance::{Agent, Config, Container, Report};
use serde_json::{Value, json};

/// What no policy has for its highest priority. No runtime asks for that itself.
const FROM_THE_AGENT: i64 = 4711;

fn priority(number: i64) -> Answer {
    if number == libc::SYS_sched_get_priority_max {
        Answer::Result(FROM_THE_AGENT)
    } else {
        Answer::Continue
    }
}

/// A profile that hands these calls over.
fn handing_over(names: &[&str], path: &Path) -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": path,
        "syscalls": [{"names": names, "action": "SCMP_ACT_NOTIFY"}],
    })
}

/// A container whose program makes that call, with such a profile; and the agent.
fn asking(names: &[&str], change: impl FnOnce(&mut Config)) -> (Container, Agent) {
    let container = Container::with_path(|config, directory| {
        config
            .args(&[
                "/probe",
                "syscall",
                &libc::SYS_sched_get_priority_max.to_string(),
            ])
            .set(
                "/linux/seccomp",
                handing_over(names, &directory.join("agent.sock")),
            );
        change(config);
    });
    let agent = Agent::new(container.path(), priority);
    (container, agent)
}

#[test]
fn the_agent_answers_with_and_without_no_new_privileges_for_root_and_others() {
    for no_new_privileges in [true, false] {
        for uid in [0, 1000] {
            let (container, agent) = asking(&["sched_get_priority_max"], |config| {
                config
                    .set("/process/noNewPrivileges", json!(no_new_privileges))
                    .set("/process/user/uid", json!(uid));
            });
            assert_eq!(container.run().ok().stdout, format!("{FROM_THE_AGENT}\n"));
            assert_eq!(agent.seen(), [libc::SYS_sched_get_priority_max]);
        }
    }
}

#[test]
fn the_agent_is_told_once_whose_calls_it_decides_about() {
    let (container, agent) = asking(&["sched_get_priority_max"], |config| {
        config
            .waits()
            .set("/linux/seccomp/listenerMetadata", json!("some metadata"))
            .set("/annotations", json!({"com.example.key": "value"}));
    });
    let _ = container.create().ok();
    let _ = container.start().ok();
    container.wait_for("running");
    let told = agent.told();
    assert_eq!(told.len(), 1, "{told:#?}");
    if !runtime().predates("runc", [1, 2, 0], "that the connection must be closed") {
        until("the end of the connection", || {
            (agent.ended() == 1).then_some(())
        });
    }
    let message = &told[0];
    let pid = container.pid();
    assert_eq!(message["fds"], json!(["seccompFd"]));
    assert_eq!(message["pid"], pid);
    assert_eq!(message["metadata"], "some metadata");
    assert!(message["ociVersion"].is_string());
    let state = &message["state"];
    assert_eq!(state["id"], container.id);
    assert_eq!(state["pid"], pid);
    assert_eq!(state["bundle"], json!(container.bundle()));
    assert_eq!(state["annotations"]["com.example.key"], "value");
    assert!(["creating", "created"].contains(&state["status"].as_str().unwrap()));
}

#[test]
fn an_exec_has_a_listener_of_its_own() {
    for no_new_privileges in [true, false] {
        let (container, agent) = asking(&["sched_get_priority_max"], |config| {
            config
                .waits()
                .set("/process/noNewPrivileges", json!(no_new_privileges));
        });
        let _ = container.run_detached();
        let number = libc::SYS_sched_get_priority_max.to_string();
        let finished = container.exec(&[], &["/probe", "syscall", &number]).ok();
        assert_eq!(finished.stdout, format!("{FROM_THE_AGENT}\n"));
        let told = agent.told();
        assert_eq!(told.len(), 2, "{told:#?}");
        assert_eq!(told[1]["state"]["pid"], container.pid());
        assert_eq!(told[1]["state"]["status"], "running");
        assert_ne!(told[1]["pid"], told[1]["state"]["pid"]);
    }
}

#[test]
fn calls_that_a_runtime_makes_last_can_be_handed_over() {
    let mut names = vec!["execve", "openat", "open", "read", "close", "fcntl"];
    if !runtime().departs("runc", "talks to itself from under the filter") {
        names.extend([
            "sendmsg",
            "sendto",
            "recvmsg",
            "recvfrom",
            "futex",
            "sched_yield",
            "close_range",
            "prctl",
            "capset",
        ]);
    }
    for no_new_privileges in [true, false] {
        let (container, agent) = asking(&names, |config| {
            config
                .args(&["true"])
                .set("/process/noNewPrivileges", json!(no_new_privileges));
        });
        let _ = container.run().ok();
        assert!(agent.seen().contains(&libc::SYS_execve));
        let _ = container.delete_force();
        let _ = container.create().ok();
        let _ = container.start().ok();
        container.wait_for("stopped");
    }
}

#[test]
fn a_filter_that_forbids_sending_does_not_keep_the_listener_from_the_agent() {
    if runtime().departs("runc", "talks to itself from under the filter") {
        return;
    }
    for action in ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"] {
        let (container, agent) = asking(&["sched_get_priority_max"], |config| {
            config.push(
                "/linux/seccomp/syscalls",
                json!({"names": ["sendmsg", "sendto", "recvfrom", "futex", "sched_yield", "clone", "close_range"], "action": action}),
            );
        });
        assert_eq!(container.run().ok().stdout, format!("{FROM_THE_AGENT}\n"));
        assert_eq!(agent.told().len(), 1);
    }
}

#[test]
fn nothing_of_the_handing_over_is_left_in_the_container() {
    let (container, _agent) = asking(&["sched_get_priority_max"], |config| {
        config.args(&["/probe"]);
    });
    let report = Report::parse(&container.run().ok());
    assert_eq!(report.status("Threads"), "1");
    assert_eq!(report.pid, 1);
    let open: Vec<_> = report.descriptors.keys().collect();
    assert!(open.iter().all(|number| **number < 3), "{report:#?}");
}

#[test]
fn a_container_in_a_user_namespace_has_an_agent_too() {
    let (container, _agent) = asking(&["sched_get_priority_max"], |config| {
        config.user_namespace(&[(0, 100_000, 65536)]);
    });
    assert_eq!(container.run().ok().stdout, format!("{FROM_THE_AGENT}\n"));
}

#[test]
fn a_start_container_hook_gets_no_descriptor_of_the_filters() {
    let (container, agent) = asking(&["sched_get_priority_max"], |config| {
        let script = "test $(ls /proc/self/fd | wc -l) -eq 4";
        config.set(
            "/hooks/startContainer",
            json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]),
        );
    });
    assert_eq!(container.run().ok().stdout, format!("{FROM_THE_AGENT}\n"));
    assert!(!agent.told().is_empty());
}

#[test]
fn calls_fail_with_enosys_once_the_agent_is_gone() {
    let (container, _) = asking(&["sched_get_priority_max"], |_| {});
    std::fs::remove_file(container.path().join("agent.sock")).unwrap();
    let _agent = Agent::new(container.path(), |_| Answer::HangUp);
    assert_eq!(container.run().ok().stdout, "ENOSYS\n");
}

#[test]
fn the_agents_errno_is_the_calls() {
    let (container, _) = asking(&["sched_get_priority_max"], |_| {});
    std::fs::remove_file(container.path().join("agent.sock")).unwrap();
    let _agent = Agent::new(container.path(), |_| Answer::Errno(libc::ENOMEDIUM));
    assert_eq!(container.run().ok().stdout, "ENOMEDIUM\n");
}

#[test]
fn without_an_agent_the_container_is_refused() {
    let container = Container::with_path(|config, directory| {
        config.args(&["true"]).set(
            "/linux/seccomp",
            handing_over(&["mkdir"], &directory.join("nobody.sock")),
        );
    });
    let _ = container
        .run()
        .refused(&["failed to connect with seccomp agent"]);
    container.assert_nothing_left();
    let mut config = container.config();
    config.set("/linux/seccomp/listenerPath", json!("@nobody-listens-here"));
    container.write_config(&config);
    let _ = container
        .run()
        .refused(&["failed to connect with seccomp agent"]);
    container.assert_nothing_left();
}

#[test]
fn a_start_without_an_agent_fails_and_stops_the_container() {
    if runtime().departs("runc", "loads the filter in create") {
        return;
    }
    let (container, _agent) = asking(&["sched_get_priority_max"], |_| {});
    let _ = container.create().ok();
    std::fs::remove_file(container.path().join("agent.sock")).unwrap();
    let _ = container
        .start()
        .refused(&["/linux/seccomp/listenerPath", "agent.sock"]);
    container.wait_for("stopped");
}

#[test]
fn an_agent_may_listen_on_an_abstract_address() {
    let (container, _) = asking(&["sched_get_priority_max"], |_| {});
    let address = SocketAddr::from_abstract_name(&container.id).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    let _agent = Agent::serving(listener, "".into(), priority);
    let mut config = container.config();
    config.set(
        "/linux/seccomp/listenerPath",
        json!(format!("@{}", container.id)),
    );
    container.write_config(&config);
    assert_eq!(container.run().ok().stdout, format!("{FROM_THE_AGENT}\n"));
}

#[test]
fn a_listener_path_is_ignored_where_no_rule_hands_calls_over() {
    let container = Container::with_path(|config, directory| {
        config.args(&["true"]).set(
            "/linux/seccomp",
            json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "listenerPath": directory.join("nobody.sock"),
                "listenerMetadata": "bar",
                "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}],
            }),
        );
    });
    let _ = container.run().ok();
}

#[test]
fn a_profile_that_cannot_be_listened_to_is_refused() {
    for (names, path, phrases) in [
        (&["mkdir"], "", &["listenerPath is not set"]),
        (
            &["write"],
            "/run/agent.sock",
            &["SCMP_ACT_NOTIFY cannot be used for the write syscall"],
        ),
    ] {
        let container = Container::new(|config| {
            config
                .args(&["true"])
                .set("/linux/seccomp", handing_over(names, Path::new(path)));
        });
        let _ = container.run().refused(phrases);
        container.assert_nothing_left();
    }
}

#[test]
fn a_killable_wait_for_the_agent_can_be_asked_for() {
    if runtime().predates("runc", [1, 2, 0], "WAIT_KILLABLE_RECV") {
        return;
    }
    let (container, _agent) = asking(&["sched_get_priority_max"], |config| {
        config.set(
            "/linux/seccomp/flags",
            json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]),
        );
    });
    assert_eq!(container.run().ok().stdout, format!("{FROM_THE_AGENT}\n"));
}
