//! What the init tells the runtime over the control socket, one message of fixed size each.

use core::fmt;

/// What a message from the init says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportKind {
    /// The step is a rendezvous, and the init waits there.
    Reached,
    /// The step failed; the init exits.
    Failed,
    /// The init cloned itself once more; `value` is the new process's pid, and the old one has exited.
    Forked,
    /// The message carries the pty's master.
    Console,
    /// The init waits for the tree of this step, and for those of the steps of the same kind right after it.
    Wanted,
    /// The message carries a mount tree whose ids the runtime is to map, and the init waits.
    Tree,
    /// The message carries the listener of the seccomp filter that is in force now.
    Listener,
}

/// A message from the init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What happened.
    pub kind: ReportKind,
    /// The index of the step at which it happened.
    pub step: u32,
    /// The part of the step that failed; [`Operation::Whole`] in any other report.
    pub operation: Operation,
    /// The errno of a failure; the pid of a fork.
    pub value: i32,
}

impl Report {
    /// The size of an encoded report.
    pub const SIZE: usize = 10;

    /// The report of a seccomp listener, made by this step.
    pub const fn listener(step: u32) -> Report {
        Report {
            kind: ReportKind::Listener,
            step,
            operation: Operation::Whole,
            value: 0,
        }
    }

    /// The message as it goes over the socket.
    pub fn encode(self) -> [u8; Self::SIZE] {
        let [s0, s1, s2, s3] = self.step.to_ne_bytes();
        let [v0, v1, v2, v3] = self.value.to_ne_bytes();
        let kind = self.kind as u8;
        [kind, self.operation as u8, s0, s1, s2, s3, v0, v1, v2, v3]
    }

    /// The report in a message, or nothing when it is not one.
    pub fn decode(message: &[u8]) -> Option<Report> {
        let &[kind, operation, s0, s1, s2, s3, v0, v1, v2, v3] = message else {
            return None;
        };
        let kind = match kind {
            0 => ReportKind::Reached,
            1 => ReportKind::Failed,
            2 => ReportKind::Forked,
            3 => ReportKind::Console,
            4 => ReportKind::Wanted,
            5 => ReportKind::Tree,
            6 => ReportKind::Listener,
            _ => return None,
        };
        Some(Report {
            kind,
            step: u32::from_ne_bytes([s0, s1, s2, s3]),
            operation: Operation::ALL.get(usize::from(operation)).copied()?,
            value: i32::from_ne_bytes([v0, v1, v2, v3]),
        })
    }
}

/// Why a step failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The part of the step that failed.
    pub operation: Operation,
    /// The kernel's answer.
    pub errno: i32,
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// The part of a step that failed, where a step makes several system calls.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operation {
            $($(#[$doc])* $name,)*
        }

        impl Operation {
            const ALL: &'static [Operation] = &[$(Operation::$name,)*];
        }

        impl fmt::Display for Operation {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Operation::$name => $text,)* })
            }
        }
    };
}

operations! {
    /// The step as a whole, or the one system call that it makes.
    Whole => "",
    /// Finding the source of a bind mount.
    OpenSource => "open source",
    /// The source is not what it has to be.
    CheckSource => "check source",
    /// Finding the path under the root.
    Resolve => "open target",
    /// Making a missing directory or file under the root.
    MakeTarget => "make target",
    /// The target is of the wrong kind: not a directory, or a symbolic link where none may be.
    CheckTarget => "check target",
    /// fsopen(2).
    OpenFilesystem => "fsopen",
    /// fsconfig(2) with an option.
    Configure => "set option",
    /// fsconfig(2) with FSCONFIG_CMD_CREATE.
    CreateFilesystem => "create superblock",
    /// fsmount(2).
    MakeMount => "fsmount",
    /// open_tree(2) with OPEN_TREE_CLONE.
    CloneMount => "clone mount",
    /// mount_setattr(2).
    SetAttributes => "set mount attributes",
    /// Copying what a tmpfs covers into it.
    CopyUp => "copy what it covers",
    /// move_mount(2).
    AttachMount => "attach mount",
    /// pivot_root(2).
    Pivot => "pivot_root",
    /// umount2(2) of what the root was.
    DetachOldRoot => "detach old root",
    /// Changing into the new root, or the working directory.
    ChangeDirectory => "chdir",
    /// The working directory lies outside the root.
    CheckDirectory => "check that it is inside the root",
    /// Changing a file's owner.
    ChangeOwner => "chown",
    /// Changing a file's mode.
    ChangeMode => "chmod",
    /// Opening the pty.
    OpenPty => "open pty",
    /// Making the pty the controlling terminal and standard streams.
    UsePty => "set controlling terminal",
    /// Sending the pty's master to the runtime.
    SendPty => "send pty to the runtime",
    /// Setting groups.
    SetGroups => "setgroups",
    /// Setting the group.
    SetGid => "setgid",
    /// Setting the user.
    SetUid => "setuid",
    /// Opening a file.
    Open => "open",
    /// Writing to a file.
    Write => "write",
    /// Talking to the runtime.
    Control => "talk to the runtime",
    /// Starting the thread that sends a seccomp listener.
    StartSender => "start the thread that sends the listener",
    /// Sending a seccomp listener.
    SendListener => "send the listener to the runtime",
    /// Mapping the memory for the times of steps.
    MapStamps => "map the memory for the times of steps",
    /// Decoding the plan.
    Decode => "decode plan",
}
