//! What holds whatever is on the command line: the bodies of the targets in `fuzz/`. Tests run them over the same seeds.
//!
//! No part of the library's interface, and compiled for fuzzing and for tests alone.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a target says that something does not hold"
)]

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use nix::sys::signal::Signal;

use crate::cli::{self, Command, Request};
use crate::commands::user::parse_user;
use crate::{descriptors, duration, log, signals, size, spelling};

/// A target: what it does with an input.
pub type Target = fn(&[u8]);

/// All targets of this library, by name.
pub const TARGETS: &[(&str, Target)] = &[("arguments", arguments), ("command_line", command_line)];

/// Arguments with a NUL between two of them give a command, a text, or a usage error with the exit code of one.
pub fn command_line(bytes: &[u8]) {
    let given = bytes.split(|&byte| byte == 0);
    let given = given.map(|argument| OsString::from(std::ffi::OsStr::from_bytes(argument)));
    let arguments: Vec<OsString> = std::iter::once("bareboat".into()).chain(given).collect();
    let definition = cli::definition();
    let spelled = spelling::in_claps(&arguments, &definition);
    assert_eq!(spelled.len(), arguments.len());
    assert_eq!(spelling::in_claps(&spelled, &definition), spelled);
    match cli::parse(arguments) {
        Ok(Request::Text(text)) => assert!(!text.is_empty()),
        Ok(Request::Command(cli)) => command(&cli.command),
        Err(error) => {
            let failure = &error.failure;
            assert!(matches!(failure.code(), 1 | 3), "{failure:?}");
            assert!(!failure.to_string().is_empty());
        }
    }
}

/// What the options of a command ask for, as far as it can be told without a container.
fn command(command: &Command) {
    assert!(!format!("{command:?}").is_empty());
    match command {
        Command::Exec(exec) => drop(exec.try_out()),
        Command::Update(update) => drop(update.try_out()),
        _ => {}
    }
}

/// Values of options: what is taken is what runc takes.
pub fn arguments(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for word in text.lines() {
        signal(word);
        user(word);
        numbers(word);
        log_lines(word);
        descriptors::listening_for(7, Some("7"), Some(word));
    }
}

/// A name, with or without its prefix, in whatever case, or a number in decimal.
fn signal(text: &str) {
    let by_name = || {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let mut known = Signal::iterator();
        let known = known.find(|signal| signal.as_str().strip_prefix("SIG") == Some(name));
        known.map(|signal| signal as i32)
    };
    let expected = match decimal(text) {
        Some(number) => i32::try_from(number).ok().filter(|number| *number <= 64),
        None => by_name(),
    };
    assert_eq!(signals::parse(text).ok(), expected, "{text:?}");
    if let Some(number @ 1..=31) = expected {
        assert_eq!(signals::parse(&signals::name(number)).ok(), Some(number));
    }
}

/// A number, or two with a colon between them, each in decimal and without a sign.
fn user(text: &str) {
    let (uid, gid) = text.split_once(':').unwrap_or((text, "0"));
    let unsigned = |text: &str| decimal(text).filter(|_| !text.starts_with(['+', '-']));
    let id = |text| unsigned(text).and_then(|number| u32::try_from(number).ok());
    let is_user = id(uid).is_some() && id(gid).is_some();
    assert_eq!(parse_user(text).is_ok(), is_user, "{text:?}");
}

/// What Go's strconv.Atoi reads: digits, and a sign in front. Nothing is negative here but a zero.
fn decimal(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let zeros = text.strip_prefix('-').unwrap_or_default();
    let is_zero = !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0');
    let digits = if is_zero { zeros } else { digits };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let digits = digits.trim_start_matches('0');
    is_number.then(|| match digits {
        "" => 0,
        digits => digits.parse().unwrap_or(u64::MAX),
    })
}

fn numbers(text: &str) {
    if let Ok(bytes) = size::parse(text) {
        assert!(bytes >= 0, "{text:?} is {bytes}");
        assert_eq!(size::parse(&bytes.to_string()), Ok(bytes));
    }
    if let Ok(time) = duration::parse(text) {
        assert!(
            text.ends_with('0') || text.ends_with(|c: char| c.is_alphabetic()),
            "{text:?} is {time:?}"
        );
        let nanoseconds = format!("{}ns", time.subsec_nanos());
        assert_eq!(
            duration::parse(&nanoseconds).map(|time| time.as_secs()),
            Ok(0)
        );
    }
    let truth = cli::parse_boolean(text).is_ok();
    let spellings = [
        "1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False",
    ];
    assert_eq!(truth, spellings.contains(&text));
}

/// A message is one line of the log, whatever is in it, and in JSON it can be read back.
fn log_lines(message: &str) {
    let (text, json) = log::lines_of(message);
    for line in [&text, &json] {
        assert_eq!(line.find('\n'), Some(line.len() - 1), "{line:?}");
        let is_control = |c: char| c.is_ascii_control();
        assert!(
            !line.trim_end_matches('\n').contains(is_control),
            "{line:?}"
        );
    }
    let json: serde_json::Value = serde_json::from_str(&json).expect("a line of JSON");
    assert_eq!(json["msg"], message);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::TARGETS;

    #[test]
    fn what_holds_for_any_arguments_holds_for_the_seeds() {
        for (name, target) in TARGETS {
            let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
            let mut count = 0;
            for entry in fs::read_dir(seeds.join(name)).unwrap() {
                let path = entry.unwrap().path();
                println!("{}", path.display());
                let bytes = fs::read(path).unwrap();
                target(&bytes);
                // And for what is cut off or repeated somewhere.
                for place in (0..bytes.len()).step_by(3) {
                    target(&bytes[..place]);
                    target(&[&bytes[place..], &bytes[..]].concat());
                }
                count += 1;
            }
            assert!(count > 0, "{name} has no seeds");
        }
    }
}
