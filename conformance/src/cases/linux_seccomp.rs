//! config-linux.md: seccomp, and the container process state that is sent to its agent.

use std::io::{IoSliceMut, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};

use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::{Value, json};

use super::{REFUSED, errs, refuses, run_if_supported};
use crate::process::{LIMIT, until};
use crate::suite::skip;
use crate::{Config, Container, sys};

cases! {
    Must "config-linux.md#seccomp" ["1.0.0"] "defaultAction (string, REQUIRED) - the default action for seccomp."
        the_default_action_is_for_calls_without_a_rule => || assert_eq!(call(&profile("SCMP_ACT_LOG", &[])), "99");
    Must "config-linux.md#seccomp" ["1.1.0"] "defaultErrnoRet (uint, OPTIONAL) - the errno return code to use."
        the_default_errno_is_returned;
    Must "config-linux.md#seccomp" ["1.1.0"] "defaultErrnoRet: When the action doesn't support an errno, the runtime MUST print and error and fail."
        a_default_errno_for_an_action_without_one_is_an_error => || refuses_profile(&json!({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}));
    Must "config-linux.md#seccomp" ["1.0.0"] "architectures (array of strings, OPTIONAL) - the architecture used for system calls."
        the_machines_architectures_are_known;
    Must "config-linux.md#seccomp" ["1.0.0"] "architectures (config.md, Valid values)"
        an_unknown_architecture_is_an_error => || refuses_profile(&json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_UNKNOWN"], "syscalls": [errno_rule()]}));
    Must "config-linux.md#seccomp" ["1.0.2"] "flags: SECCOMP_FILTER_FLAG_TSYNC"
        flag_tsync => || with_flag("SECCOMP_FILTER_FLAG_TSYNC");
    Must "config-linux.md#seccomp" ["1.0.2"] "flags: SECCOMP_FILTER_FLAG_LOG"
        flag_log => || with_flag("SECCOMP_FILTER_FLAG_LOG");
    Must "config-linux.md#seccomp" ["1.0.2"] "flags: SECCOMP_FILTER_FLAG_SPEC_ALLOW"
        flag_spec_allow => || with_flag("SECCOMP_FILTER_FLAG_SPEC_ALLOW");
    Must "config-linux.md#seccomp" ["1.1.0"] "flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
        flag_wait_killable_recv;
    Must "config-linux.md#seccomp" ["1.0.2"] "flags: A valid list of constants is …"
        an_unknown_flag_is_an_error => || refuses_profile(&json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_UNKNOWN"], "syscalls": [errno_rule()]}));

    Must "config-linux.md#seccomp" ["1.0.0"] "names: names MUST contain at least one entry."
        a_rule_without_names_is_an_error => || refuses_profile(&profile("SCMP_ACT_ALLOW", &[json!({"names": [], "action": "SCMP_ACT_ERRNO"})]));
    Must "config-linux.md#seccomp" ["1.0.0"] "action: SCMP_ACT_KILL"
        action_kill => || killed("SCMP_ACT_KILL");
    Must "config-linux.md#seccomp" ["1.1.0"] "action: SCMP_ACT_KILL_PROCESS"
        action_kill_process => || killed("SCMP_ACT_KILL_PROCESS");
    Must "config-linux.md#seccomp" ["1.1.0"] "action: SCMP_ACT_KILL_THREAD"
        action_kill_thread => || killed("SCMP_ACT_KILL_THREAD");
    Must "config-linux.md#seccomp" ["1.0.0"] "action: SCMP_ACT_TRAP"
        action_trap => || killed("SCMP_ACT_TRAP");
    Must "config-linux.md#seccomp" ["1.0.0"] "action: SCMP_ACT_ERRNO; errnoRet: The default is EPERM."
        action_errno_is_eperm_by_default => || assert_eq!(call(&profile("SCMP_ACT_ALLOW", &[errno_rule()])), "EPERM");
    Must "config-linux.md#seccomp" ["1.1.0"] "errnoRet (uint, OPTIONAL) - the errno return code to use."
        action_errno_has_the_errno_of_its_rule => || assert_eq!(call(&profile("SCMP_ACT_ALLOW", &[json!({"names": ["sched_get_priority_max"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::EXDEV})])), "EXDEV");
    Must "config-linux.md#seccomp" ["1.0.0"] "action: SCMP_ACT_TRACE"
        action_trace_without_a_tracer_is_enosys => || assert_eq!(call(&profile("SCMP_ACT_ALLOW", &[json!({"names": ["sched_get_priority_max"], "action": "SCMP_ACT_TRACE"})])), "ENOSYS");
    Must "config-linux.md#seccomp" ["1.0.0"] "action: SCMP_ACT_ALLOW"
        action_allow => || assert_eq!(call(&profile("SCMP_ACT_LOG", &[json!({"names": ["sched_get_priority_max"], "action": "SCMP_ACT_ALLOW"})])), "99");
    Must "config-linux.md#seccomp" ["1.0.2"] "action: SCMP_ACT_LOG"
        action_log_lets_the_call_through => || assert_eq!(call(&profile("SCMP_ACT_ALLOW", &[json!({"names": ["sched_get_priority_max"], "action": "SCMP_ACT_LOG"})])), "99");
    Must "config-linux.md#seccomp" ["1.0.0"] "action (config.md, Valid values)"
        an_unknown_action_is_an_error => || refuses_profile(&profile("SCMP_ACT_ALLOW", &[json!({"names": ["sched_get_priority_max"], "action": "SCMP_ACT_UNKNOWN"})]));
    Must "config-linux.md#seccomp" ["1.1.0"] "errnoRet: When the action doesn't support an errno, the runtime MUST print and error and fail."
        an_errno_for_an_action_without_one_is_an_error => || refuses_profile(&profile("SCMP_ACT_ALLOW", &[json!({"names": ["sched_get_priority_max"], "action": "SCMP_ACT_KILL", "errnoRet": 1})]));
    Must "config-linux.md#seccomp" ["1.0.0"] "op: SCMP_CMP_NE" operator_ne => || compares("SCMP_CMP_NE", 8, 0, &[(8, false), (0, true)]);
    Must "config-linux.md#seccomp" ["1.0.0"] "op: SCMP_CMP_LT" operator_lt => || compares("SCMP_CMP_LT", 8, 0, &[(7, true), (8, false)]);
    Must "config-linux.md#seccomp" ["1.0.0"] "op: SCMP_CMP_LE" operator_le => || compares("SCMP_CMP_LE", 8, 0, &[(8, true), (9, false)]);
    Must "config-linux.md#seccomp" ["1.0.0"] "op: SCMP_CMP_EQ" operator_eq => || compares("SCMP_CMP_EQ", 8, 0, &[(8, true), (9, false)]);
    Must "config-linux.md#seccomp" ["1.0.0"] "op: SCMP_CMP_GE" operator_ge => || compares("SCMP_CMP_GE", 8, 0, &[(8, true), (7, false)]);
    Must "config-linux.md#seccomp" ["1.0.0"] "op: SCMP_CMP_GT" operator_gt => || compares("SCMP_CMP_GT", 8, 0, &[(9, true), (8, false)]);
    Must "config-linux.md#seccomp" ["1.0.0"] "op: SCMP_CMP_MASKED_EQ; valueTwo" operator_masked_eq => || compares("SCMP_CMP_MASKED_EQ", 0x0c, 0x08, &[(0x1b, true), (0x04, false)]);
    Must "config-linux.md#seccomp" ["1.0.0"] "index (uint, REQUIRED) - the index for syscall arguments in seccomp."
        all_arguments_of_a_rule_have_to_match;
    Must "config-linux.md#seccomp" ["1.0.0"] "op (config.md, Valid values)"
        an_unknown_operator_is_an_error => || refuses_profile(&compare("SCMP_CMP_UNKNOWN", 1, 0));

    Must "config-linux.md#seccomp" ["1.1.0"] "listenerPath … the runtime will send the container process state data structure when the SCMP_ACT_NOTIFY action is used."
        the_agent_gets_the_state => || drop(notified());
    Must "config-linux.md#seccomp" ["1.1.0"] "seccompFd (string, REQUIRED) is the seccomp file descriptor returned by the seccomp syscall."
        the_agent_gets_the_seccomp_descriptor => || assert_eq!(notified().links, ["anon_inode:seccomp notify"]);
    Must "config-linux.md#seccomp" ["1.1.0"] "The runtime MUST send exactly one container process state per connection."
        the_agent_gets_one_state_a_connection => || drop(serde_json::from_str::<Value>(&notified().text).expect("one JSON value"));
    Must "config-linux.md#seccomp" ["1.1.0"] "The connection MUST NOT be reused and it MUST be closed after sending a seccomp state."
        the_connection_to_the_agent_is_closed => || assert!(notified().closed);
    Must "config-linux.md#seccomp" ["1.1.0"] "If sending to this socket fails, the runtime MUST generate an error."
        an_agent_that_does_not_listen_is_an_error;
    Must "config-linux.md#seccomp" ["1.1.0"] "If the SCMP_ACT_NOTIFY action is not used this value is ignored."
        a_listener_path_without_a_notify_action_is_ignored;
    Must "config-linux.md#seccomp" ["1.1.0"] "listenerMetadata: This string will be sent as the metadata field in the container process state."
        the_agent_gets_the_metadata => || assert_eq!(notified().state()["metadata"], "the metadata");
    Must "config-linux.md#seccomp" ["1.1.0"] "listenerMetadata: This field MUST NOT be set if listenerPath is not set."
        metadata_without_a_listener_path_are_an_error => || refuses_profile(&json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x", "syscalls": [errno_rule()]}));
    Must "config-linux.md#the-container-process-state" ["1.1.0"] "file descriptors MUST be sent using SCM_RIGHTS; … only in the first call."
        the_descriptors_come_with_the_first_message => || assert!(!notified().links.is_empty());
    Must "config-linux.md#the-container-process-state" ["1.1.0"] "ociVersion (string, REQUIRED) is version of the … Specification with which the container process state complies."
        the_process_state_has_a_version => || assert!(notified().state()["ociVersion"].is_string());
    Must "config-linux.md#the-container-process-state" ["1.1.0"] "fds (array, OPTIONAL) is a string array containing the names of the file descriptors passed."
        the_process_state_names_the_descriptors => || assert_eq!(notified().state()["fds"], json!(["seccompFd"]));
    Must "config-linux.md#the-container-process-state" ["1.1.0"] "pid (int, REQUIRED) is the container process ID, as seen by the runtime."
        the_process_state_has_the_runtimes_pid => || { let seen = notified(); assert_eq!(seen.state()["pid"], seen.pid); };
    Must "config-linux.md#the-container-process-state" ["1.1.0"] "state (state, REQUIRED) is the state of the container."
        the_process_state_has_the_containers_state => || { let seen = notified(); assert_eq!(seen.state()["state"]["id"], seen.id); assert_eq!(seen.state()["state"]["pid"], seen.pid); };
}

fn errno_rule() -> Value {
    json!({"names": ["sched_get_priority_max"], "action": "SCMP_ACT_ERRNO"})
}

fn profile(default: &str, rules: &[Value]) -> Value {
    json!({"defaultAction": default, "syscalls": rules})
}

fn refuses_profile(profile: &Value) {
    refuses(|config| {
        config
            .version("1.1.0")
            .set("/linux/seccomp", profile.clone());
    });
}

fn trying(number: libc::c_long, argument: i64, profile: &Value) -> Container {
    Container::new(|config: &mut Config| {
        config
            .version("1.1.0")
            .args(&[
                "/probe",
                "syscall",
                &number.to_string(),
                &argument.to_string(),
            ])
            .set("/linux/seccomp", profile.clone());
    })
}

/// What sched_get_priority_max(2), which no runtime calls itself, gives for `SCHED_FIFO`: `99`, or the name of an error.
fn call(profile: &Value) -> String {
    run_if_supported(&trying(libc::SYS_sched_get_priority_max, 1, profile))
        .ok()
        .stdout
        .trim()
        .to_owned()
}

fn killed(action: &str) {
    let rule = json!({"names": ["sched_get_priority_max"], "action": action});
    let profile = profile("SCMP_ACT_ALLOW", &[rule]);
    let finished = run_if_supported(&trying(libc::SYS_sched_get_priority_max, 1, &profile));
    assert_eq!(
        finished.code(),
        128 + libc::SIGSYS,
        "{action}: {finished:#?}"
    );
}

/// All calls but one that no program needs are allowed by name, through a rule that nothing matches being denied.
fn the_default_errno_is_returned() {
    let names = allowed_names();
    let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": libc::ENOTSUP,
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]});
    let text = trying(libc::SYS_getppid, 0, &profile).run().ok().stdout;
    assert_eq!(text.trim(), "EOPNOTSUPP");
}

/// What a runtime's last steps and a static program call.
fn allowed_names() -> Vec<&'static str> {
    vec![
        "access",
        "arch_prctl",
        "brk",
        "capget",
        "capset",
        "chdir",
        "clone",
        "clone3",
        "close",
        "close_range",
        "dup",
        "dup2",
        "dup3",
        "epoll_create1",
        "epoll_ctl",
        "epoll_pwait",
        "execve",
        "execveat",
        "exit",
        "exit_group",
        "faccessat",
        "faccessat2",
        "fchdir",
        "fchown",
        "fcntl",
        "fstat",
        "fstatfs",
        "futex",
        "getcwd",
        "getdents64",
        "getgid",
        "getegid",
        "geteuid",
        "getpid",
        "getrandom",
        "getrlimit",
        "gettid",
        "getuid",
        "ioctl",
        "lseek",
        "lstat",
        "madvise",
        "mmap",
        "mprotect",
        "mremap",
        "munmap",
        "nanosleep",
        "newfstatat",
        "open",
        "openat",
        "openat2",
        "pipe2",
        "poll",
        "ppoll",
        "prctl",
        "pread64",
        "prlimit64",
        "read",
        "readlink",
        "readlinkat",
        "recvmsg",
        "restart_syscall",
        "rseq",
        "rt_sigaction",
        "rt_sigprocmask",
        "rt_sigreturn",
        "sched_getaffinity",
        "sched_yield",
        "sendmsg",
        "set_robust_list",
        "set_tid_address",
        "setgid",
        "setgroups",
        "setresgid",
        "setresuid",
        "setuid",
        "sigaltstack",
        "stat",
        "statfs",
        "statx",
        "sysinfo",
        "tgkill",
        "umask",
        "uname",
        "wait4",
        "write",
        "writev",
    ]
}

/// And those of its 32-bit programs. Others need not be supported: libseccomp cannot put byte orders into one filter.
fn the_machines_architectures_are_known() {
    let names: &[&str] = match std::env::consts::ARCH {
        "x86_64" => &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "aarch64" => &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        other => skip(format!(
            "what an {other} machine is called is not known here"
        )),
    };
    for count in 1..=names.len() {
        let mut profile = profile("SCMP_ACT_ALLOW", &[errno_rule()]);
        profile["architectures"] = json!(names[..count]);
        assert_eq!(call(&profile), "EPERM", "{:?}", &names[..count]);
    }
}

fn with_flag(flag: &str) {
    let mut profile = profile("SCMP_ACT_ALLOW", &[errno_rule()]);
    profile["flags"] = json!([flag]);
    assert_eq!(call(&profile), "EPERM");
}

/// seccomp(2) takes the flag only together with a listener.
fn flag_wait_killable_recv() {
    let seen =
        listened(|profile| profile["flags"] = json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]));
    assert_eq!(seen.links.len(), 1);
}

fn compare(operator: &str, value: u64, value_two: u64) -> Value {
    let argument = json!({"index": 0, "value": value, "valueTwo": value_two, "op": operator});
    profile(
        "SCMP_ACT_ALLOW",
        &[json!({"names": ["umask"], "action": "SCMP_ACT_ERRNO", "args": [argument]})],
    )
}

/// umask(2) takes any number and cannot fail, so its argument alone decides.
fn compares(operator: &str, value: u64, value_two: u64, cases: &[(i64, bool)]) {
    for (argument, matches) in cases {
        let profile = compare(operator, value, value_two);
        let text = run_if_supported(&trying(libc::SYS_umask, *argument, &profile))
            .ok()
            .stdout;
        assert_eq!(
            text.trim() == "EPERM",
            *matches,
            "{operator} {value}: {argument}: {text}"
        );
    }
}

fn all_arguments_of_a_rule_have_to_match() {
    let argument =
        |index: u32, value: u64| json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"});
    for (second, expected) in [(0, "EPERM"), (1, "18")] {
        let rule = json!({"names": ["umask"], "action": "SCMP_ACT_ERRNO", "args": [argument(0, 8), argument(1, second)]});
        let text = trying(libc::SYS_umask, 8, &profile("SCMP_ACT_ALLOW", &[rule]))
            .run()
            .ok()
            .stdout;
        assert_eq!(text.trim(), expected);
    }
}

/// What the agent received.
struct Seen {
    text: String,
    links: Vec<String>,
    closed: bool,
    pid: i32,
    id: String,
}

impl Seen {
    fn state(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

fn notified() -> Seen {
    listened(|_| {})
}

/// Starts a container whose profile has a listener; the call that it is about is never made.
fn listened(change: impl FnOnce(&mut Value)) -> Seen {
    let mut profile = profile(
        "SCMP_ACT_ALLOW",
        &[json!({"names": ["acct"], "action": "SCMP_ACT_NOTIFY"})],
    );
    profile["listenerMetadata"] = json!("the metadata");
    change(&mut profile);
    let container = Container::with_path(|config, path| {
        profile["listenerPath"] = json!(path.join("agent.sock"));
        config
            .version("1.1.0")
            .waits()
            .set("/linux/seccomp", profile);
    });
    let listener = UnixListener::bind(container.path().join("agent.sock")).unwrap();
    listener.set_nonblocking(true).unwrap();
    let created = container.create();
    if created.stderr.contains("SECCOMP_FILTER_FLAG") || created.stderr.contains("flags are not") {
        skip(format!("{REFUSED}: {}", created.stderr.trim()));
    }
    let _ = created.ok();
    // A runtime sends it in create or in start, which may wait for the agent: it is started meanwhile.
    let starting = crate::process::spawn(&mut container.subcommand(["start", &container.id]));
    let (stream, _) = until("a connection to the agent", || listener.accept().ok());
    let (text, links, closed) = receive(stream);
    let _ = starting.wait().ok();
    Seen {
        text,
        links,
        closed,
        pid: container.pid(),
        id: container.id.clone(),
    }
}

/// All that comes over the connection, what the first message's descriptors are, and whether its end was seen.
fn receive(mut stream: UnixStream) -> (String, Vec<String>, bool) {
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(LIMIT / 6)).unwrap();
    let mut first = vec![0; 65536];
    let mut space = cmsg_space!([i32; 4]);
    let (length, descriptors) = {
        let mut parts = [IoSliceMut::new(&mut first)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message =
            recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), flags).unwrap();
        let rights = message.cmsgs().unwrap().flat_map(|control| match control {
            ControlMessageOwned::ScmRights(descriptors) => descriptors,
            _ => Vec::new(),
        });
        let descriptors: Vec<_> = rights.map(sys::own).collect();
        (message.bytes, descriptors)
    };
    first.truncate(length);
    let closed = stream.read_to_end(&mut first).is_ok();
    let link = |number: i32| std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap();
    let links = descriptors
        .iter()
        .map(|descriptor| link(descriptor.as_raw_fd()).display().to_string())
        .collect();
    (String::from_utf8_lossy(&first).into_owned(), links, closed)
}

fn an_agent_that_does_not_listen_is_an_error() {
    let container = Container::with_path(|config, path| {
        let mut profile = profile(
            "SCMP_ACT_ALLOW",
            &[json!({"names": ["acct"], "action": "SCMP_ACT_NOTIFY"})],
        );
        profile["listenerPath"] = json!(path.join("nobody.sock"));
        config
            .version("1.1.0")
            .shell("echo it ran")
            .set("/linux/seccomp", profile);
    });
    errs(&container.run());
}

fn a_listener_path_without_a_notify_action_is_ignored() {
    let mut profile = profile("SCMP_ACT_ALLOW", &[errno_rule()]);
    profile["listenerPath"] = json!("/no/such/agent.sock");
    assert_eq!(call(&profile), "EPERM");
}
