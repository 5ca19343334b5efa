//! What there is to say of each command beyond one line: for help, and for the man pages.

/// The explanation of a command, or of the program.
#[derive(Debug)]
pub struct Topic {
    /// The command's name, or `bareboat`.
    pub name: &'static str,
    /// Paragraphs in lines of at most 77 characters, with an empty line between two.
    pub description: &'static str,
    /// What it is used for.
    pub examples: &'static [Example],
}

/// A use of a command.
#[derive(Debug)]
pub struct Example {
    /// What it shows; no more than a line.
    pub what: &'static str,
    /// What to type, in one line or more.
    pub commands: &'static str,
}

/// The explanation of the command, or of the program by its own name.
#[must_use]
pub fn topic(name: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|topic| topic.name == name)
}

const fn example(what: &'static str, commands: &'static str) -> Example {
    Example { what, commands }
}

static TOPICS: &[Topic] = &[
    Topic {
        name: "bareboat",
        description: "\
bareboat runs containers as the Open Container Initiative (OCI) specifies
them. It has runc's command line, so that Docker, containerd, Podman and
others use it in runc's place.

A container is made from a bundle: a directory with a root file system and
a config.json that says everything else. Its name is the caller's choice
and belongs to one container of a state root at a time.

A container outlives the command that made it. Its state is kept below the
state root until `bareboat delete`; `bareboat run` without --detach deletes
it by itself.",
        examples: &[
            example(
                "Write a config.json for a root file system, and run a shell in it",
                "bareboat spec --bundle hello\nbareboat run --bundle hello first",
            ),
            example(
                "The same in steps, for a config.json with \"terminal\": false",
                "bareboat create --bundle hello second\nbareboat start second\nbareboat exec second ps\nbareboat kill second KILL\nbareboat delete second",
            ),
        ],
    },
    Topic {
        name: "checkpoint",
        description: "\
Checkpoints are not there yet: the command is known, so that callers that
look for it find it, and says that it comes later.",
        examples: &[],
    },
    Topic {
        name: "create",
        description: "\
Makes a container from a bundle, with everything that config.json asks for,
and returns. The container's process waits there; `bareboat start` lets it
execute the program of process.args.

Where process.terminal is true, --console-socket is needed: someone has to
take the terminal. Otherwise the container has the standard input, output
and error of this command.",
        examples: &[
            example(
                "Create a container, and note the pid of its process",
                "bareboat create --bundle /srv/web --pid-file /run/web.pid web",
            ),
            example("Start it", "bareboat start web"),
        ],
    },
    Topic {
        name: "delete",
        description: "\
Removes what a container that has ended has left: its cgroup and its state.
What runs yet is not deleted without --force.",
        examples: &[
            example("Delete a container that has ended", "bareboat delete web"),
            example(
                "Kill a container if it runs, and delete it",
                "bareboat delete --force web",
            ),
        ],
    },
    Topic {
        name: "events",
        description: "\
Prints statistics of a container every --interval, and a line whenever it
has run out of memory, until it ends. Each line is a JSON object with
\"type\", \"id\" and \"data\"; the type is \"stats\" or \"oom\".",
        examples: &[
            example(
                "The statistics as they are now",
                "bareboat events --stats web",
            ),
            example("Follow a container", "bareboat events --interval 10s web"),
        ],
    },
    Topic {
        name: "exec",
        description: "\
Executes a command in a running container, in its namespaces, its root file
system and its cgroup. User, environment, capabilities and limits are those
of the container's own process, but for what the options change; --process
takes all of it from a file.

Everything after the name of the container belongs to the command.

The exit code is that of the command, 128 and the number of a signal that
ended it, or 255 when it could not be executed.",
        examples: &[
            example("A shell", "bareboat exec --tty web sh"),
            example(
                "A command as another user, with a variable",
                "bareboat exec --user 1000:1000 --env DEBUG=1 web /bin/task",
            ),
            example(
                "A process from a file, in the background",
                "bareboat exec --detach --process process.json web",
            ),
        ],
    },
    Topic {
        name: "features",
        description: "\
Prints what this build of bareboat knows, whatever the host can do, as the
JSON object that the OCI Runtime Specification calls the features structure.",
        examples: &[example(
            "The mount options",
            "bareboat features | jq .mountOptions",
        )],
    },
    Topic {
        name: "kill",
        description: "\
Sends a signal to the first process of a container. The signal is a number
or a name, with or without SIG, such as 9, KILL or SIGKILL.

KILL ends all processes of a container, whether it has a pid namespace of
its own or not. --all sends any other signal to all of them, too, and does
not mind a container that has ended.",
        examples: &[
            example("Ask a container to end", "bareboat kill web"),
            example("End it", "bareboat kill web KILL"),
        ],
    },
    Topic {
        name: "list",
        description: "\
Lists the containers of the state root: those that bareboat made with the
same --root, whatever their status is.",
        examples: &[
            example("All containers", "bareboat list"),
            example(
                "Those that Kubernetes made with containerd, by name",
                "bareboat --root /run/containerd/runc/k8s.io list --quiet",
            ),
        ],
    },
    Topic {
        name: "pause",
        description: "\
Freezes all processes of a container until `bareboat resume`. They keep
their memory and their connections.",
        examples: &[example("Pause a container", "bareboat pause web")],
    },
    Topic {
        name: "plan",
        description: "\
Prints the steps that `bareboat create` would execute for a bundle, in
order, each with what asked for it: a JSON pointer into config.json, or a
default. Nothing is done, and no privilege is needed. An error that comes
from config.json alone is found here too.

With --timings it prints what the steps took instead, from the file that
`bareboat run`, create, start or exec wrote with their option of that name:
a line for each, with its start, its duration and a bar, on the host or in
the container (init). Bars leave out the time of the user's program.",
        examples: &[
            example("The steps for a bundle", "bareboat plan --bundle hello"),
            example("For programs", "bareboat plan --bundle hello --format json"),
            example(
                "What they took",
                "bareboat run --bundle hello --timings trace.json first\nbareboat plan --timings trace.json",
            ),
        ],
    },
    Topic {
        name: "ps",
        description: "\
Shows the processes of a container as ps(1) of the host does, or only their
pids with --format json. Everything after the name of the container is for
ps(1); its output has to have a column PID.",
        examples: &[
            example("The processes", "bareboat ps web"),
            example(
                "With columns of one's choice",
                "bareboat ps web -o pid,rss,args",
            ),
        ],
    },
    Topic {
        name: "restore",
        description: "\
Checkpoints are not there yet: the command is known, so that callers that
look for it find it, and says that it comes later.",
        examples: &[],
    },
    Topic {
        name: "resume",
        description: "Lets the processes of a container go on that `bareboat pause` has frozen.",
        examples: &[example("Resume a container", "bareboat resume web")],
    },
    Topic {
        name: "run",
        description: "\
Makes a container from a bundle, starts it, waits for its process, and
deletes it: create, start and delete in one. Signals that this command
receives are passed on to the container's process, and its exit code is
that of the process, or 128 and the number of a signal that ended it.

With --detach it returns when the container runs. Where process.terminal is
true, --console-socket is needed then.",
        examples: &[
            example(
                "Run a bundle in the foreground",
                "bareboat run --bundle hello first",
            ),
            example(
                "In the background",
                "bareboat run --detach --bundle /srv/web --pid-file /run/web.pid web",
            ),
        ],
    },
    Topic {
        name: "spec",
        description: "\
Writes a config.json that runs `sh` with a terminal in the directory rootfs
of the bundle, and that is meant to be changed: process.args is what to
execute, process.terminal whether it has a terminal. A file that is there
already is kept, and is an error.

With --rootless it is one for a user without privileges: with a user
namespace whose root is that user, and with the network of the host.",
        examples: &[
            example("In the current directory", "bareboat spec"),
            example(
                "For a user without privileges",
                "bareboat spec --rootless --bundle ~/hello",
            ),
        ],
    },
    Topic {
        name: "start",
        description: "\
Lets the process of a created container execute the program of its
process.args, and returns. A program that is not there is the error of
`bareboat create`; one that cannot be executed is the error of this command.",
        examples: &[example("Start a container", "bareboat start web")],
    },
    Topic {
        name: "state",
        description: "\
Prints the state of a container as JSON, with the fields of the OCI Runtime
Specification and some of runc's. The status is creating, created, running,
paused or stopped.",
        examples: &[example(
            "The pid of a container's process",
            "bareboat state web | jq .pid",
        )],
    },
    Topic {
        name: "update",
        description: "\
Changes the limits of a container while it runs. What no option names stays
as it is. Either all changes are made or none.

A file of --resources has the form of linux.resources in config.json, such
as {\"memory\": {\"limit\": 67108864}, \"pids\": {\"limit\": 100}}.

Sizes are bytes, or have one of the suffixes k, M, G, T and P for powers of
1024.",
        examples: &[
            example(
                "Half a processor, and 256 MiB of memory",
                "bareboat update --cpu-period 100000 --cpu-quota 50000 --memory 256M web",
            ),
            example(
                "From standard input",
                "echo '{\"pids\": {\"limit\": 100}}' | bareboat update --resources - web",
            ),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_explained() {
        let definition = crate::cli::definition();
        for command in definition.get_subcommands().map(clap::Command::get_name) {
            assert!(command == "help" || topic(command).is_some(), "{command}");
        }
        assert!(topic(definition.get_name()).is_some());
    }

    #[test]
    fn lines_fit_a_narrow_terminal() {
        for topic in TOPICS {
            let examples = topic.examples.iter().map(|example| example.what);
            for line in topic.description.lines().chain(examples) {
                assert!(line.len() <= 77, "{}: {line}", topic.name);
            }
        }
    }
}
