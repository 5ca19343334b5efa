//! The results as JSON, and the comparison of two such files.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::{Context, Error, Result};
use crate::runtime::Subject;
use crate::statistics::{Summary, milliseconds};

/// Raised when the meaning of the file changes.
const FORMAT: u64 = 1;

/// What is written with `--json`.
#[derive(Debug)]
pub(crate) struct Report {
    subjects: Value,
    cgroups: &'static str,
    spaced_ms: u64,
    results: Vec<Value>,
}

impl Report {
    pub(crate) fn new(subjects: &[Subject], cgroups: &'static str, spaced_ms: u64) -> Self {
        let subjects = subjects
            .iter()
            .map(|subject| json!({"name": subject.name, "path": subject.path, "version": subject.version}));
        Self {
            subjects: subjects.collect(),
            cgroups,
            spaced_ms,
            results: Vec::new(),
        }
    }

    pub(crate) fn add(
        &mut self,
        operation: &str,
        regime: &str,
        subject: &str,
        durations: &[Duration],
    ) {
        let Some(summary) = Summary::of(durations) else {
            return;
        };
        self.results.push(json!({
            "operation": operation,
            "regime": regime,
            "subject": subject,
            "median": summary.median,
            "min": summary.min,
            "p90": summary.p90,
            "samples": milliseconds(durations),
        }));
    }

    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let whole = json!({
            "format": FORMAT,
            "unit": "ms",
            "kernel": kernel.trim(),
            "cgroups": self.cgroups,
            "spacedMs": self.spaced_ms,
            "subjects": self.subjects,
            "results": self.results,
        });
        fs::write(file, format!("{whole:#}\n")).context(file.display())
    }
}

/// Sets the medians of two files side by side.
pub(crate) fn compare(old: &Path, new: &Path) -> Result<String> {
    let (old, new) = (read(old)?, read(new)?);
    let mut text = format!("{:42}{:>9}{:>9}{:>9}\n", "", "old", "new", "new/old");
    for (key, new) in &new {
        let Some((_, old)) = old.iter().find(|(other, _)| other == key) else {
            continue;
        };
        text += &format!("{key:42}{old:9.2}{new:9.2}{:9.2}\n", new / old);
    }
    Ok(text)
}

/// The medians of a file, each with what it is the median of.
fn read(file: &Path) -> Result<Vec<(String, f64)>> {
    let text = fs::read_to_string(file).context(file.display())?;
    let whole: Value = serde_json::from_str(&text).context(file.display())?;
    if whole["format"] != FORMAT {
        let message = format!(
            "{}: not a result of this bench in format {FORMAT}",
            file.display()
        );
        return Err(Error::new(message));
    }
    let results = whole["results"].as_array().into_iter().flatten();
    let medians = results.filter_map(|result| {
        let word = |name: &str| result[name].as_str();
        let key = format!(
            "{}, {}, {}",
            word("operation")?,
            word("regime")?,
            word("subject")?
        );
        Some((key, result["median"].as_f64()?))
    });
    Ok(medians.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_can_be_compared() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, time: u64| {
            let mut report = Report::new(&[], "v1", 100);
            report.add("run", "hot", "bareboat", &[Duration::from_millis(time)]);
            let file = directory.path().join(name);
            report.write(&file).unwrap();
            file
        };
        let text = compare(&write("old", 8), &write("new", 6)).unwrap();
        let words: Vec<_> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(words, ["run,", "hot,", "bareboat", "8.00", "6.00", "0.75"]);
    }
}
