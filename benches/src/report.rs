//! The results as JSON, and the comparison of two such files.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::error::{Context, Error, Result};
use crate::runtime::Subject;
use crate::samples::Key;
use crate::statistics::Summary;

/// Raised when the meaning of the file changes.
const FORMAT: u64 = 2;

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

    pub(crate) fn add(&mut self, key: &Key, subject: &str, values: &[f64]) {
        let Some(summary) = Summary::of(values) else {
            return;
        };
        self.results.push(json!({
            "operation": key.operation,
            "regime": key.regime,
            "unit": key.unit,
            "subject": subject,
            "median": summary.median,
            "min": summary.min,
            "p90": summary.p90,
            "samples": values,
        }));
    }

    pub(crate) fn to_json(&self) -> Value {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        json!({
            "format": FORMAT,
            // The rest of it names a build of it.
            "kernel": kernel.trim().split('-').next(),
            "processors": std::thread::available_parallelism().map_or(0, usize::from),
            "cgroups": self.cgroups,
            "spacedMs": self.spaced_ms,
            "subjects": self.subjects,
            "results": self.results,
        })
    }

    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        fs::write(file, format!("{:#}\n", self.to_json())).context(file.display())
    }
}

/// What a file says of one operation, regime and subject.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) operation: String,
    pub(crate) regime: String,
    pub(crate) unit: String,
    pub(crate) subject: String,
    pub(crate) median: f64,
    pub(crate) samples: Vec<f64>,
}

impl Entry {
    fn of(result: &Value) -> Option<Self> {
        let word = |name: &str| result[name].as_str().map(str::to_owned);
        let samples = result["samples"].as_array()?.iter();
        Some(Self {
            operation: word("operation")?,
            regime: word("regime")?,
            unit: word("unit")?,
            subject: word("subject")?,
            median: result["median"].as_f64()?,
            samples: samples.filter_map(Value::as_f64).collect(),
        })
    }

    fn is_like(&self, other: &Self) -> bool {
        let name = |entry: &Self| {
            let Self {
                operation,
                regime,
                unit,
                subject,
                ..
            } = entry.clone();
            [operation, regime, unit, subject]
        };
        name(self) == name(other)
    }
}

/// Sets the medians of two files side by side.
pub(crate) fn compare(old: &Path, new: &Path) -> Result<String> {
    let (old, new) = (entries(&read(old)?), entries(&read(new)?));
    let mut text = format!("{:54}{:>10}{:>10}{:>9}\n", "", "old", "new", "new/old");
    for new in &new {
        let Some(old) = old.iter().find(|old| old.is_like(new)) else {
            continue;
        };
        let Entry {
            operation,
            regime,
            subject,
            unit,
            ..
        } = new;
        let name = format!("{operation}, {regime}, {subject}, {unit}");
        let (old, new) = (old.median, new.median);
        text += &format!("{name:54}{old:10.2}{new:10.2}{:9.2}\n", new / old);
    }
    Ok(text)
}

/// A file of this format.
pub(crate) fn read(file: &Path) -> Result<Value> {
    let text = fs::read_to_string(file).context(file.display())?;
    let whole: Value = serde_json::from_str(&text).context(file.display())?;
    if whole["format"] != FORMAT {
        let message = format!(
            "{}: not a result of this bench in format {FORMAT}",
            file.display()
        );
        return Err(Error::new(message));
    }
    Ok(whole)
}

pub(crate) fn entries(whole: &Value) -> Vec<Entry> {
    let results = whole["results"].as_array().into_iter().flatten();
    results.filter_map(Entry::of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_can_be_compared() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, time: f64| {
            let mut report = Report::new(&[], "v1", 100);
            report.add(&Key::new("run", "hot", "ms"), "bareboat", &[time]);
            let file = directory.path().join(name);
            report.write(&file).unwrap();
            file
        };
        let text = compare(&write("old", 8.0), &write("new", 6.0)).unwrap();
        let words: Vec<_> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(
            words,
            ["run,", "hot,", "bareboat,", "ms", "8.00", "6.00", "0.75"]
        );
    }
}
