//! How many instructions a program executes for a call, beside libseccomp's.

use libseccomp::{ScmpArch, ScmpSyscall};
use runtime_core::seccomp::NativeArch;

use crate::bpf::{Call, run};
use crate::names::known_to_libseccomp;
use crate::reference::{AUDIT_X86_64, Reference};
use crate::{DOCKER, compiled, profile};

const ALLOW: u32 = 0x7fff_0000;

/// What programs call most.
const COMMON: &[&str] = &[
    "read",
    "write",
    "close",
    "openat",
    "newfstatat",
    "fstat",
    "lseek",
    "mmap",
    "mprotect",
    "munmap",
    "brk",
    "rt_sigaction",
    "rt_sigprocmask",
    "ioctl",
    "pread64",
    "readv",
    "writev",
    "pipe2",
    "poll",
    "epoll_wait",
    "epoll_pwait",
    "epoll_ctl",
    "futex",
    "clock_gettime",
    "clock_nanosleep",
    "nanosleep",
    "getpid",
    "gettid",
    "sendto",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "accept4",
    "connect",
    "socket",
    "clone",
    "clone3",
    "execve",
    "wait4",
    "exit_group",
    "fcntl",
    "getdents64",
    "getrandom",
    "sched_yield",
    "statx",
    "madvise",
    "dup3",
    "tgkill",
];

/// What Docker's profile refuses.
const REFUSED: &[&str] = &[
    "add_key",
    "bpf",
    "delete_module",
    "finit_module",
    "init_module",
    "kexec_load",
    "keyctl",
    "mount",
    "move_mount",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pivot_root",
    "ptrace",
    "reboot",
    "request_key",
    "setns",
    "swapoff",
    "swapon",
    "umount2",
    "unshare",
    "userfaultfd",
];

fn call(name: &str) -> Call {
    let number = ScmpSyscall::from_name(name).unwrap().as_raw_syscall();
    Call {
        number: number.cast_unsigned(),
        arch: AUDIT_X86_64,
        arguments: [0; 6],
    }
}

struct Costs {
    numbers: Vec<u32>,
    ours: Vec<usize>,
    theirs: Vec<usize>,
}

impl Costs {
    /// Of calls that both programs answer alike.
    fn of(calls: impl Iterator<Item = Call>, optimize: u32, verdict: fn(u32) -> bool) -> Self {
        let profile = profile(known_to_libseccomp(DOCKER));
        let ours = compiled(&profile, NativeArch::X86_64).program;
        let theirs = Reference::new(&profile, ScmpArch::X8664, optimize).unwrap();
        let mut costs = Self {
            numbers: Vec::new(),
            ours: Vec::new(),
            theirs: Vec::new(),
        };
        for call in calls {
            let (ours, theirs) = (run(&ours, &call), theirs.run_plainly(&call));
            if verdict(ours.value) {
                costs.numbers.push(call.number);
                costs.ours.push(ours.steps);
                costs.theirs.push(theirs.steps);
            }
        }
        costs
    }

    fn means(&self) -> [f64; 2] {
        let mean = |costs: &[usize]| costs.iter().sum::<usize>() as f64 / costs.len() as f64;
        [mean(&self.ours), mean(&self.theirs)]
    }

    /// Calls for which ours executes more.
    fn more(&self) -> Vec<String> {
        let pairs = self.numbers.iter().zip(self.ours.iter().zip(&self.theirs));
        let more = pairs.filter(|(_, (ours, theirs))| ours > theirs);
        let native = ScmpArch::X8664;
        more.map(|(number, (ours, theirs))| {
            let syscall = ScmpSyscall::from(number.cast_signed());
            let name = syscall.get_name_by_arch(native).unwrap_or_default();
            format!("{name} ({ours}, {theirs})")
        })
        .collect()
    }
}

/// libseccomp's order of rules is 1, and its binary tree 2, which runc and crun choose for a profile of this size.
#[test]
fn fewer_instructions_are_executed_than_by_libseccomp_s_program() {
    let is_allowed = |value| value == ALLOW;
    let is_refused = |value| value != ALLOW;
    for (optimize, name) in [(1, "in order"), (2, "as a tree")] {
        let common = || COMMON.iter().map(|name| call(name));
        let refused = || REFUSED.iter().map(|name| call(name));
        let all = || {
            (0..470).map(|number| Call {
                number,
                arch: AUDIT_X86_64,
                arguments: [0; 6],
            })
        };
        for (what, costs) in [
            ("common calls", Costs::of(common(), optimize, is_allowed)),
            ("refused calls", Costs::of(refused(), optimize, is_refused)),
            (
                "all allowed numbers",
                Costs::of(all(), optimize, is_allowed),
            ),
            (
                "all refused numbers",
                Costs::of(all(), optimize, is_refused),
            ),
        ] {
            let [ours, theirs] = costs.means();
            let (more, count) = (costs.more(), costs.ours.len());
            println!("{what}: {ours:.1} instructions, libseccomp's {name} {theirs:.1}, of {count}");
            println!("    more (ours, libseccomp's): {}", more.join(", "));
            assert!(count >= 20, "{what}: {count}");
            assert!(ours < theirs, "{what}: {ours} and {theirs} {name}");
            // The first few of a list are found sooner than anything else can be.
            let sooner = if optimize == 1 { 3 } else { 0 };
            assert!(more.len() <= sooner, "{what}: {more:?}");
        }
    }
}
