//! README's tables.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::error::{Context, Error, Result};
use crate::heap;
use crate::report::{self, Entry};

/// What stands between these lines of a file is made by this program.
const BEGIN: &str = "<!-- made by `benches table` -->\n";
const END: &str = "<!-- end of what is made -->\n";

const OWN: &str = "bareboat";

/// Rewrites the marked part of a file.
pub(crate) fn rewrite(file: &Path, readme: &Path) -> Result<()> {
    let table = table(&report::read(file)?);
    let text = fs::read_to_string(readme).context(readme.display())?;
    let text = replace(&text, &table).ok_or_else(|| {
        let message = "no lines between which the tables belong";
        Error::new(format!("{}: {message}", readme.display()))
    })?;
    fs::write(readme, text).context(readme.display())
}

fn replace(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

/// Times with their ratios, and what is not a time, of a result of the suite.
pub(crate) fn table(whole: &Value) -> String {
    let entries = report::entries(whole);
    let mut text = circumstances(whole, &entries);
    let others = others(&entries);
    let mut times = String::new();
    let mut figures = String::new();
    for own in entries.iter().filter(|entry| entry.subject == OWN) {
        let name = name(own);
        let peers = others.iter().map(|subject| median(&entries, own, subject));
        // Nothing is made by a command that starts nothing.
        if own.median == 0.0
            && peers
                .clone()
                .all(|peer| peer.is_none_or(|peer| peer == 0.0))
        {
            continue;
        }
        if own.unit == "ms" {
            let ratios = peers.map(|peer| peer.map(|peer| format!("{:.2}", own.median / peer)));
            let _ = writeln!(times, "| {name} | {:.2} |{}", own.median, cells(ratios));
        } else {
            let (value, unit) = (number(own.median), &own.unit);
            let peers = peers.map(|peer| peer.map(number));
            let _ = writeln!(figures, "| {name}, {unit} | {value} |{}", cells(peers));
        }
    }
    let notes = notes(&entries);
    for (rows, first, prefix) in [(times, "bareboat, ms", "to "), (figures, OWN, "")] {
        if !rows.is_empty() {
            let names = others.iter().map(|name| Some(format!("{prefix}{name}")));
            let rule = "---|".repeat(others.len() + 2);
            let head = cells(names);
            let _ = write!(text, "\n| | {first} |{head}\n|{rule}\n{rows}");
        }
    }
    if !notes.is_empty() {
        text += "\n";
        text += &notes;
    }
    text
}

/// What is neither bareboat's alone nor a comparison with others.
fn notes(entries: &[Entry]) -> String {
    let find = |operation: &str, regime: &str, subject: &str| {
        let mut entries = entries.iter().filter(|entry| entry.subject == subject);
        let entry = entries.find(|entry| entry.operation == operation && entry.regime == regime);
        entry.map(|entry| entry.median)
    };
    let mut text = String::new();
    for regime in ["hot", "spaced"] {
        let (spawn, state) = (find("spawn", regime, "spawn"), find("state", regime, OWN));
        if let (Some(spawn), Some(state)) = (spawn, state) {
            let more = match state - spawn {
                more if more > 0.0 => format!("{more:.2} ms more than"),
                _ => "no longer than".to_owned(),
            };
            let _ = writeln!(
                text,
                "- `state`, {regime}, takes {more} the spawn of a static program that does nothing ({spawn:.2} ms)."
            );
        }
    }
    let create = |subject| find(heap::OPERATION, "hot", subject);
    if let (Some(small), Some(large)) = (create(heap::SMALL), create(heap::LARGE)) {
        let _ = writeln!(
            text,
            "- `create` by the library takes {large:.2} ms in a process with a heap of 1 GiB and 64 threads: {:.2} of what it takes in a \
             small one.",
            large / small
        );
    }
    text
}

fn name(entry: &Entry) -> String {
    format!("{}, {}", entry.operation, entry.regime)
}

/// Who was measured beside bareboat, in the order of the file.
fn others(entries: &[Entry]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for entry in entries {
        let is_comparable = |own: &&Entry| own.subject == OWN && is_same(own, entry);
        let is_other = entry.subject != OWN && entries.iter().any(|own| is_comparable(&own));
        if is_other && !names.contains(&entry.subject) {
            names.push(entry.subject.clone());
        }
    }
    names
}

fn is_same(one: &Entry, other: &Entry) -> bool {
    (&one.operation, &one.regime, &one.unit) == (&other.operation, &other.regime, &other.unit)
}

fn median(entries: &[Entry], own: &Entry, subject: &str) -> Option<f64> {
    let mut entries = entries.iter();
    let entry = entries.find(|entry| entry.subject == subject && is_same(own, entry));
    entry.map(|entry| entry.median)
}

fn cells(values: impl Iterator<Item = Option<String>>) -> String {
    let cell = |value: Option<String>| match value {
        Some(value) => format!(" {value} |"),
        None => " |".to_owned(),
    };
    values.map(cell).collect()
}

/// Three digits, and no more of them than there are.
fn number(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => trimmed(format!("{value:.1}")),
        _ => trimmed(format!("{value:.2}")),
    }
}

fn trimmed(number: String) -> String {
    let digits = number.trim_end_matches('0');
    digits.trim_end_matches('.').to_owned()
}

/// On what the figures were taken.
fn circumstances(whole: &Value, entries: &[Entry]) -> String {
    let word = |name: &str| whole[name].as_str().unwrap_or("?");
    let runs = entries.iter().filter(|entry| entry.unit == "ms");
    let runs = runs.map(|entry| entry.samples.len()).max().unwrap_or(0);
    let subjects = whole["subjects"].as_array().into_iter().flatten();
    let versions = subjects.filter_map(|subject| subject["version"].as_str());
    let versions: Vec<&str> = versions.filter(|text| text.contains(' ')).collect();
    format!(
        "Medians of {runs} interleaved runs on Linux {}, {} processors, cgroup {}: {}. Hot is back to back, spaced one every \
         {} ms; ratios below 1 are faster than the other.\n",
        word("kernel"),
        whole["processors"],
        word("cgroups"),
        versions.join(", "),
        whole["spacedMs"]
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn whole() -> Value {
        let result = |operation: &str, unit: &str, subject: &str, median: f64| {
            json!({
                "operation": operation, "regime": "hot", "unit": unit, "subject": subject, "median": median,
                "samples": [median, median],
            })
        };
        json!({
            "kernel": "6.1", "processors": 2, "cgroups": "v2", "spacedMs": 100,
            "subjects": [{"name": "crun", "version": "crun version 1"}, {"name": "floor", "version": "0.1.0"}],
            "results": [
                result("spawn", "ms", "spawn", 0.5),
                result("state", "ms", "bareboat", 0.75),
                result("create by the library", "ms", "small", 4.0),
                result("create by the library", "ms", "large", 5.0),
                result("kill", "calls", "bareboat", 0.0),
                result("run", "ms", "floor", 4.0),
                result("run", "ms", "bareboat", 5.0),
                result("run", "ms", "crun", 10.0),
                result("exec", "ms", "bareboat", 3.0),
                result("PSS", "KiB", "bareboat", 84.0),
                result("PSS", "KiB", "crun", 768.5),
            ],
        })
    }

    #[test]
    fn times_are_set_against_others_and_figures_beside_them() {
        let expected = "\
Medians of 2 interleaved runs on Linux 6.1, 2 processors, cgroup v2: crun version 1. Hot is back to back, spaced one every 100 ms; ratios below 1 are \
faster than the other.

| | bareboat, ms | to floor | to crun |
|---|---|---|---|
| state, hot | 0.75 | | |
| run, hot | 5.00 | 1.25 | 0.50 |
| exec, hot | 3.00 | | |

| | bareboat | floor | crun |
|---|---|---|---|
| PSS, hot, KiB | 84 | | 768 |

- `state`, hot, takes 0.25 ms more than the spawn of a static program that does nothing (0.50 ms).
- `create` by the library takes 5.00 ms in a process with a heap of 1 GiB and 64 threads: 1.25 of what it takes in a small one.
";
        assert_eq!(table(&whole()), expected);
    }

    #[test]
    fn only_the_marked_part_of_a_file_is_replaced() {
        let text = format!("a\n{BEGIN}old\n{END}b\n");
        assert_eq!(
            replace(&text, "new\n").unwrap(),
            format!("a\n{BEGIN}\nnew\n\n{END}b\n")
        );
        assert_eq!(replace("a\n", "new\n"), None);
    }

    #[test]
    fn numbers_have_three_digits_at_most_but_whole_ones_all() {
        assert_eq!(
            [1234.0, 84.0, 12.34, 0.456].map(number),
            ["1234", "84", "12.3", "0.46"]
        );
    }
}
