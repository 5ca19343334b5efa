//! Help in the shape that runc gives it. None of this is done for a command that is not asked for help.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::cli;
use crate::topics::{Topic, topic};

/// `NAME` is replaced here: clap knows the name that the program was called by in the usage alone.
const TEMPLATE: &str = "\
NAME:
   NAME - {about}

USAGE:
   {usage}

{before-help}{all-args}{after-help}
";

/// The whole command line with all that help and the man pages say of it.
#[must_use]
pub fn definition() -> Command {
    let definition = cli::definition();
    let name = definition.get_name().to_owned();
    described(definition, &name)
}

/// The command that asks for help on the one that it is given.
pub(crate) fn subcommand() -> Command {
    Command::new("help")
        .visible_alias("h")
        .about("Show the commands, or help for one of them")
        .arg(
            Arg::new("topic")
                .value_name("COMMAND")
                .num_args(0..)
                .help("Command to explain"),
        )
}

/// What the command `help` was asked about, if it was that; nothing where it is the program.
pub(crate) fn asked(matches: &ArgMatches) -> Option<Option<&str>> {
    match matches.subcommand()? {
        ("help", matches) => Some(matches.get_one::<String>("topic").map(String::as_str)),
        _ => None,
    }
}

/// The help that arguments with `--help` or `-h` among them ask for.
///
/// # Errors
///
/// They are wrong before that place.
pub(crate) fn text(arguments: &[OsString]) -> Result<String, clap::Error> {
    let program = arguments
        .first()
        .map_or(OsStr::new(""), OsString::as_os_str);
    let name = Path::new(program).file_name().unwrap_or(program);
    match described(cli::definition(), &name.to_string_lossy()).try_get_matches_from(arguments) {
        Err(error) if error.kind() == clap::error::ErrorKind::DisplayHelp => Ok(error.to_string()),
        Err(error) => Err(error),
        Ok(_) => Ok(String::new()),
    }
}

/// The help on a command, or on the program.
///
/// # Errors
///
/// There is no such command.
pub(crate) fn text_on(command: Option<&str>, program: &[OsString]) -> Result<String, clap::Error> {
    let arguments: Vec<OsString> = program
        .iter()
        .take(1)
        .cloned()
        .chain(command.map(OsString::from))
        .chain([OsString::from("--help")])
        .collect();
    text(&arguments)
}

/// `name` is the program's, and the command's after it where it is one.
fn described(command: Command, name: &str) -> Command {
    let topic = topic(command.get_name());
    with_topic(command, topic)
        .help_template(TEMPLATE.replacen("NAME -", &format!("{name} -"), 1))
        .subcommand_help_heading("COMMANDS")
        .disable_help_flag(true)
        .arg(help_flag())
        .mut_args(under_a_heading)
        .mut_subcommands(|subcommand| {
            let name = format!("{name} {}", subcommand.get_name());
            described(subcommand, &name)
        })
}

fn with_topic(command: Command, topic: Option<&Topic>) -> Command {
    let Some(topic) = topic else {
        return command;
    };
    let command = command
        .before_help(format!("DESCRIPTION:\n{}", indented(topic.description)))
        .long_about(topic.description);
    if topic.examples.is_empty() {
        return command;
    }
    let examples: Vec<String> = topic
        .examples
        .iter()
        .map(|example| {
            format!(
                "   {}:\n{}",
                example.what,
                indented(&indented(example.commands))
            )
        })
        .collect();
    command.after_help(format!("EXAMPLES:\n{}", examples.join("\n\n")))
}

fn indented(text: &str) -> String {
    let lines = text.lines().map(|line| match line {
        "" => String::new(),
        line => format!("   {line}"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The same for `-h` and `--help`, as runc has it.
fn help_flag() -> Arg {
    Arg::new("help")
        .short('h')
        .long("help")
        .action(ArgAction::HelpShort)
        .help("Show this help")
}

fn under_a_heading(arg: Arg) -> Arg {
    match (arg.get_help_heading(), arg.is_positional()) {
        (Some(_), _) => arg,
        (None, true) => arg.help_heading("ARGUMENTS"),
        (None, false) => arg.help_heading("OPTIONS"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Request, parse};

    fn help(arguments: &[&str]) -> String {
        match parse(arguments.iter().map(OsString::from).collect()) {
            Ok(Request::Text(text)) => text,
            other => panic!("{arguments:?}: {other:?}"),
        }
    }

    fn opening(arguments: &[&str]) -> Vec<String> {
        help(arguments).lines().take(2).map(str::to_owned).collect()
    }

    #[test]
    fn help_opens_as_runcs_does() {
        let program = ["NAME:", "   bareboat - Open Container Initiative runtime"];
        for arguments in [
            &["bareboat"][..],
            &["bareboat", "-h"],
            &["bareboat", "--help"],
            &["bareboat", "help"],
            &["bareboat", "h"],
            &["bareboat", "--debug"],
        ] {
            assert_eq!(opening(arguments), program, "{arguments:?}");
        }
        let command = [
            "NAME:",
            "   bareboat exec - Execute a further process in a container",
        ];
        for arguments in [
            &["bareboat", "exec", "--help"][..],
            &["bareboat", "exec", "-h"],
            &["bareboat", "--root", "/r", "exec", "-t", "-h"],
            &["bareboat", "help", "exec"],
            &["bareboat", "h", "exec", "anything"],
        ] {
            assert_eq!(opening(arguments), command, "{arguments:?}");
        }
    }

    #[test]
    fn the_name_is_the_one_that_the_program_was_called_by() {
        assert_eq!(
            opening(&["/usr/bin/runc", "-h"])[1],
            "   runc - Open Container Initiative runtime"
        );
        let text = help(&["bin/runc", "help", "list"]);
        assert!(text.contains("   runc list - List"), "{text}");
        assert!(text.contains("   runc list [OPTIONS]"), "{text}");
        let version = help(&["/usr/bin/runc", "--version"]);
        assert!(version.starts_with("bareboat version "), "{version}");
    }

    #[test]
    fn what_is_executed_has_its_own_help() {
        for arguments in ["exec web ls --help", "exec web -h", "ps web -h"] {
            let words = format!("bareboat {arguments}");
            let words = words.split(' ').map(OsString::from).collect();
            assert!(
                matches!(parse(words), Ok(Request::Command(_))),
                "{arguments}"
            );
        }
    }

    #[test]
    fn help_on_what_is_no_command_has_a_code_of_its_own() {
        let arguments = ["bareboat", "help", "foo"].map(OsString::from).to_vec();
        let failure = parse(arguments).unwrap_err().failure;
        assert_eq!(
            (failure.to_string().as_str(), failure.code()),
            ("No help topic for 'foo'", 3)
        );
    }

    #[test]
    fn every_section_has_runcs_heading() {
        let text = help(&["bareboat", "exec", "-h"]);
        let headings: Vec<&str> = text
            .lines()
            .filter(|line| line.ends_with(':') && !line.starts_with(' '))
            .collect();
        assert_eq!(
            headings,
            [
                "NAME:",
                "USAGE:",
                "DESCRIPTION:",
                "ARGUMENTS:",
                "OPTIONS:",
                "GLOBAL OPTIONS:",
                "EXAMPLES:"
            ]
        );
    }
}
