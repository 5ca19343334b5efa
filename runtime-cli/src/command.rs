//! The commands: each with its name, its arguments and what it is for.

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, FromArgMatches};

use crate::cli::read_like_runc;
use crate::commands;

/// Defines [`Command`]. clap's derive would define the arguments of all commands before those of one are read, which takes longer
/// than everything else that a start does before it looks at the bundle.
macro_rules! commands {
    ($(#[doc = $about:literal] $command:ident($arguments:ty) = $name:literal,)*) => {
        /// What the command line says to do.
        #[derive(Debug)]
        pub(crate) enum Command {
            $(#[doc = $about] $command($arguments),)*
        }

        impl Command {
            /// Of each its name, what it is for, and what defines its arguments.
            pub(crate) const ALL: &[(&str, &str, fn(clap::Command) -> clap::Command)] =
                &[$(($name, $about, <$arguments>::augment_args)),*];

            /// The command that was called.
            ///
            /// # Errors
            ///
            /// Its arguments are wrong.
            pub(crate) fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                match matches.subcommand() {
                    $(Some(($name, matches)) => {
                        <$arguments>::from_arg_matches(matches).map(Command::$command)
                    })*
                    _ => Err(clap::Error::new(ErrorKind::MissingSubcommand)),
                }
            }
        }
    };
}

impl Command {
    /// The definitions of those that are wanted. They are large: made in turn, they take the stack of one.
    pub(crate) fn definitions(
        wanted: impl Fn(&str) -> bool,
    ) -> impl Iterator<Item = clap::Command> {
        let all = Self::ALL.iter().filter(move |(name, ..)| wanted(name));
        all.map(|&(name, about, define_arguments)| {
            let command = define_arguments(clap::Command::new(name));
            read_like_runc(command.about(about.trim_ascii()))
        })
    }
}

commands! {
    /// Save a container to go on with it later: not in this version
    Checkpoint(Box<commands::checkpoint::Checkpoint>) = "checkpoint",
    /// Create a container
    Create(commands::create::Create) = "create",
    /// Delete a container and all that it holds
    Delete(commands::delete::Delete) = "delete",
    /// Print what a container uses, and when it runs out of memory
    Events(commands::events::Events) = "events",
    /// Execute a further process in a container
    Exec(commands::exec::Exec) = "exec",
    /// Print what this runtime can do, as JSON
    Features(commands::features::Features) = "features",
    /// Send a signal to a container's init process
    Kill(commands::kill::Kill) = "kill",
    /// List the containers of a state root
    List(commands::list::List) = "list",
    /// Stop all processes of a container until it is resumed
    Pause(commands::pause::Pause) = "pause",
    /// Print what creating a container would do, without doing it
    Plan(commands::plan::Plan) = "plan",
    /// Show the processes of a container
    Ps(commands::ps::Ps) = "ps",
    /// Go on with a container that was saved: not in this version
    Restore(Box<commands::checkpoint::Restore>) = "restore",
    /// Let the processes of a paused container go on
    Resume(commands::pause::Resume) = "resume",
    /// Create and start a container
    Run(commands::run::Run) = "run",
    /// Write a config.json to start from
    Spec(commands::spec::Spec) = "spec",
    /// Start the user's process of a created container
    Start(commands::start::Start) = "start",
    /// Print the state of a container
    State(commands::state::State) = "state",
    /// Change the limits of a container
    Update(Box<commands::update::Update>) = "update",
}
