//! The command line: its definitions, and how runc's way of reading one differs from clap's.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Args, CommandFactory, FromArgMatches, Parser};

use crate::failure::{Failure, Result};
use crate::help;
use crate::log::LogFormat;
use crate::{spelling, state_root};

pub(crate) use crate::command::Command;

const VERSION: &str = concat!(
    "version ",
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("BAREBOAT_COMMIT"),
    "\nspec: 1.3.0"
);

/// The whole command line.
#[derive(Debug)]
pub(crate) struct Cli {
    pub(crate) globals: Globals,
    pub(crate) command: Command,
}

/// What of it is not a command's own.
#[derive(Debug, Parser)]
#[command(
    name = "bareboat",
    about = "Open Container Initiative runtime",
    version = VERSION,
    disable_version_flag = true,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Program {
    #[command(flatten)]
    globals: Globals,
    /// Print the version
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "GLOBAL OPTIONS")]
pub(crate) struct Globals {
    /// Log at debug level
    #[arg(long, global = true)]
    pub(crate) debug: bool,
    /// File to append the log to [default: stderr]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) log: Option<PathBuf>,
    /// Form of the log's lines: text or json
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "text",
        value_parser = LogFormat::parse,
        global = true
    )]
    pub(crate) log_format: LogFormat,
    /// Directory for the state of containers, best on a tmpfs
    /// [default: /run/bareboat, or $XDG_RUNTIME_DIR/bareboat when not root]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) root: Option<PathBuf>,
    /// Have systemd make the cgroups; cgroupsPath is then "slice:prefix:name"
    #[arg(long, global = true)]
    pub(crate) systemd_cgroup: bool,
    /// Do without cgroups where they may not be written: true, false or auto
    #[arg(long, value_name = "MODE", default_value = "auto", value_parser = parse_rootless)]
    pub(crate) rootless: Rootless,
}

impl Globals {
    pub(crate) fn state_root(&self) -> Result<PathBuf> {
        state_root::resolve(self.root.as_deref())
    }

    pub(crate) fn cgroup_driver(&self) -> runtime_core::CgroupDriver {
        if self.systemd_cgroup {
            runtime_core::CgroupDriver::Systemd
        } else {
            runtime_core::CgroupDriver::Cgroupfs
        }
    }
}

/// Whether cgroups that may not be written are a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rootless {
    Auto,
    Always,
    Never,
}

impl Rootless {
    /// Whether a container goes without cgroups that may not be made; nothing where that is for the library to decide.
    pub(crate) fn cgroups(self) -> Option<bool> {
        match self {
            Rootless::Auto => None,
            Rootless::Always => Some(true),
            Rootless::Never => Some(false),
        }
    }
}

fn parse_rootless(text: &str) -> std::result::Result<Rootless, String> {
    if text.is_empty() || text.eq_ignore_ascii_case("auto") {
        return Ok(Rootless::Auto);
    }
    Ok(if parse_boolean(text)? {
        Rootless::Always
    } else {
        Rootless::Never
    })
}

/// What the arguments ask for.
#[derive(Debug)]
pub(crate) enum Request {
    Command(Box<Cli>),
    /// Help or the version: to be printed, and nothing else done.
    Text(String),
}

/// Why arguments cannot be read, and where the caller wanted to be told.
#[derive(Debug)]
pub(crate) struct UsageError {
    pub(crate) failure: Failure,
    pub(crate) log: Option<PathBuf>,
    pub(crate) log_format: LogFormat,
}

/// Reads the arguments; the first is the program's name.
pub(crate) fn parse(arguments: Vec<OsString>) -> std::result::Result<Request, Box<UsageError>> {
    // Whichever of the commands it is, its name is among them. Who names none is told of all.
    let is_named = |name: &str| arguments.iter().any(|argument| argument == name);
    let definition = match Command::ALL.iter().any(|(name, ..)| is_named(name)) {
        true => define(&is_named),
        false => definition(),
    };
    let arguments = spelling::in_claps(&arguments, &definition);
    let parsed = definition.try_get_matches_from(&arguments);
    let request = parsed.and_then(|matches| match help::asked(&matches) {
        Some(topic) => Ok(Request::Text(help::text_on(topic, &arguments)?)),
        None => Ok(Request::Command(Box::new(Cli {
            globals: Globals::from_arg_matches(&matches)?,
            command: Command::from_arg_matches(&matches)?,
        }))),
    });
    request
        .or_else(|error| match error.kind() {
            ErrorKind::DisplayVersion => Ok(Request::Text(error.to_string())),
            ErrorKind::DisplayHelp => Ok(Request::Text(help::text(&arguments)?)),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
                Ok(Request::Text(help::text_on(None, &arguments)?))
            }
            _ => Err(error),
        })
        .map_err(|error| Box::new(usage_error(&error, arguments)))
}

/// The definitions as clap sees them.
pub(crate) fn definition() -> clap::Command {
    define(&|_| true)
}

/// The same with some of the commands. In a frame of its own, as what follows needs the stack, too.
#[inline(never)]
fn define(wanted: &dyn Fn(&str) -> bool) -> clap::Command {
    read_like_runc(Program::command())
        .subcommands(Command::definitions(wanted))
        .subcommand(help::subcommand())
}

/// An option given twice has its last value, and a switch takes `=true` or `=false`.
pub(crate) fn read_like_runc(command: clap::Command) -> clap::Command {
    command
        .args_override_self(true)
        .mut_args(read_argument_like_runc)
}

fn read_argument_like_runc(arg: Arg) -> Arg {
    let arg = match arg.get_action() {
        ArgAction::SetTrue => with_optional_boolean(arg),
        // The argument behind an option is its value, whatever it looks like.
        action if action.takes_values() && !arg.is_positional() => arg.allow_hyphen_values(true),
        _ => arg,
    };
    if arg.get_value_parser().type_id() == TypeId::of::<PathBuf>() {
        // Each command takes an empty path for none, and clap's own parser would not.
        return arg.value_parser(OsStringValueParser::new().map(PathBuf::from));
    }
    arg
}

fn with_optional_boolean(arg: Arg) -> Arg {
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .default_value("false")
        .hide_default_value(true)
        .value_name("BOOL")
        .value_parser(parse_boolean)
}

/// The spellings that Go's strconv.ParseBool takes.
pub(crate) fn parse_boolean(text: &str) -> std::result::Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("neither true nor false".to_owned()),
    }
}

/// Callers see nothing but the log, so its options are looked for even in a command line that is wrong elsewhere.
#[cold]
fn usage_error(error: &clap::Error, arguments: Vec<OsString>) -> UsageError {
    let globals = definition()
        .ignore_errors(true)
        .try_get_matches_from(arguments)
        .ok()
        .and_then(|matches| Globals::from_arg_matches(&matches).ok());
    let (log, log_format) = globals.map_or_else(Default::default, |globals| {
        (globals.log, globals.log_format)
    });
    UsageError {
        failure: describe(error),
        log,
        log_format,
    }
}

fn describe(error: &clap::Error) -> Failure {
    use clap::error::{ContextKind, ContextValue};
    if let (ErrorKind::InvalidSubcommand, Some(ContextValue::String(name))) =
        (error.kind(), error.get(ContextKind::InvalidSubcommand))
    {
        // The code of urfave/cli, which tells callers that probe for a command.
        return Failure::new(format!("No help topic for '{name}'")).with_code(3);
    }
    if let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg)
        && option.starts_with("--log-format")
        && let Some(cause) = std::error::Error::source(error)
    {
        return Failure::new(cause.to_string());
    }
    let text = error.to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    // Phrases of runc and of urfave/cli, for callers that look for them.
    Failure::new(match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(option)))
            if option.starts_with('-') =>
        {
            let name = option.trim_start_matches('-');
            format!("flag provided but not defined: -{name}")
        }
        (ErrorKind::InvalidValue, Some(ContextValue::String(option)))
            if option.starts_with("--format ") =>
        {
            format!("invalid format option: {line}")
        }
        _ => line.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(arguments: &str) -> Cli {
        let words = arguments
            .split_ascii_whitespace()
            .map(OsString::from)
            .collect();
        match parse(words) {
            Ok(Request::Command(cli)) => *cli,
            other => panic!("{arguments}: {other:?}"),
        }
    }

    fn failure(arguments: &str) -> UsageError {
        *parse(
            arguments
                .split_ascii_whitespace()
                .map(OsString::from)
                .collect(),
        )
        .unwrap_err()
    }

    #[test]
    fn the_definitions_are_sound() {
        definition().debug_assert();
    }

    #[test]
    fn options_stand_before_or_after_the_operand_with_or_without_an_equals_sign() {
        for arguments in [
            "bareboat create --bundle /b --pid-file /p web",
            "bareboat create web --bundle=/b --pid-file=/p",
            "bareboat create -b /b web --pid-file /p",
        ] {
            let Command::Create(create) = command(arguments).command else {
                panic!("{arguments}")
            };
            assert_eq!(
                (create.id.as_str(), create.launch.bundle.to_str()),
                ("web", Some("/b")),
                "{arguments}"
            );
            assert_eq!(
                create.launch.pid_file.as_deref(),
                Some("/p".as_ref()),
                "{arguments}"
            );
        }
    }

    #[test]
    fn a_switch_takes_a_value_and_the_last_of_two_options_counts() {
        let Command::Run(run) =
            command("bareboat run --detach=true --keep=false -b /a -b /b web").command
        else {
            panic!()
        };
        assert!(run.detach && !run.keep);
        assert_eq!(run.launch.bundle.to_str(), Some("/b"));
        assert!(
            failure("bareboat run --detach=perhaps web")
                .failure
                .to_string()
                .contains("neither true nor false")
        );
    }

    #[test]
    fn global_options_stand_before_or_after_the_command() {
        for arguments in [
            "bareboat --root /r --log-format json state web",
            "bareboat state --root=/r web --log-format=json",
        ] {
            let cli = command(arguments);
            assert_eq!(
                cli.globals.root.as_deref(),
                Some("/r".as_ref()),
                "{arguments}"
            );
            assert_eq!(cli.globals.log_format, LogFormat::Json, "{arguments}");
        }
    }

    #[test]
    fn rootless_is_a_mode_before_spec_and_a_switch_after_it() {
        let cli = command("bareboat --rootless false spec --rootless");
        assert_eq!(cli.globals.rootless, Rootless::Never);
        let Command::Spec(spec) = cli.command else {
            panic!()
        };
        assert!(spec.rootless);
        assert_eq!(command("bareboat list").globals.rootless, Rootless::Auto);
    }

    #[test]
    fn everything_after_the_container_goes_to_the_command() {
        let Command::Exec(exec) =
            command("bareboat exec -t -u 1:1 web ls -la --debug -- x").command
        else {
            panic!()
        };
        assert!(exec.tty);
        assert_eq!(exec.container(), "web");
        assert_eq!(exec.command(), ["ls", "-la", "--debug", "--", "x"]);
        let Command::Exec(exec) = command("bareboat exec web -t").command else {
            panic!()
        };
        assert_eq!(
            (exec.tty, exec.command()),
            (false, ["-t".to_owned()].as_slice())
        );
        let Command::Exec(exec) = command("bareboat exec web -- ls").command else {
            panic!()
        };
        assert_eq!(exec.command(), ["ls"]);
    }

    #[test]
    fn short_switches_cluster() {
        let Command::Exec(exec) = command("bareboat exec -td -e A=1 -eB=2 web ls").command else {
            panic!()
        };
        assert!(exec.tty && exec.detach);
        assert_eq!(exec.env, ["A=1", "B=2"]);
    }

    #[test]
    fn an_unknown_option_before_the_container_is_refused() {
        let error = failure("bareboat --log /tmp/l --log-format json exec --bogus web ls");
        assert!(
            error.failure.to_string() == "flag provided but not defined: -bogus",
            "{}",
            error.failure
        );
        assert_eq!(error.failure.code(), 1);
        assert_eq!(
            (error.log.as_deref(), error.log_format),
            (Some("/tmp/l".as_ref()), LogFormat::Json)
        );
    }

    #[test]
    fn an_empty_path_is_none_and_an_empty_format_is_text() {
        let cli = command("bareboat --log= --log-format= create --pid-file= --console-socket= web");
        assert_eq!(cli.globals.log_format, LogFormat::Text);
        let Command::Create(create) = cli.command else {
            panic!()
        };
        assert_eq!(create.launch.pid_file.as_deref(), Some("".as_ref()));
    }

    #[test]
    fn a_form_of_the_log_that_is_none_is_refused_as_runc_does() {
        for arguments in ["--log-format xml list", "--log-format=xml list"] {
            let error = failure(&format!("bareboat {arguments}")).failure;
            assert_eq!(
                (error.to_string().as_str(), error.code()),
                ("invalid log-format: xml", 1)
            );
        }
    }

    #[test]
    fn an_unknown_command_has_a_code_of_its_own() {
        let error = failure("bareboat foo -h").failure;
        assert_eq!(
            (error.to_string().as_str(), error.code()),
            ("No help topic for 'foo'", 3)
        );
    }

    #[test]
    fn the_version_names_the_commit_and_the_specification() {
        let Ok(Request::Text(text)) = parse(vec!["bareboat".into(), "--version".into()]) else {
            panic!()
        };
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            concat!("bareboat version ", env!("CARGO_PKG_VERSION"))
        );
        assert!(lines[1].starts_with("commit: "));
        assert_eq!(lines[2], format!("spec: {}", runtime_core::SPEC_VERSION));
    }
}
