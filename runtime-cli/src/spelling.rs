//! Options as Go's flag package spells them: one dash or two, whatever the name's length.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command};

/// The arguments with each option in clap's spelling: two dashes before a name, one before a letter. What is none, such as
/// the value of an option or what goes to a container's program, stays as it is.
pub(crate) fn in_claps(arguments: &[OsString], definition: &Command) -> Vec<OsString> {
    let mut reader = Reader {
        definition,
        command: None,
        value_is_due: false,
        operands_alone: false,
    };
    let mut arguments = arguments.iter();
    let program = arguments.next().cloned();
    program
        .into_iter()
        .chain(arguments.map(|argument| reader.read(argument)))
        .collect()
}

struct Reader<'a> {
    definition: &'a Command,
    command: Option<&'a Command>,
    /// The next argument is the value of the option before it.
    value_is_due: bool,
    operands_alone: bool,
}

impl<'a> Reader<'a> {
    fn read(&mut self, argument: &OsStr) -> OsString {
        if std::mem::take(&mut self.value_is_due) || self.operands_alone {
            return argument.to_owned();
        }
        let Some(text) = argument.to_str() else {
            return argument.to_owned();
        };
        match text.strip_prefix('-') {
            None => self.operand(text),
            Some("") => {}
            Some("-") => self.operands_alone = true,
            Some(rest) => return self.option(text, rest.strip_prefix('-').unwrap_or(rest)),
        }
        argument.to_owned()
    }

    fn operand(&mut self, text: &str) {
        match self.command {
            None => self.command = self.definition.find_subcommand(text),
            // All that follows is the program's.
            Some(command) => {
                let mut operands = command.get_positionals();
                self.operands_alone = operands.any(Arg::is_trailing_var_arg_set);
            }
        }
    }

    fn option(&mut self, text: &str, rest: &str) -> OsString {
        let name = rest.split('=').next().unwrap_or_default();
        let has_value = name.len() < rest.len();
        let mut letters = name.chars();
        let (first, more) = (letters.next(), letters.next());
        let found = match (first, more) {
            (Some(letter), None) => self.find(|arg| arg.get_short() == Some(letter)),
            _ => self.find(|arg| arg.get_long() == Some(name)),
        };
        match (found, more) {
            (Some(arg), more) => {
                self.value_is_due = !has_value && has_separate_value(arg);
                let dashes = if more.is_some() { "--" } else { "-" };
                format!("{dashes}{rest}").into()
            }
            (None, Some(_)) if name == "help" => "--help".into(),
            (None, _) => {
                if !text.starts_with("--") {
                    self.cluster(rest);
                }
                text.into()
            }
        }
    }

    /// Letters behind one dash: switches, or a last one with its value.
    fn cluster(&mut self, letters: &str) {
        for (at, letter) in letters.char_indices() {
            let Some(arg) = self.find(|arg| arg.get_short() == Some(letter)) else {
                return;
            };
            if has_separate_value(arg) {
                self.value_is_due = letters.len() == at + letter.len_utf8();
                return;
            }
        }
    }

    /// An option of the command, or of all commands.
    fn find(&self, is_it: impl Fn(&Arg) -> bool) -> Option<&'a Arg> {
        let own = self.command.into_iter().flat_map(Command::get_arguments);
        let of_all = self
            .definition
            .get_arguments()
            .filter(|arg| self.command.is_none() || arg.is_global_set());
        own.chain(of_all).find(|arg| is_it(arg))
    }
}

fn has_separate_value(arg: &Arg) -> bool {
    arg.get_action().takes_values() && !arg.is_require_equals_set()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::definition;

    fn respelled(arguments: &str) -> String {
        let words: Vec<OsString> = arguments.split(' ').map(OsString::from).collect();
        in_claps(&words, &definition())
            .join(OsStr::new(" "))
            .into_string()
            .unwrap()
    }

    #[test]
    fn a_name_behind_one_dash_has_two_and_a_letter_behind_two_has_one() {
        for (given, expected) in [
            ("bb create -bundle /b web", "bb create --bundle /b web"),
            ("bb create --b /b web", "bb create -b /b web"),
            (
                "bb -root=/r create -pid-file=/p web",
                "bb --root=/r create --pid-file=/p web",
            ),
            (
                "bb run -detach=true web -root /r",
                "bb run --detach=true web --root /r",
            ),
            ("bb delete -force web", "bb delete --force web"),
            ("bb -version", "bb --version"),
            ("bb run -help", "bb run --help"),
        ] {
            assert_eq!(respelled(given), expected);
        }
    }

    #[test]
    fn what_is_no_option_of_the_command_stays() {
        for arguments in [
            "bb create -b -bundle web",
            "bb create -- -bundle",
            "bb exec web ls -detach --l -user",
            "bb exec -te -env web ls",
            "bb exec -eX=1 -td -u 1 web ls",
            "bb ps web -format",
            "bb state -bundle web",
            "bb create -nosuch --nosuch - web",
            "bb -b",
        ] {
            assert_eq!(respelled(arguments), arguments);
        }
    }
}
