//! Where and when a process runs: config.md, `scheduler`, `ioPriority` and `execCPUAffinity`.

#![allow(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

use std::fs;
use std::process::Command;

use conformance::process::{Finished, run};
use conformance::runtime::runtime;
use conformance::{Config, Container};
use serde_json::{Value, json};

#[cfg(target_arch = "x86_64")]
const IOPRIO_GET: &str = "252";
#[cfg(target_arch = "aarch64")]
const IOPRIO_GET: &str = "31";
const IOPRIO_WHO_PROCESS: &str = "1";
const CLASS_REAL_TIME: u32 = 1 << 13;
const CLASS_BEST_EFFORT: u32 = 2 << 13;
const CLASS_IDLE: u32 = 3 << 13;

fn no_scheduler() -> bool {
    runtime().predates("runc", [1, 2, 0], "scheduler and ioPriority")
}

fn no_affinity() -> bool {
    runtime().predates("runc", [1, 3, 0], "execCPUAffinity")
}

fn running(change: impl FnOnce(&mut Config)) -> Container {
    let container = Container::new(|config| {
        config.waits();
        change(config);
    });
    let _ = container.run_detached();
    container
}

/// Nice value, real-time priority and policy in proc_pid_stat(5).
fn scheduling(finished: &Finished) -> [i64; 3] {
    let stat = finished.stdout.trim_end();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<i64> = rest
        .split(' ')
        .map(|field| field.parse().unwrap_or(-1))
        .collect();
    [fields[16], fields[37], fields[38]]
}

fn with_process(container: &Container, members: Value, program: &[&str]) -> Finished {
    let mut process = json!({"cwd": "/", "args": program, "env": ["PATH=/bin"]});
    let members = members.as_object().unwrap().clone();
    process.as_object_mut().unwrap().extend(members);
    let file = container.file("process.json", &process.to_string());
    let mut command = container.subcommand(["exec", "--process"]);
    run(command.arg(file).arg(&container.id))
}

#[test]
fn policy_nice_value_and_priority_are_the_programs() {
    if no_scheduler() {
        return;
    }
    for (scheduler, expected) in [
        (json!({"policy": "SCHED_BATCH", "nice": 5}), [5, 0, 3]),
        (json!({"policy": "SCHED_OTHER", "nice": -5}), [-5, 0, 0]),
        (json!({"policy": "SCHED_IDLE"}), [0, 0, 5]),
        (json!({"policy": "SCHED_OTHER"}), [0, 0, 0]),
    ] {
        let container = Container::new(|config| {
            config
                .args(&["cat", "/proc/self/stat"])
                .set("/process/scheduler", scheduler.clone());
        });
        let finished = container.run().ok();
        assert_eq!(scheduling(&finished), expected, "{scheduler}");
    }
}

#[test]
fn a_user_without_privileges_has_the_scheduler_too() {
    if no_scheduler() {
        return;
    }
    let container = Container::new(|config| {
        config
            .args(&["cat", "/proc/self/stat"])
            .set("/process/user", json!({"uid": 1000, "gid": 1000}))
            .set(
                "/process/scheduler",
                json!({"policy": "SCHED_BATCH", "nice": -7}),
            )
            .set(
                "/process/ioPriority",
                json!({"class": "IOPRIO_CLASS_RT", "priority": 1}),
            );
    });
    assert_eq!(scheduling(&container.run().ok()), [-7, 0, 3]);
}

#[test]
fn in_a_user_namespace_the_scheduler_and_io_priority_are_as_given_too() {
    if runtime().departs("runc", "lets the process try without the privileges") {
        return;
    }
    let container = running(|config| {
        config
            .user_namespace(&[(0, 100_000, 65536)])
            .set(
                "/process/scheduler",
                json!({"policy": "SCHED_BATCH", "nice": -6}),
            )
            .set(
                "/process/ioPriority",
                json!({"class": "IOPRIO_CLASS_RT", "priority": 2}),
            );
    });
    let finished = container.exec(&[], &["cat", "/proc/1/stat"]);
    assert_eq!(scheduling(&finished.ok()), [-6, 0, 3]);
    let own = container.exec(&[], &["cat", "/proc/self/stat"]).ok();
    assert_eq!(scheduling(&own), [-6, 0, 3]);
    for pid in ["0", "1"] {
        let get = ["/probe", "syscall", IOPRIO_GET, IOPRIO_WHO_PROCESS, pid];
        let io = container.exec(&[], &get).ok().stdout;
        assert_eq!(io.trim(), (CLASS_REAL_TIME | 2).to_string(), "{pid}");
    }
}

#[test]
fn exec_can_have_a_deadline_where_the_container_has_none() {
    if no_scheduler() {
        return;
    }
    let container = running(|_| {});
    let scheduler = json!({
        "policy": "SCHED_DEADLINE", "flags": ["SCHED_FLAG_RESET_ON_FORK"],
        "runtime": 42_000, "deadline": 1_000_000, "period": 1_000_000
    });
    let members = json!({"scheduler": scheduler});
    let finished = with_process(&container, members, &["cat", "/proc/self/stat"]);
    if finished.stderr.contains("busy") {
        // All of the machine's time is reserved by others.
        return;
    }
    assert_eq!(scheduling(&finished.ok()), [0, 0, 6]);
}

#[test]
fn exec_has_the_containers_scheduler_and_io_priority_or_its_own() {
    if no_scheduler() {
        return;
    }
    let container = running(|config| {
        config
            .set(
                "/process/scheduler",
                json!({"policy": "SCHED_BATCH", "nice": 4}),
            )
            .set(
                "/process/ioPriority",
                json!({"class": "IOPRIO_CLASS_BE", "priority": 3}),
            );
    });
    let stat = ["cat", "/proc/self/stat"];
    let get = ["/probe", "syscall", IOPRIO_GET, IOPRIO_WHO_PROCESS, "0"];
    assert_eq!(scheduling(&container.exec(&[], &stat).ok()), [4, 0, 3]);
    let io = container.exec(&[], &get).ok().stdout;
    assert_eq!(io.trim(), (CLASS_BEST_EFFORT | 3).to_string());

    // What a file says nothing of is the container's.
    let same = with_process(&container, json!({}), &stat).ok();
    assert_eq!(scheduling(&same), [4, 0, 3]);
    let own = json!({
        "scheduler": {"policy": "SCHED_IDLE"},
        "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 0}
    });
    let idle = with_process(&container, own.clone(), &stat).ok();
    assert_eq!(scheduling(&idle)[2], 5);
    let io = with_process(&container, own, &get).ok().stdout;
    assert_eq!(io.trim(), CLASS_IDLE.to_string());
}

#[test]
fn the_io_priority_is_the_programs() {
    if no_scheduler() {
        return;
    }
    for (class, bits) in [("BE", CLASS_BEST_EFFORT), ("IDLE", CLASS_IDLE)] {
        let container = Container::new(|config| {
            config
                .args(&["/probe", "syscall", IOPRIO_GET, IOPRIO_WHO_PROCESS, "0"])
                .set(
                    "/process/ioPriority",
                    json!({"class": format!("IOPRIO_CLASS_{class}"), "priority": 6}),
                );
        });
        let found = container.run().ok().stdout;
        assert_eq!(found.trim(), (bits | 6).to_string(), "{class}");
    }
}

#[test]
fn a_policy_that_the_kernel_has_not_is_an_error_that_names_it() {
    if no_scheduler() {
        return;
    }
    let container = Container::new(|config| {
        config.set("/process/scheduler", json!({"policy": "SCHED_ISO"}));
    });
    let phrases: &[&str] = match runtime().is_bareboat() {
        true => &["/process/scheduler", "SCHED_ISO"],
        false => &[],
    };
    let _ = container.create().refused(phrases);
    container.assert_nothing_left();
}

#[test]
fn a_deadline_with_a_part_of_the_cpus_is_refused_with_the_reason() {
    if no_scheduler() {
        return;
    }
    let container = Container::new(|config| {
        config
            .set("/linux/resources/cpu", json!({"cpus": "0"}))
            .set(
                "/process/scheduler",
                json!({"policy": "SCHED_DEADLINE", "runtime": 42_000, "deadline": 1_000_000}),
            );
    });
    if run(&mut Command::new("nproc")).stdout.trim() == "1" {
        return;
    }
    let _ = container
        .create()
        .refused(&["process scheduler can't be used together with AllowedCPUs"]);
    container.assert_nothing_left();
}

const SHOW_CPUS: &str = "/proc/self/status";

/// The CPUs in proc_pid_status(5).
fn cpus(status: &str) -> &str {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.unwrap().trim()
}

/// The first and the last of the CPUs that this process may run on, if they are two.
fn two_cpus() -> Option<(String, String)> {
    let status = fs::read_to_string(SHOW_CPUS).unwrap();
    let list = cpus(&status);
    let first = list.split([',', '-']).next().unwrap();
    let last = list.rsplit([',', '-']).next().unwrap();
    (first != last).then(|| (first.to_owned(), last.to_owned()))
}

/// The same command, of a caller that runs on this CPU alone.
fn on_cpu(cpu: &str, command: &Command) -> Command {
    let mut taskset = Command::new("taskset");
    taskset
        .args(["--cpu-list", cpu])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir("/");
    taskset
}

#[test]
fn the_callers_affinity_is_not_the_containers() {
    if no_affinity() {
        return;
    }
    let Some((first, _)) = two_cpus() else { return };
    let all = fs::read_to_string(SHOW_CPUS).unwrap();
    let container = Container::new(|config| {
        config.args(&["cat", SHOW_CPUS]);
    });
    let finished = run(&mut on_cpu(&first, &container.run_command(&[]))).ok();
    assert_eq!(cpus(&finished.stdout), cpus(&all));

    let container = running(|_| {});
    let command = container.exec_command(&[], &["cat", SHOW_CPUS]);
    let finished = run(&mut on_cpu(&first, &command)).ok();
    assert_eq!(cpus(&finished.stdout), cpus(&all));
}

#[test]
fn the_affinity_is_that_of_the_containers_cpus_whatever_the_callers_is() {
    if no_affinity() {
        return;
    }
    let Some((first, last)) = two_cpus() else {
        return;
    };
    let container = Container::new(|config| {
        config
            .args(&["cat", SHOW_CPUS])
            .set("/linux/resources/cpu", json!({"cpus": last, "mems": "0"}));
    });
    let finished = run(&mut on_cpu(&first, &container.run_command(&[]))).ok();
    assert_eq!(cpus(&finished.stdout), last);
}

#[test]
fn exec_runs_on_the_final_cpus() {
    if no_affinity() {
        return;
    }
    let Some((first, last)) = two_cpus() else {
        return;
    };
    let affinity = json!({"initial": first, "final": last});
    let configured = running(|config| {
        config.set("/process/execCPUAffinity", affinity.clone());
    });
    let show = ["cat", SHOW_CPUS];
    assert_eq!(cpus(&configured.exec(&[], &show).ok().stdout), last);
    // The setting is not the first process's.
    let init = fs::read_to_string(format!("/proc/{}/status", configured.pid())).unwrap();
    assert_eq!(cpus(&init), cpus(&fs::read_to_string(SHOW_CPUS).unwrap()));

    let container = running(|_| {});
    for (list, expected) in [
        (last.clone(), last.clone()),
        (format!("{last},{first}"), cpus_of(&[&first, &last])),
    ] {
        let members = json!({"execCPUAffinity": {"initial": "", "final": list}});
        let finished = with_process(&container, members, &show).ok();
        assert_eq!(cpus(&finished.stdout), expected);
    }
}

/// The list of two CPUs as the kernel writes it.
fn cpus_of(pair: &[&str; 2]) -> String {
    let [first, last] = pair.map(|cpu| cpu.parse::<u32>().unwrap());
    let separator = if first + 1 == last { '-' } else { ',' };
    format!("{first}{separator}{last}")
}

#[test]
fn exec_with_initial_cpus_alone_runs_and_leaves_the_rest_to_the_kernel() {
    if no_affinity() {
        return;
    }
    let Some((first, last)) = two_cpus() else {
        return;
    };
    let container = running(|_| {});
    let members = json!({"execCPUAffinity": {"initial": last}});
    let finished = with_process(&container, members, &["cat", SHOW_CPUS]).ok();
    let found = cpus(&finished.stdout);
    let all = fs::read_to_string(SHOW_CPUS).unwrap();
    // Kernels before 6.2 widen it to the cgroup's in version 1.
    assert!(found == last || found == cpus(&all), "{found}, not {first}");
}

#[test]
fn cpus_that_are_none_are_refused_by_their_pointer() {
    if no_affinity() {
        return;
    }
    let container = running(|_| {});
    for (affinity, pointer) in [
        (
            json!({"initial": "70000"}),
            "/process/execCPUAffinity/initial",
        ),
        (json!({"final": "8-7"}), "/process/execCPUAffinity/final"),
        (
            json!({"initial": "65535"}),
            "/process/execCPUAffinity/initial",
        ),
        (json!({"final": "65535"}), "/process/execCPUAffinity/final"),
        (json!({"final": "all"}), "/process/execCPUAffinity/final"),
    ] {
        let members = json!({"execCPUAffinity": affinity});
        let finished = with_process(&container, members, &["true"]);
        assert_eq!(finished.code(), 255, "{affinity}: {finished:?}");
        if runtime().is_bareboat() {
            assert!(finished.stderr.contains(pointer), "{finished:?}");
        }
    }
}
