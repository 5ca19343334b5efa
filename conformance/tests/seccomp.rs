//! Seccomp profiles in effect: config-linux.md, "Seccomp".

use conformance::container::probe;
use conformance::runtime::runtime;
use conformance::{Config, Container};
use serde_json::{Value, json};

/// A profile that allows all but what the rules say.
fn allowing(config: &mut Config, rules: &[Value]) {
    config.set(
        "/linux/seccomp",
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}),
    );
}

/// What the system call gives in a container with this configuration: its result, or the name of its error.
fn call(number: libc::c_long, arguments: &[i64], change: impl FnOnce(&mut Config)) -> String {
    let container = Container::new(|config| {
        let words: Vec<_> = std::iter::once(number)
            .chain(arguments.iter().copied())
            .map(|word| word.to_string())
            .collect();
        let args: Vec<_> = ["/probe", "syscall"]
            .into_iter()
            .chain(words.iter().map(String::as_str))
            .collect();
        config.args(&args);
        change(config);
    });
    container.run().ok().stdout.trim().to_owned()
}

#[test]
fn without_a_profile_there_is_no_filter() {
    assert_eq!(probe(|_| {}).status("Seccomp"), "0");
}

#[test]
fn a_profile_is_a_filter() {
    let report = probe(|config| allowing(config, &[]));
    assert!(
        ["0", "2"].contains(&report.status("Seccomp")),
        "a profile that allows all may be left out"
    );
    let report = probe(|config| {
        allowing(
            config,
            &[json!({"names": ["acct"], "action": "SCMP_ACT_ERRNO"})],
        )
    });
    assert_eq!(report.status("Seccomp"), "2");
}

#[test]
fn an_errno_action_gives_eperm_or_the_errno_of_the_rule() {
    let rule = |errno: Value| {
        let mut rule = json!({"names": ["getpid"], "action": "SCMP_ACT_ERRNO"});
        if !errno.is_null() {
            rule["errnoRet"] = errno;
        }
        rule
    };
    for (errno, expected) in [
        (Value::Null, "EPERM"),
        (json!(libc::ENOSYS), "ENOSYS"),
        (json!(libc::EXDEV), "EXDEV"),
        (json!(0), "0"),
    ] {
        assert_eq!(
            call(libc::SYS_getpid, &[], |config| allowing(
                config,
                &[rule(errno.clone())]
            )),
            expected,
            "{errno}"
        );
    }
}

#[test]
fn different_rules_have_different_errnos() {
    let rules = [
        json!({"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENOENT}),
        json!({"names": ["getuid", "geteuid"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::EBUSY}),
    ];
    for (number, expected) in [
        (libc::SYS_getppid, "ENOENT"),
        (libc::SYS_geteuid, "EBUSY"),
        (libc::SYS_getpid, "1"),
    ] {
        assert_eq!(
            call(number, &[], |config| allowing(config, &rules)),
            expected
        );
    }
}

#[test]
fn a_kill_or_trap_action_ends_a_program_that_handles_no_signal() {
    for action in [
        "SCMP_ACT_TRAP",
        "SCMP_ACT_KILL",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_KILL_PROCESS",
    ] {
        let container = Container::new(|config| {
            config.args(&["/probe", "syscall", &libc::SYS_getppid.to_string()]);
            allowing(config, &[json!({"names": ["getppid"], "action": action})]);
        });
        assert_eq!(container.run().code(), 128 + libc::SIGSYS, "{action}");
    }
}

#[test]
fn a_default_action_is_what_a_call_gets_that_no_rule_is_about() {
    for (action, expected) in [
        ("SCMP_ACT_ERRNO", "EACCES"),
        ("SCMP_ACT_TRACE", "ENOSYS"),
        ("SCMP_ACT_LOG", "1"),
        ("SCMP_ACT_ALLOW", "1"),
    ] {
        let mut names: Vec<_> = ALLOWED.split_whitespace().collect();
        names.retain(|name| *name != "getpid");
        let mut profile = json!({
            "defaultAction": action,
            "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
        });
        if action == "SCMP_ACT_ERRNO" {
            profile["defaultErrnoRet"] = json!(libc::EACCES);
        }
        let seen = call(libc::SYS_getpid, &[], |config| {
            config.set("/linux/seccomp", profile);
        });
        assert_eq!(seen, expected, "{action}");
    }
}

#[test]
fn a_log_action_lets_the_call_through() {
    let rule = json!({"names": ["getpid"], "action": "SCMP_ACT_LOG"});
    assert_eq!(
        call(libc::SYS_getpid, &[], |config| allowing(config, &[rule])),
        "1"
    );
}

#[test]
fn a_trace_action_without_a_tracer_gives_enosys() {
    let rule = json!({"names": ["getpid"], "action": "SCMP_ACT_TRACE"});
    assert_eq!(
        call(libc::SYS_getpid, &[], |config| allowing(config, &[rule])),
        "ENOSYS"
    );
}

/// Operator, `value`, `valueTwo`; and arguments, with whether they match.
type Comparison = (&'static str, u64, u64, &'static [(i64, bool)]);

#[test]
fn arguments_are_compared_with_every_operator() {
    // umask(2) takes any number and cannot fail, so its argument alone decides.
    let cases: [Comparison; 7] = [
        ("SCMP_CMP_EQ", 8, 0, &[(8, true), (0, false)]),
        ("SCMP_CMP_NE", 8, 0, &[(8, false), (0, true)]),
        ("SCMP_CMP_LT", 8, 0, &[(7, true), (8, false), (9, false)]),
        ("SCMP_CMP_LE", 8, 0, &[(7, true), (8, true), (9, false)]),
        ("SCMP_CMP_GT", 8, 0, &[(7, false), (8, false), (9, true)]),
        ("SCMP_CMP_GE", 8, 0, &[(7, false), (8, true), (9, true)]),
        (
            "SCMP_CMP_MASKED_EQ",
            0x0c,
            0x08,
            &[(0x08, true), (0x1b, true), (0x04, false), (0x0c, false)],
        ),
    ];
    for (operator, value, value_two, tries) in cases {
        for (argument, matches) in tries {
            let comparison =
                json!({"index": 0, "value": value, "valueTwo": value_two, "op": operator});
            let rule = json!({"names": ["umask"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::EXDEV, "args": [comparison]});
            let seen = call(libc::SYS_umask, &[*argument], |config| {
                allowing(config, &[rule])
            });
            assert_eq!(seen == "EXDEV", *matches, "{operator} {argument}: {seen}");
        }
    }
}

#[test]
fn all_comparisons_of_a_rule_must_hold_and_any_rule_of_a_name_may_match() {
    let compare =
        |index: u32, value: u64| json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"});
    let rule = |args: Vec<Value>| json!({"names": ["mlockall", "dup3"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::EXDEV, "args": args});
    let both = [rule(vec![compare(0, 100), compare(1, 200)])];
    let either = [rule(vec![compare(0, 100)]), rule(vec![compare(1, 200)])];
    for (arguments, by_both, by_either) in [
        ([100, 200], true, true),
        ([100, 201], false, true),
        ([101, 200], false, true),
        ([101, 201], false, false),
        // The upper half of a 64-bit argument counts.
        ([100 + (1 << 32), 201], false, false),
    ] {
        let seen = |rules: &[Value]| {
            call(libc::SYS_dup3, &arguments, |config| allowing(config, rules)) == "EXDEV"
        };
        assert_eq!(seen(&both), by_both, "{arguments:?}");
        assert_eq!(seen(&either), by_either, "{arguments:?}");
    }
}

/// Enough for a static program, and for a runtime to come to the end of its work.
const ALLOWED: &str = "access arch_prctl brk capget capset chdir clock_gettime clock_nanosleep clone clone3 close
    close_range dup dup2 dup3 epoll_create1 epoll_ctl epoll_pwait execve execveat exit exit_group faccessat fchdir
    fchown fcntl fork fstat fstatfs futex getcwd getdents64 getegid geteuid getgid getgroups getpgrp getpid getppid
    getrandom getrlimit gettid getuid ioctl kill lseek lstat madvise mmap mprotect mremap munmap nanosleep newfstatat
    open openat openat2 pipe pipe2 poll ppoll prctl pread64 prlimit64 read readlink readlinkat rseq rt_sigaction
    rt_sigprocmask rt_sigreturn sched_getaffinity sched_yield set_robust_list set_tid_address setgid setgroups
    setresgid setresuid setrlimit setsid setuid sigaltstack stat statfs statx sysinfo tgkill time umask uname vfork
    wait4 write writev";

#[test]
fn a_profile_that_allows_a_list_denies_the_rest() {
    let profile = || {
        let names: Vec<_> = ALLOWED.split_whitespace().collect();
        json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": libc::EACCES,
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
        })
    };
    let container = Container::new(|config| {
        config
            .shell("ls / && echo $(id -u)")
            .set("/linux/seccomp", profile());
    });
    assert!(container.run().ok().stdout.ends_with("0\n"));
    let change = |config: &mut Config| {
        config.set("/linux/seccomp", profile());
    };
    assert_eq!(call(libc::SYS_sethostname, &[0, 0], change), "EACCES");
    assert_eq!(call(libc::SYS_getpid, &[], change), "1");
}

#[test]
fn a_call_newer_than_the_profile_gives_enosys() {
    // So that a C library falls back instead of failing; runc does it since 1.0.0-rc93, whatever the default action's errno.
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ALLOWED.split_whitespace().collect::<Vec<_>>(), "action": "SCMP_ACT_ALLOW"}],
    });
    let change = |config: &mut Config| {
        config.set("/linux/seccomp", profile);
    };
    // No kernel has it.
    assert_eq!(call(1000, &[], change), "ENOSYS");
}

#[test]
fn unknown_names_are_ignored() {
    let rules = [
        json!({"names": ["no_such_call", "getpid"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::EXDEV}),
        json!({"names": ["another_one"], "action": "SCMP_ACT_KILL"}),
    ];
    assert_eq!(
        call(libc::SYS_getpid, &[], |config| allowing(config, &rules)),
        "EXDEV"
    );
}

#[test]
fn a_profile_works_with_and_without_no_new_privileges() {
    let rule = json!({"names": ["getpid"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::EXDEV});
    for no_new_privileges in [true, false] {
        for uid in [0, 1000] {
            let seen = call(libc::SYS_getpid, &[], |config| {
                config
                    .set("/process/noNewPrivileges", json!(no_new_privileges))
                    .set("/process/user/uid", json!(uid));
                allowing(config, std::slice::from_ref(&rule));
            });
            assert_eq!(
                seen, "EXDEV",
                "noNewPrivileges {no_new_privileges}, user {uid}"
            );
        }
    }
}

#[test]
fn a_start_container_hook_that_the_filter_kills_is_an_error_that_says_so() {
    if runtime().predates("runc", [1, 2, 0], "the reason") {
        return;
    }
    let container = Container::new(|config| {
        // The call is made by the hook's own process: a shell would tell of its child in its status.
        let hook = json!({"path": "/bin/busybox", "args": ["mkdir", "/dev/shm/foo"]});
        config.args(&["true"]).push("/hooks/startContainer", hook);
        let rule = json!({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL"});
        allowing(config, &[rule]);
    });
    let _ = container
        .run()
        .refused(&["startContainer hook", "bad system call"]);
    container.assert_nothing_left();
}

#[test]
fn flags_are_accepted() {
    for flag in [
        "SECCOMP_FILTER_FLAG_LOG",
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        "SECCOMP_FILTER_FLAG_TSYNC",
    ] {
        if runtime().predates("runc", [1, 2, 0], flag) {
            continue;
        }
        let report = probe(|config| {
            allowing(
                config,
                &[json!({"names": ["acct"], "action": "SCMP_ACT_ERRNO"})],
            );
            config.set("/linux/seccomp/flags", json!([flag]));
        });
        assert_eq!(report.status("Seccomp"), "2", "{flag}");
    }
}

#[test]
fn an_unknown_action_operator_architecture_or_flag_is_refused() {
    let rule = json!({"names": ["getpid"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]});
    for (pointer, value) in [
        ("/linux/seccomp/defaultAction", json!("SCMP_ACT_NOSUCH")),
        ("/linux/seccomp/architectures", json!(["SCMP_ARCH_NOSUCH"])),
        (
            "/linux/seccomp/flags",
            json!(["SECCOMP_FILTER_FLAG_NOSUCH"]),
        ),
        ("/linux/seccomp/syscalls/0/action", json!("SCMP_ACT_NOSUCH")),
        (
            "/linux/seccomp/syscalls/0/args/0/op",
            json!("SCMP_CMP_NOSUCH"),
        ),
        ("/linux/seccomp/syscalls/0/args/0/index", json!(6)),
    ] {
        let container = Container::new(|config| {
            allowing(config, std::slice::from_ref(&rule));
            config.set(pointer, value);
        });
        container.assert_refused_at(pointer);
    }
}

#[test]
fn a_profile_without_the_calls_of_the_runtimes_own_last_steps_is_no_obstacle() {
    if runtime().departs("runc", "closes descriptors under the filter") {
        return;
    }
    let rule =
        json!({"names": ["close_range"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENXIO});
    for no_new_privileges in [true, false] {
        let container = Container::new(|config| {
            config
                .set("/process/noNewPrivileges", json!(no_new_privileges))
                .args(&["true"]);
            allowing(config, std::slice::from_ref(&rule));
        });
        let _ = container.run().ok();
    }
}
