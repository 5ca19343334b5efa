//! What the pages say beyond the definitions: exit codes, files, the environment, other pages.

type Entries = &'static [(&'static str, &'static str)];

const SUCCESS: (&str, &str) = ("0", "The command did what it was asked for.");
const FAILURE: (&str, &str) = (
    "1",
    "It could not. The reason is the last error in the log, and on standard error.",
);
const SIGNALLED: (&str, &str) = (
    "128+N",
    "Signal number N ended the process of the container.",
);

const STATE_ROOT: (&str, &str) = (
    "/run/bareboat",
    "The state of the containers that root made, one directory each. `--root` names another place.",
);
const USERS_STATE_ROOT: (&str, &str) = ("$XDG_RUNTIME_DIR/bareboat", "The same for other users.");
const CONFIGURATION: (&str, &str) = (
    "config.json",
    "In the bundle: the configuration of the container, as the OCI Runtime Specification has it.",
);

const XDG_RUNTIME_DIR: (&str, &str) = (
    "XDG_RUNTIME_DIR",
    "Where a user who is not root has the state root, unless `--root` says otherwise.",
);
const NOTIFY_SOCKET: (&str, &str) = (
    "NOTIFY_SOCKET",
    "Where the service manager is told that the container is ready, as sd_notify(3) has it. The container has a socket of its own \
     to say so, and nothing else of what it says there is passed on. `bareboat start` and `bareboat run --detach` return when it has said so, or has ended.",
);
const LISTEN_FDS: (&str, &str) = (
    "LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PID",
    "Sockets of socket activation, as sd_listen_fds(3) has them. They are passed on to the container.",
);

/// Titles and entries of the sections between the options and the examples.
pub(crate) fn sections(command: &str) -> Vec<(&'static str, Entries)> {
    let sections = [
        ("EXIT STATUS", exit_codes(command)),
        ("FILES", files(command)),
        ("ENVIRONMENT", environment(command)),
    ];
    let has_entries = |section: &(_, Entries)| !section.1.is_empty();
    sections.into_iter().filter(has_entries).collect()
}

fn exit_codes(command: &str) -> Entries {
    match command {
        "bareboat" => &[
            SUCCESS,
            FAILURE,
            ("3", "There is no such command."),
            (
                "any other",
                "That of the process of the container: see bareboat-run(8) and bareboat-exec(8).",
            ),
        ],
        "exec" => &[
            (
                "the command's",
                "It was executed, and has ended. With `--detach`: 0, and it runs.",
            ),
            SIGNALLED,
            (
                "255",
                "It could not be executed. The reason is the last error in the log, and on standard error.",
            ),
        ],
        "run" => &[
            (
                "the container's",
                "Its process was executed, and has ended. With `--detach`: 0, and it runs.",
            ),
            SIGNALLED,
            FAILURE,
        ],
        _ => &[SUCCESS, FAILURE],
    }
}

fn files(command: &str) -> Entries {
    match command {
        "features" => &[],
        "spec" | "plan" => &[CONFIGURATION],
        "create" | "run" => &[CONFIGURATION, STATE_ROOT, USERS_STATE_ROOT],
        _ => &[STATE_ROOT, USERS_STATE_ROOT],
    }
}

fn environment(command: &str) -> Entries {
    match command {
        "features" | "spec" | "plan" => &[],
        "bareboat" | "create" | "run" => &[XDG_RUNTIME_DIR, NOTIFY_SOCKET, LISTEN_FDS],
        "start" => &[XDG_RUNTIME_DIR, NOTIFY_SOCKET],
        _ => &[XDG_RUNTIME_DIR],
    }
}

/// Pages to read next, with their sections.
pub(crate) fn related(command: &str) -> &'static [&'static str] {
    match command {
        "bareboat" => &["runc(8)", "crun(1)"],
        "checkpoint" => &["bareboat-restore(8)"],
        "create" => &[
            "bareboat-spec(8)",
            "bareboat-plan(8)",
            "bareboat-start(8)",
            "bareboat-delete(8)",
        ],
        "delete" => &["bareboat-kill(8)"],
        "events" => &["bareboat-update(8)", "cgroups(7)"],
        "exec" => &["bareboat-ps(8)", "capabilities(7)"],
        "kill" => &["bareboat-delete(8)", "signal(7)"],
        "list" => &["bareboat-state(8)"],
        "pause" => &["bareboat-resume(8)"],
        "plan" => &["bareboat-create(8)"],
        "ps" => &["bareboat-exec(8)", "ps(1)"],
        "restore" => &["bareboat-checkpoint(8)"],
        "resume" => &["bareboat-pause(8)"],
        "run" => &["bareboat-spec(8)", "bareboat-create(8)", "bareboat-exec(8)"],
        "spec" => &["bareboat-run(8)", "bareboat-plan(8)"],
        "start" => &["bareboat-create(8)"],
        "state" => &["bareboat-list(8)"],
        "update" => &["bareboat-events(8)", "cgroups(7)"],
        _ => &[],
    }
}
