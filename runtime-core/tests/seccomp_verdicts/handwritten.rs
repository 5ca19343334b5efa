//! Profiles of a few rules each, for one matter each.

use serde_json::{Value, json};

/// What a profile is about, and the profile.
pub(crate) fn handwritten() -> Vec<(&'static str, Value)> {
    let all = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    let rule = |names: &[&str], action: &str| json!({"names": names, "action": action});
    let args = |name: &str, action: &str, args: Value| json!({"names": [name], "action": action, "args": args});
    let eq =
        |index: usize, value: u64| json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"});
    vec![
        ("no rules", json!({"defaultAction": "SCMP_ACT_ERRNO"})),
        (
            "no rules, all ABIs",
            json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": all}),
        ),
        (
            "no rules, allowing",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": all}),
        ),
        (
            "read alone, number 0",
            json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": all,
            "syscalls": [rule(&["read"], "SCMP_ACT_ALLOW")]}),
        ),
        (
            "x86 without x32",
            json!({"defaultAction": "SCMP_ACT_KILL_PROCESS", "architectures": ["SCMP_ARCH_X86"],
            "syscalls": [rule(&["read", "write", "exit_group", "_llseek"], "SCMP_ACT_ALLOW")]}),
        ),
        (
            "x32 without x86",
            json!({"defaultAction": "SCMP_ACT_TRAP", "architectures": ["SCMP_ARCH_X32"],
            "syscalls": [rule(&["read", "execve", "exit_group"], "SCMP_ACT_ALLOW")]}),
        ),
        (
            "rules that repeat the default",
            json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 13,
            "syscalls": [{"names": ["statx"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
                         rule(&["read"], "SCMP_ACT_ALLOW")]}),
        ),
        (
            "a default of ENOSYS",
            json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
            "syscalls": [rule(&["read", "openat"], "SCMP_ACT_ALLOW")]}),
        ),
        (
            "unknown names",
            json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            rule(&["no_such_call", "read", "write"], "SCMP_ACT_ALLOW")]}),
        ),
        (
            "every action",
            json!({"defaultAction": "SCMP_ACT_LOG", "architectures": all, "syscalls": [
            rule(&["read"], "SCMP_ACT_KILL"), rule(&["open"], "SCMP_ACT_KILL_THREAD"),
            rule(&["close"], "SCMP_ACT_KILL_PROCESS"), rule(&["stat"], "SCMP_ACT_TRAP"),
            rule(&["fstat"], "SCMP_ACT_ERRNO"), rule(&["lstat"], "SCMP_ACT_NOTIFY"),
            rule(&["poll"], "SCMP_ACT_TRACE"), rule(&["lseek"], "SCMP_ACT_ALLOW"),
            {"names": ["mmap"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0},
            {"names": ["brk"], "action": "SCMP_ACT_TRACE", "errnoRet": 65535}]}),
        ),
        (
            "sockets",
            json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": all, "syscalls": [
            rule(&["bind", "accept", "accept4", "send", "recvmmsg"], "SCMP_ACT_ALLOW"),
            rule(&["shmget", "semtimedop", "msgrcv"], "SCMP_ACT_ALLOW"),
            args("socket", "SCMP_ACT_ALLOW", json!([eq(0, 1), eq(1, 2)])),
            args("connect", "SCMP_ACT_ALLOW", json!([eq(2, 16)])),
            rule(&["listen"], "SCMP_ACT_TRAP")]}),
        ),
        (
            "socketcall in full",
            json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": all, "syscalls": [
            args("socket", "SCMP_ACT_ALLOW", json!([eq(0, 1)])), rule(&["socketcall", "ipc"], "SCMP_ACT_ALLOW"),
            rule(&["shmat"], "SCMP_ACT_TRAP")]}),
        ),
        (
            "unconditional before and after conditional",
            json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            rule(&["clone"], "SCMP_ACT_ALLOW"), args("clone", "SCMP_ACT_TRAP", json!([eq(0, 1)])),
            args("kill", "SCMP_ACT_TRAP", json!([eq(0, 1)])), rule(&["kill"], "SCMP_ACT_ALLOW"),
            rule(&["dup"], "SCMP_ACT_ALLOW"), rule(&["dup"], "SCMP_ACT_TRAP")]}),
        ),
        (
            "one argument twice",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": all, "syscalls": [
            args("ioctl", "SCMP_ACT_ERRNO", json!([eq(1, 0x5412), eq(1, 0x541c), eq(0, 3)]))]}),
        ),
        (
            "masks",
            json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": all, "syscalls": [
            args("clone", "SCMP_ACT_ALLOW", json!([{"index": 0, "value": 0x7e02_0000, "op": "SCMP_CMP_MASKED_EQ"}])),
            args("unshare", "SCMP_ACT_ALLOW", json!([{"index": 0, "value": 0, "valueTwo": 9, "op": "SCMP_CMP_MASKED_EQ"}])),
            args("mmap", "SCMP_ACT_ALLOW", json!([{"index": 1, "value": 0xff_0000_0000_u64,
                "valueTwo": 0x1_0000_0001_u64, "op": "SCMP_CMP_MASKED_EQ"}]))]}),
        ),
        (
            "the same rule with another action",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            args("ioctl", "SCMP_ACT_ERRNO", json!([eq(1, 1)])), args("ioctl", "SCMP_ACT_TRAP", json!([eq(1, 1)]))]}),
        ),
    ]
}
