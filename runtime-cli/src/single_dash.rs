//! Long options with one dash, such as `-root /run/x` and `-bundle=/b`: Go's flags, and so runc's, may be written so.
//!
//! clap would read `-bundle=/b` as `-b undle=/b`. Short options in a cluster, such as `-td`, which runc has not, stay what
//! they are wherever no long option has that name.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::{Arg, Command};

/// The same arguments with two dashes before each long option.
pub(crate) fn with_two_dashes(definition: &Command, arguments: Vec<OsString>) -> Vec<OsString> {
    if !arguments.iter().any(|argument| may_be_one(argument)) {
        return arguments;
    }
    let mut reader = Reader {
        program: definition,
        command: definition,
        what_follows: Follows::Options,
    };
    let (name, rest) = arguments.split_at(1.min(arguments.len()));
    let rest = rest.iter().map(|argument| reader.rewritten(argument));
    name.iter().cloned().chain(rest).collect()
}

/// One dash, and more than one letter after it.
fn may_be_one(argument: &OsStr) -> bool {
    matches!(argument.as_bytes(), [b'-', first, _, ..] if *first != b'-')
}

/// What the next argument is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Follows {
    Options,
    Value,
    /// The command of `exec`, or what stands after `--`: not for us.
    Operands,
}

struct Reader<'a> {
    program: &'a Command,
    command: &'a Command,
    what_follows: Follows,
}

impl Reader<'_> {
    fn rewritten(&mut self, argument: &OsStr) -> OsString {
        match self.what_follows {
            Follows::Operands => argument.to_owned(),
            Follows::Value => {
                self.what_follows = Follows::Options;
                argument.to_owned()
            }
            Follows::Options => self.option_or_operand(argument),
        }
    }

    fn option_or_operand(&mut self, argument: &OsStr) -> OsString {
        let bytes = argument.as_bytes();
        let Some(rest) = bytes.strip_prefix(b"-").filter(|rest| !rest.is_empty()) else {
            self.operand(argument);
            return argument.to_owned();
        };
        if rest == b"-" {
            self.what_follows = Follows::Operands;
            return argument.to_owned();
        }
        let (long, dashes_lack) = match rest.strip_prefix(b"-") {
            Some(long) => (long, false),
            None => (rest, rest.len() > 1),
        };
        let name = long.split(|byte| *byte == b'=').next().unwrap_or(long);
        let Some(option) = self.option(name) else {
            return argument.to_owned();
        };
        if option.get_action().takes_values() && !option.is_require_equals_set() && name == long {
            self.what_follows = Follows::Value;
        }
        match dashes_lack {
            true => OsString::from_vec([b"-", bytes].concat()),
            false => argument.to_owned(),
        }
    }

    /// The option of this name; of one letter is a short one.
    fn option(&self, name: &[u8]) -> Option<&Arg> {
        let is_it = |option: &&Arg| match name {
            [letter] => option.get_short() == Some(char::from(*letter)),
            _ => option
                .get_long()
                .is_some_and(|long| long.as_bytes() == name),
        };
        let globals = self.program.get_arguments();
        let globals = globals.filter(|option| option.is_global_set());
        self.command.get_arguments().chain(globals).find(is_it)
    }

    fn operand(&mut self, argument: &OsStr) {
        let subcommand = argument
            .to_str()
            .filter(|_| self.command.has_subcommands())
            .and_then(|name| self.command.find_subcommand(name));
        match subcommand {
            Some(command) => self.command = command,
            None if takes_all_that_follows(self.command) => self.what_follows = Follows::Operands,
            None => {}
        }
    }
}

fn takes_all_that_follows(command: &Command) -> bool {
    command.get_positionals().any(Arg::is_trailing_var_arg_set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(arguments: &str) -> String {
        let arguments = arguments.split(' ').map(OsString::from).collect();
        let rewritten = with_two_dashes(&crate::cli::definition(), arguments);
        rewritten.join(OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn a_long_option_may_have_one_dash() {
        for (given, meant) in [
            (
                "b -root /r list -format json",
                "b --root /r list --format json",
            ),
            (
                "b create -bundle=/b -pid-file /p web",
                "b create --bundle=/b --pid-file /p web",
            ),
            ("b delete -force web", "b delete --force web"),
            ("b delete web -force", "b delete web --force"),
            (
                "b exec -env A=1 -tty web ls",
                "b exec --env A=1 --tty web ls",
            ),
            ("b state -root /r web", "b state --root /r web"),
            ("b list -help", "b list -help"),
        ] {
            assert_eq!(rewritten(given), meant);
        }
    }

    #[test]
    fn short_options_and_what_belongs_to_them_stay() {
        for arguments in [
            "b exec -td web ls",
            "b exec -eA=1 web ls",
            "b list -fjson",
            "b kill web -9",
            "b update -r - web",
        ] {
            assert_eq!(rewritten(arguments), arguments);
        }
    }

    #[test]
    fn values_and_the_command_of_exec_stay() {
        for arguments in [
            "b exec web ls -tty",
            "b exec -u 0 web -detach",
            "b exec --cwd -tty web ls",
            "b update --cpu-quota -root web",
            "b ps web -format",
            "b kill -- -all",
        ] {
            assert_eq!(rewritten(arguments), arguments);
        }
    }
}
