//! config.md, "Process", "POSIX process", "Linux Process", "User".

use std::fs;

use serde_json::{Value, json};

use super::{inside, refuses, run_if_supported, running};
use crate::cgroup::directory;
use crate::console::ConsoleSocket;
use crate::container::{output_of, probe};
use crate::process::run;
use crate::suite::skip;
use crate::{Config, Container, Report};

cases! {
    Must "config.md#process" ["1.0.0"] "terminal: … a pseudoterminal pair is allocated for the process and the pseudoterminal pty is duplicated on the process's standard streams."
        a_terminal_is_the_programs_standard_streams => || assert!(on_a_terminal("test -t 0 -a -t 1 -a -t 2 && echo 'all three'", true).contains("all three"));
    Must "config.md#process" ["1.0.0"] "terminal (bool, OPTIONAL) … defaults to false."
        there_is_no_terminal_by_default;
    Must "config.md#process" ["1.0.0"] "consoleSize (object, OPTIONAL) specifies the console size in characters of the terminal: height, width"
        the_terminal_has_the_size_that_was_asked_for => || assert!(on_a_terminal("stty size", true).contains("31 97"));
    Must "config.md#process" ["1.0.0"] "Runtimes MUST ignore consoleSize if terminal is false or unset."
        a_console_size_without_a_terminal_is_ignored;
    Must "config.md#process" ["1.0.0"] "cwd (string, REQUIRED) is the working directory that will be set for the executable."
        the_working_directory_is_set => || assert_eq!(probe(|config| { config.set("/process/cwd", json!("/var")); }).cwd, "/var");
    Must "config.md#process" ["1.0.0"] "This value MUST be an absolute path."
        a_relative_working_directory_is_an_error => || refuses(|config| { config.set("/process/cwd", json!("var")); });
    Must "config.md#process" ["1.0.0"] "cwd (string, REQUIRED)"
        a_process_without_a_working_directory_is_an_error => || refuses(|config| { config.remove("/process/cwd"); });
    Must "config.md#process" ["1.0.0"] "env (array of strings, OPTIONAL) with the same semantics as IEEE Std 1003.1-2008's environ."
        the_environment_is_what_was_given;
    Must "config.md#process" ["1.0.0"] "args … with similar semantics to … execvp's argv."
        the_arguments_are_what_was_given;
    Must "config.md#process" ["1.0.0"] "that entry is used with the same semantics as execvp's file."
        the_program_is_looked_for_in_its_own_path;
    Must "config.md#process" ["1.0.0"] "at least one entry is REQUIRED (non-Windows)"
        a_process_without_arguments_is_an_error => || refuses(|config| { config.set("/process/args", json!([])); });

    Must "config.md#posix-process" ["1.0.0"] "The runtime MUST generate an error for any values which cannot be mapped to a relevant kernel interface."
        an_unknown_rlimit_is_an_error => || refuses(|config| limit(config, "RLIMIT_UNKNOWN", 1, 1));
    Must "config.md#posix-process" ["1.0.0"] "For each entry in rlimits, a getrlimit(3) on type MUST succeed."
        every_rlimit_of_linux_is_known;
    Must "config.md#posix-process" ["1.0.0"] "soft: rlim.rlim_cur MUST match the configured value."
        the_soft_limit_is_set => || assert_eq!(files(300, 400).0, "300");
    Must "config.md#posix-process" ["1.0.0"] "hard: rlim.rlim_max MUST match the configured value."
        the_hard_limit_is_set => || assert_eq!(files(300, 400).1, "400");
    Must "config.md#posix-process" ["1.0.0"] "If rlimits contains duplicated entries with same type, the runtime MUST generate an error."
        an_rlimit_that_is_given_twice_is_an_error;

    Must "config.md#linux-process" ["1.1.0"] "capabilities: … Any value which cannot be mapped … MUST be logged as a warning by the runtime. (It is not an error.)"
        an_unknown_capability_is_not_an_error => || drop(probe(|config| { with(config, &["CAP_KILL", "CAP_UNKNOWN"]); }));
    Should "config.md#linux-process" ["1.1.0"] "Runtimes SHOULD NOT fail if the container configuration requests capabilities that cannot be granted"
        a_capability_that_cannot_be_granted_is_not_an_error;
    Must "config.md#linux-process" ["1.0.0"] "effective … capabilities that are kept for the process."
        the_effective_capabilities_are_set => || set("effective", "CapEff");
    Must "config.md#linux-process" ["1.0.0"] "bounding … capabilities that are kept for the process."
        the_bounding_capabilities_are_set => || set("bounding", "CapBnd");
    Must "config.md#linux-process" ["1.0.0"] "inheritable … capabilities that are kept for the process."
        the_inheritable_capabilities_are_set => || set("inheritable", "CapInh");
    Must "config.md#linux-process" ["1.0.0"] "permitted … capabilities that are kept for the process."
        the_permitted_capabilities_are_set => || set("permitted", "CapPrm");
    Must "config.md#linux-process" ["1.0.0"] "ambient … capabilities that are kept for the process."
        the_ambient_capabilities_are_set => || set("ambient", "CapAmb");
    Must "config.md#linux-process" ["1.0.0"] "setting noNewPrivileges to true prevents the process from gaining additional privileges."
        no_new_privileges_is_set => || assert_eq!(probe(|config| { config.set("/process/noNewPrivileges", json!(true)); }).status("NoNewPrivs"), "1");
    Must "config.md#linux-process" ["1.0.0"] "noNewPrivileges (bool, OPTIONAL)"
        no_new_privileges_is_not_set_by_default => || assert_eq!(probe(|config| { config.remove("/process/noNewPrivileges"); }).status("NoNewPrivs"), "0");
    Must "config.md#linux-process" ["1.0.0"] "If oomScoreAdj is set, the runtime MUST set oom_score_adj to the given value."
        the_oom_score_is_adjusted => || assert_eq!(probe(|config| { config.set("/process/oomScoreAdj", json!(321)); }).file("/proc/self/oom_score_adj"), "321");
    Must "config.md#linux-process" ["1.0.0"] "If oomScoreAdj is not set, the runtime MUST NOT change the value of oom_score_adj."
        the_oom_score_stays_as_it_was;

    Must "config.md#linux-process" ["1.1.0"] "scheduler: policy (string, REQUIRED) represents the scheduling policy: SCHED_OTHER"
        scheduler_other_with_a_nice_value => || scheduled(&json!({"policy": "SCHED_OTHER", "nice": 5}), 0, 5, 0);
    Must "config.md#linux-process" ["1.1.0"] "scheduler: policy: SCHED_BATCH; nice"
        scheduler_batch => || scheduled(&json!({"policy": "SCHED_BATCH", "nice": 3}), 3, 3, 0);
    Must "config.md#linux-process" ["1.1.0"] "scheduler: policy: SCHED_IDLE"
        scheduler_idle => || scheduled(&json!({"policy": "SCHED_IDLE"}), 5, 0, 0);
    Must "config.md#linux-process" ["1.1.0"] "scheduler: policy: SCHED_FIFO; priority … represents the static priority of the process"
        scheduler_fifo_with_a_priority => || scheduled(&json!({"policy": "SCHED_FIFO", "priority": 7}), 1, 0, 7);
    Must "config.md#linux-process" ["1.1.0"] "scheduler: policy: SCHED_RR; priority"
        scheduler_rr_with_a_priority => || scheduled(&json!({"policy": "SCHED_RR", "priority": 9}), 2, 0, 9);
    Must "config.md#linux-process" ["1.1.0"] "scheduler: policy: SCHED_DEADLINE; runtime, deadline, period"
        scheduler_deadline => || scheduled(&json!({"policy": "SCHED_DEADLINE", "runtime": 10_000_000, "deadline": 30_000_000, "period": 50_000_000}), 6, 0, 0);
    Must "config.md#linux-process" ["1.1.0"] "scheduler: nice … If not set, the runtime must use the value 0."
        scheduler_nice_is_0_by_default => || scheduled(&json!({"policy": "SCHED_OTHER"}), 0, 0, 0);
    Must "config.md#linux-process" ["1.1.0"] "scheduler: flags … SCHED_FLAG_RESET_ON_FORK"
        scheduler_flag_reset_on_fork;
    Must "config.md#linux-process" ["1.1.0"] "scheduler: A valid list of values is …"
        an_unknown_scheduling_policy_is_an_error => || refuses(|config| { config.version("1.1.0").set("/process/scheduler", json!({"policy": "SCHED_UNKNOWN"})); });
    Must "config.md#linux-process" ["1.1.0"] "scheduler: flags: A valid list of values is …"
        an_unknown_scheduling_flag_is_an_error => || refuses(|config| { config.version("1.1.0").set("/process/scheduler", json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_UNKNOWN"]})); });
    Must "config.md#linux-process" ["1.1.0"] "ioPriority: class: IOPRIO_CLASS_BE; priority"
        io_priority_best_effort => || io_priority("IOPRIO_CLASS_BE", 6, "best-effort: prio 6");
    Must "config.md#linux-process" ["1.1.0"] "ioPriority: class: IOPRIO_CLASS_IDLE"
        io_priority_idle => || io_priority("IOPRIO_CLASS_IDLE", 7, "idle");
    Must "config.md#linux-process" ["1.1.0"] "ioPriority: class: IOPRIO_CLASS_RT; priority"
        io_priority_realtime => || io_priority("IOPRIO_CLASS_RT", 2, "realtime: prio 2");
    Must "config.md#linux-process" ["1.1.0"] "ioPriority: class: Possible values are …"
        an_unknown_io_class_is_an_error => || refuses(|config| { config.version("1.1.0").set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_UNKNOWN", "priority": 4})); });
    Must "config.md#linux-process" ["1.1.0"] "ioPriority: priority … ranging from 0 (highest) to 7 (lowest)."
        an_io_priority_of_8_is_an_error => || refuses(|config| { config.version("1.1.0").set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 8})); });
    Must "config.md#linux-process" ["1.2.1"] "execCPUAffinity: final … is a list of CPUs the process will be run on after the transition to container's cgroup."
        exec_runs_on_its_final_cpus => || assert_eq!(affinity(&json!({"final": "1"})), "1");
    Must "config.md#linux-process" ["1.2.1"] "execCPUAffinity: initial … before the transition to container's cgroup."
        exec_can_start_on_other_cpus => || assert_eq!(affinity(&json!({"initial": "0", "final": "1"})), "1");
    Should "config.md#linux-process" ["1.2.1"] "If [final is] omitted or empty, runtime SHOULD NOT change process' CPU affinity after the process is moved to container's cgroup"
        exec_without_final_cpus_keeps_what_the_kernel_determines;
    Must "config.md#linux-process" ["1.2.1"] "This setting is not applicable to the container's init process."
        the_cpu_affinity_of_exec_is_not_the_init_processs;
    Must "config.md#linux-process" ["1.0.0"] "apparmorProfile (string, OPTIONAL) specifies the name of the AppArmor profile for the process."
        the_apparmor_profile_is_the_processs;
    Must "config.md#linux-process" ["1.0.0"] "selinuxLabel (string, OPTIONAL) specifies the SELinux label for the process."
        the_selinux_label_is_the_processs;

    Must "config.md#posix-platform-user" ["1.0.0"] "uid (int, REQUIRED) specifies the user ID in the container namespace."
        the_user_id_is_set => || assert_eq!(as_user().0, "1001 1001 1001 1001");
    Must "config.md#posix-platform-user" ["1.0.0"] "gid (int, REQUIRED) specifies the group ID in the container namespace."
        the_group_id_is_set => || assert_eq!(as_user().1, "1002 1002 1002 1002");
    Must "config.md#posix-platform-user" ["1.0.2"] "umask (int, OPTIONAL) specifies the umask of the user."
        the_umask_is_set => || assert_eq!(probe(|config| { config.version("1.1.0").set("/process/user/umask", json!(0o27)); }).status("Umask"), "0027");
    Must "config.md#posix-platform-user" ["1.0.0"] "additionalGids (array of ints, OPTIONAL) specifies additional group IDs …"
        the_additional_groups_are_set => || assert_eq!(as_user().2, "5 6");
}

/// What the script prints on the container's terminal.
fn on_a_terminal(script: &str, sized: bool) -> String {
    let container = Container::new(|config| {
        let script = format!("{script}; echo the end; read line");
        config.shell(&script).set("/process/terminal", json!(true));
        if sized {
            config.set("/process/consoleSize", json!({"height": 31, "width": 97}));
        }
    });
    let socket = ConsoleSocket::new(container.path());
    let mut command = container.subcommand(["create", "--console-socket"]);
    command.arg(&socket.path).arg("--bundle");
    let _ = run(command.arg(container.bundle()).arg(&container.id)).ok();
    let mut terminal = socket.receive();
    let _ = container.start().ok();
    terminal.wait_for("the end\r\n").to_owned()
}

fn there_is_no_terminal_by_default() {
    let text = output_of(
        "test -t 0 -o -t 1 && echo terminal || echo none",
        |config| {
            config.remove("/process/terminal");
        },
    );
    assert_eq!(text, "none\n");
}

fn a_console_size_without_a_terminal_is_ignored() {
    let _ = probe(|config| {
        config.set("/process/consoleSize", json!({"height": 31, "width": 97}));
    });
}

fn the_environment_is_what_was_given() {
    let given = ["A=1", "EMPTY=", "LONG=with = and blanks", "PATH=/bin"];
    let report = probe(|config| {
        config.set("/process/env", json!(given));
    });
    for variable in given {
        assert!(
            report.env.iter().any(|found| found == variable),
            "{:?}",
            report.env
        );
    }
    let host = report
        .env
        .iter()
        .find(|variable| variable.starts_with("CARGO"));
    assert_eq!(host, None, "nothing of the runtime's own is passed on");
}

fn the_arguments_are_what_was_given() {
    let args = ["/probe", "", "two words", "*", "--", "$HOME"];
    assert_eq!(
        probe(|config| {
            config.args(&args);
        })
        .args,
        args
    );
}

fn the_program_is_looked_for_in_its_own_path() {
    let container = Container::new(|config| {
        config
            .args(&["the-probe"])
            .set("/process/env", json!(["PATH=/nowhere:/opt"]));
    });
    fs::create_dir(container.rootfs().join("opt")).unwrap();
    fs::rename(
        container.rootfs().join("probe"),
        container.rootfs().join("opt/the-probe"),
    )
    .unwrap();
    let _ = container.report();
}

fn limit(config: &mut Config, name: &str, soft: u64, hard: u64) {
    config.push(
        "/process/rlimits",
        json!({"type": name, "soft": soft, "hard": hard}),
    );
}

fn files(soft: u64, hard: u64) -> (String, String) {
    let report = probe(|config| {
        config.set("/process/rlimits", json!([]));
        limit(config, "RLIMIT_NOFILE", soft, hard);
    });
    report.limits["Max open files"].clone()
}

/// Each with what the process has anyway: raising a limit needs a capability.
fn every_rlimit_of_linux_is_known() {
    let own = probe(|_| {}).limits;
    let names = [
        ("RLIMIT_CPU", "Max cpu time"),
        ("RLIMIT_FSIZE", "Max file size"),
        ("RLIMIT_DATA", "Max data size"),
        ("RLIMIT_STACK", "Max stack size"),
        ("RLIMIT_CORE", "Max core file size"),
        ("RLIMIT_RSS", "Max resident set"),
        ("RLIMIT_NPROC", "Max processes"),
        ("RLIMIT_NOFILE", "Max open files"),
        ("RLIMIT_MEMLOCK", "Max locked memory"),
        ("RLIMIT_AS", "Max address space"),
        ("RLIMIT_LOCKS", "Max file locks"),
        ("RLIMIT_SIGPENDING", "Max pending signals"),
        ("RLIMIT_MSGQUEUE", "Max msgqueue size"),
        ("RLIMIT_NICE", "Max nice priority"),
        ("RLIMIT_RTPRIO", "Max realtime priority"),
        ("RLIMIT_RTTIME", "Max realtime timeout"),
    ];
    let number = |text: &String| text.parse().unwrap_or(u64::MAX);
    let report = probe(|config| {
        config.set("/process/rlimits", json!([]));
        for (name, line) in names {
            limit(config, name, number(&own[line].0), number(&own[line].1));
        }
    });
    for (name, line) in names {
        assert_eq!(report.limits[line], own[line], "{name}");
    }
}

fn an_rlimit_that_is_given_twice_is_an_error() {
    refuses(|config| {
        limit(config, "RLIMIT_CORE", 0, 0);
        limit(config, "RLIMIT_CORE", 0, 0);
    });
}

fn with(config: &mut Config, names: &[&str]) {
    config.capabilities(names);
}

fn a_capability_that_cannot_be_granted_is_not_an_error() {
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let bounding = own.lines().find_map(|line| line.strip_prefix("CapBnd:\t"));
    let bounding = u64::from_str_radix(bounding.expect("CapBnd"), 16).unwrap();
    let names = [
        (24, "CAP_SYS_RESOURCE"),
        (16, "CAP_SYS_MODULE"),
        (17, "CAP_SYS_RAWIO"),
    ];
    let Some((_, lacking)) = names.iter().find(|(bit, _)| bounding & (1 << bit) == 0) else {
        skip("the suite has all capabilities");
    };
    let _ = probe(|config| with(config, &["CAP_KILL", lacking]));
}

/// `CAP_KILL` and `CAP_CHOWN` in the one set and in those that it needs, and `CAP_KILL` alone in the others.
fn set(name: &str, line: &str) {
    // Of a program without capabilities of its own, permitted and effective are what execve(2) computes: for root the
    // bounding set, for others the ambient one.
    let (uid, both): (u32, &[&str]) = match name {
        "permitted" | "effective" => (0, &["bounding", "permitted", "effective"]),
        "ambient" => (
            1000,
            &[
                "bounding",
                "permitted",
                "effective",
                "inheritable",
                "ambient",
            ],
        ),
        "inheritable" => (1000, &["bounding", "permitted", "inheritable"]),
        _ => (1000, &["bounding"]),
    };
    let report = probe(|config| {
        config.set("/process/capabilities", json!({}));
        for set in [
            "bounding",
            "permitted",
            "effective",
            "inheritable",
            "ambient",
        ] {
            let all: &[&str] = if both.contains(&set) {
                &["CAP_KILL", "CAP_CHOWN"]
            } else {
                &["CAP_KILL"]
            };
            config.set(&format!("/process/capabilities/{set}"), json!(all));
        }
        config.set("/process/user", json!({"uid": uid, "gid": uid}));
    });
    let (chown, kill) = (1 << 0, 1 << 5);
    assert_eq!(
        report.capabilities(line),
        chown | kill,
        "{:#?}",
        report.status
    );
}

fn the_oom_score_stays_as_it_was() {
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let report = probe(|config| {
        config.0["process"]
            .as_object_mut()
            .unwrap()
            .remove("oomScoreAdj");
    });
    assert_eq!(report.file("/proc/self/oom_score_adj"), own.trim());
}

/// Policy, nice value and static priority: fields 41, 19 and 40 of proc_pid_stat(5).
fn scheduled(scheduler: &Value, policy: u32, nice: i32, priority: u32) {
    let container = Container::new(|config| {
        config
            .version("1.1.0")
            .set("/process/scheduler", scheduler.clone());
        config.capabilities(&["CAP_SYS_NICE"]);
        // Where the kernel hands out real time by cgroups, one without any has no such process: sched(7).
        if priority > 0 && directory("cpu", "/").join("cpu.rt_runtime_us").exists() {
            config.set("/linux/resources/cpu", json!({"realtimeRuntime": 10_000}));
        }
    });
    let report = Report::parse(&run_if_supported(&container).ok());
    let stat = report.file("/proc/self/stat");
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let seen = [fields[38], fields[16], fields[37]];
    assert_eq!(
        seen,
        [policy.to_string(), nice.to_string(), priority.to_string()],
        "{stat}"
    );
}

fn scheduler_flag_reset_on_fork() {
    let scheduler =
        json!({"policy": "SCHED_BATCH", "flags": ["SCHED_FLAG_RESET_ON_FORK"], "nice": -3});
    // A shell that has more to do forks for what is in parentheses.
    let text = inside(
        "cut -d' ' -f19 /proc/$$/stat; (cut -d' ' -f19 /proc/self/stat; true); true",
        |config| {
            config.version("1.1.0").set("/process/scheduler", scheduler);
            config.capabilities(&["CAP_SYS_NICE"]);
        },
    );
    assert_eq!(text, "-3\n0\n", "a child has the default again: sched(7)");
}

fn io_priority(class: &str, priority: u32, expected: &str) {
    let container = Container::new(|config| {
        let value = json!({"class": class, "priority": priority});
        config
            .version("1.1.0")
            .shell("ionice -p $$")
            .set("/process/ioPriority", value);
    });
    let text = run_if_supported(&container).ok().stdout;
    assert!(text.trim().starts_with(expected), "{text}");
}

fn cpus(status: &str) -> String {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:\t"));
    line.expect("Cpus_allowed_list").to_owned()
}

fn two_cpus() -> String {
    let own = cpus(&fs::read_to_string("/proc/self/status").unwrap());
    if !own.starts_with("0-") && !own.starts_with("0,1") {
        skip("the suite needs CPUs 0 and 1");
    }
    own
}

/// The CPUs of a process that `exec` runs in a container with this affinity.
fn affinity(value: &Value) -> String {
    two_cpus();
    let container = running(|config| {
        config
            .version("1.3.0")
            .set("/process/execCPUAffinity", value.clone());
    });
    cpus(
        &container
            .exec(&[], &["cat", "/proc/self/status"])
            .ok()
            .stdout,
    )
}

fn exec_without_final_cpus_keeps_what_the_kernel_determines() {
    let own = two_cpus();
    let seen = affinity(&json!({"initial": "0"}));
    assert!(["0", own.as_str()].contains(&seen.as_str()), "{seen}");
}

fn the_cpu_affinity_of_exec_is_not_the_init_processs() {
    let own = two_cpus();
    let report = probe(|config| {
        config.version("1.3.0").set(
            "/process/execCPUAffinity",
            json!({"initial": "1", "final": "1"}),
        );
    });
    assert_eq!(report.status("Cpus_allowed_list"), own);
}

fn the_apparmor_profile_is_the_processs() {
    if fs::read_to_string("/sys/module/apparmor/parameters/enabled")
        .unwrap_or_default()
        .trim()
        != "Y"
    {
        skip("this kernel has no AppArmor");
    }
    refuses(|config| {
        config.set("/process/apparmorProfile", json!("no-such-profile"));
    });
}

fn the_selinux_label_is_the_processs() {
    if !std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        skip("this kernel has no SELinux");
    }
    refuses(|config| {
        config.set("/process/selinuxLabel", json!("no:such:label"));
    });
}

/// Ids and groups as /proc/self/status has them.
fn as_user() -> (String, String, String) {
    let report = probe(|config| {
        config.set(
            "/process/user",
            json!({"uid": 1001, "gid": 1002, "additionalGids": [5, 6]}),
        );
    });
    let groups: Vec<_> = report
        .status("Groups")
        .split(' ')
        .filter(|group| *group != "1002")
        .map(str::to_owned)
        .collect();
    (
        report.status("Uid").to_owned(),
        report.status("Gid").to_owned(),
        groups.join(" "),
    )
}
