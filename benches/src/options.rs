//! The command line.

use std::path::PathBuf;

use crate::error::{Context, Error, Result};
use crate::scenario::Scenario;

pub(crate) const USAGE: &str = "\
usage: benches startup [OPTION]...    the time of commands
       benches all [OPTION]...        everything
       benches compare OLD.json NEW.json
       benches table FILE.json [README.md]
       benches plot FILE.json FILE.svg [OPERATION]...
       benches functions BAREBOAT     which of its functions the commands run; it must have its symbols
options: --runs N  --spaced-ms MS  --only SCENARIO,...  --containers N,...
         --bareboat PATH  --peer NAME=PATH  --without NAME  --json FILE  --svg FILE";

/// What to measure, and whom.
#[derive(Debug)]
pub(crate) struct Options {
    /// Measurements of each kind, per runtime and regime.
    pub(crate) runs: usize,
    /// The pause before each measurement of the spaced regime; 0 leaves that regime out.
    pub(crate) spaced_ms: u64,
    pub(crate) only: Vec<Scenario>,
    pub(crate) bareboat: Option<PathBuf>,
    /// Runtimes given by name and path; a name that would be looked up on PATH is replaced.
    pub(crate) peers: Vec<(String, PathBuf)>,
    /// Peers that are left out though they are there.
    pub(crate) without: Vec<String>,
    /// How many containers there are at once, one after the other.
    pub(crate) containers: Vec<usize>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) svg: Option<PathBuf>,
}

impl Options {
    fn new(scenarios: &[Scenario]) -> Self {
        Self {
            runs: 30,
            spaced_ms: 100,
            only: scenarios.to_vec(),
            bareboat: None,
            peers: Vec::new(),
            without: Vec::new(),
            containers: vec![10, 100, 1000],
            json: None,
            svg: None,
        }
    }

    /// Reads the arguments of `startup` and `all`: `--name value` or `--name=value`.
    pub(crate) fn parse(scenarios: &[Scenario], arguments: &[String]) -> Result<Self> {
        let mut options = Self::new(scenarios);
        let mut arguments = arguments.iter().map(String::as_str);
        while let Some(argument) = arguments.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (argument, arguments.next()),
            };
            let value = value.ok_or_else(|| Error::new(format!("{name}: no value given")))?;
            options.set(name, value)?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "--runs" => self.runs = positive(value).context(name)?,
            "--spaced-ms" => self.spaced_ms = value.parse().context(name)?,
            "--only" => {
                self.only = value
                    .split(',')
                    .map(|word| Scenario::named(word).ok_or_else(|| unknown_scenario(word)))
                    .collect::<Result<_>>()?;
            }
            "--bareboat" => self.bareboat = Some(value.into()),
            "--peer" => {
                let peer = value.split_once('=');
                let (name, path) =
                    peer.ok_or_else(|| Error::new(format!("--peer {value}: not NAME=PATH")))?;
                self.peers.push((name.to_owned(), path.into()));
            }
            "--without" => self.without.push(value.to_owned()),
            "--containers" => {
                let numbers = value.split(',').map(positive);
                self.containers = numbers
                    .collect::<std::result::Result<_, _>>()
                    .context(name)?;
            }
            "--svg" => self.svg = Some(value.into()),
            "--json" => self.json = Some(value.into()),
            _ => return Err(Error::new(format!("{name}: unknown option\n{USAGE}"))),
        }
        Ok(())
    }
}

fn positive(value: &str) -> std::result::Result<usize, String> {
    match value.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

fn unknown_scenario(word: &str) -> Error {
    Error::new(format!("--only {word}: not one of {}", Scenario::names()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        Options::parse(&Scenario::STARTUP, &words)
    }

    #[test]
    fn values_follow_their_option_with_a_space_or_an_equals_sign() {
        let options = parse(&["--runs", "7", "--only=exec,run", "--peer", "a=/b=c"]).unwrap();
        assert_eq!(options.runs, 7);
        assert_eq!(options.only, [Scenario::Exec, Scenario::Run]);
        assert_eq!(options.peers, [("a".to_owned(), PathBuf::from("/b=c"))]);
    }

    #[test]
    fn nonsense_is_refused() {
        for words in [
            &["--runs", "0"][..],
            &["--only", "x"],
            &["--containers", "10,0"],
            &["--x", "y"],
            &["--json"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
