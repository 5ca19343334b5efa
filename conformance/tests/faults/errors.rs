//! Which errors a system call may give, on a machine that fails: the section ERRORS of its page in the manual.

use nix::errno::Errno::{
    self, E2BIG, EACCES, EAGAIN, EBADF, EBUSY, EDQUOT, EEXIST, EINTR, EINVAL, EIO, EMFILE, ENFILE,
    ENOBUFS, ENODEV, ENOLCK, ENOMEM, ENOSPC, ENOSYS, EOPNOTSUPP, EPERM, EROFS,
};

/// None for calls that cannot fail, or only for a fault of the caller's code: what they are given decides, not the machine.
pub(crate) fn of(call: &str) -> &'static [Errno] {
    match call {
        "openat" | "open" | "openat2" => &[EMFILE, EPERM, ENOMEM, EIO],
        "read" | "pread64" | "readv" | "getdents64" => &[EIO, EINTR, ENOMEM],
        "write" | "pwrite64" | "writev" => &[ENOSPC, EIO, EINTR, EBUSY, EPERM],
        "lseek" => &[EINVAL],
        // F_DUPFD.
        "fcntl" => &[EMFILE],
        // Of a descriptor, where the standard library and the runtime make them.
        "statx" | "fstat" => &[EIO, ENOMEM],
        "newfstatat" | "stat" | "lstat" | "fstatfs" | "statfs" | "access" | "faccessat2"
        | "readlink" | "readlinkat" | "getcwd" | "fchdir" | "chdir" => &[EACCES, EIO, ENOMEM],
        "mkdir" | "mkdirat" | "symlinkat" | "mknodat" => &[ENOSPC, EACCES, EDQUOT, EROFS],
        "rename" | "renameat" | "renameat2" | "unlink" | "unlinkat" | "rmdir" | "ftruncate" => {
            &[EIO, EBUSY, EROFS]
        }
        "fchmod" | "fchmodat" | "fchmodat2" | "fchown" | "fchownat" | "chmod" | "chown" => {
            &[EPERM, EROFS]
        }
        "dup" | "dup2" | "dup3" | "pipe2" | "eventfd2" | "epoll_create1" | "inotify_init1"
        | "signalfd4" => &[EMFILE, ENOMEM],
        "memfd_create" | "socket" | "socketpair" | "pidfd_open" => &[EMFILE, ENFILE, ENOMEM, EPERM],
        "bind" | "listen" => &[EACCES, ENOSPC],
        // ECONNREFUSED says that nobody listens.
        "connect" => &[EACCES, EAGAIN],
        "accept4" => &[EMFILE, EINTR, ENOMEM],
        "sendto" | "sendmsg" => &[ENOBUFS, ENOMEM, EINTR],
        "recvfrom" | "recvmsg" => &[ENOMEM, EINTR],
        "poll" | "ppoll" | "epoll_wait" | "epoll_pwait" | "wait4" | "waitid" => &[EINTR],
        "epoll_ctl" | "inotify_add_watch" => &[ENOSPC, ENOMEM],
        "flock" => &[EINTR, ENOLCK],
        "clone3" | "clone" | "fork" | "vfork" => &[EAGAIN, ENOMEM, EPERM, ENOSPC],
        "execve" | "execveat" => &[ENOMEM, EACCES, E2BIG, EIO],
        "unshare" | "setns" => &[EPERM, ENOMEM, ENOSPC],
        "fsopen" | "fsmount" | "open_tree" | "fspick" => &[EPERM, EMFILE, ENODEV, ENOMEM],
        "fsconfig" | "move_mount" | "mount_setattr" | "mount" | "umount2" | "pivot_root"
        | "statmount" | "listmount" => &[EPERM, EBUSY, EINVAL, ENOMEM],
        // Of PR_CAPBSET_READ EINVAL says where the kernel's capabilities end.
        "prctl" => &[EPERM, ENOMEM],
        "sethostname" | "setdomainname" | "setgroups" | "setresuid" | "setresgid" | "setuid"
        | "setgid" | "capset" | "capget" | "seccomp" | "keyctl" | "setsid" | "ioctl" => {
            &[EPERM, EINVAL, ENOMEM]
        }
        "bpf" => &[EPERM, ENOMEM, ENOSPC],
        "prlimit64" | "sched_setaffinity" | "sched_setattr" | "ioprio_set" | "set_mempolicy"
        | "setpriority" | "personality" => &[EPERM, EINVAL],
        // What kill(2) says of no signal is an answer.
        "pidfd_send_signal" => &[EPERM],
        "pidfd_getfd" => &[EPERM, EMFILE],
        "mmap" | "mremap" | "brk" | "mprotect" | "munmap" | "madvise" => &[ENOMEM],
        "close_range" | "getrandom" => &[ENOSYS],
        "setsockopt" | "getsockopt" | "setxattr" | "getxattr" => &[EOPNOTSUPP, ENOMEM],
        "link" | "linkat" => &[EEXIST, EROFS],
        "sched_getaffinity" => &[EINVAL],
        "nanosleep" | "clock_nanosleep" => &[EINTR],
        "rt_sigtimedwait" => &[EINTR, EAGAIN],
        "arch_prctl" | "set_tid_address" | "set_robust_list" | "rseq" | "sigaltstack"
        | "rt_sigaction" | "rt_sigprocmask" | "rt_sigreturn" | "exit" | "exit_group" | "futex"
        | "kill" | "getpid" | "getppid" | "gettid" | "getuid" | "geteuid" | "getgid"
        | "getegid" | "getresuid" | "getresgid" | "umask" | "sched_yield" | "uname"
        | "restart_syscall" | "clock_gettime" => &[],
        // What is closed lies in memory: tmpfs, procfs, a cgroup, a socket.
        "close" => &[],
        // A call that is not in the list yet.
        _ => &[EPERM, EBADF],
    }
}
