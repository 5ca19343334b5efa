//! Prints what came of the cases: a row a case, a column a runtime.

use std::io::{self, Write};

use conformance::suite::{Case, Level, Outcome, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What came of the cases with one runtime.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Column {
    /// Name and version.
    pub(crate) runtime: String,
    /// The version of the specification by which it is judged.
    pub(crate) specification: String,
    /// In the order of the cases.
    pub(crate) verdicts: Vec<Verdict>,
}

impl Column {
    fn of(&self, case: &Case) -> Option<&Verdict> {
        let name = case.name();
        self.verdicts.iter().find(|verdict| verdict.case == name)
    }

    fn word(&self, case: &Case) -> &'static str {
        self.of(case).map_or("", |verdict| verdict.outcome.word())
    }

    fn count(&self, level: Level, word: &str) -> usize {
        let counted = |verdict: &&Verdict| verdict.level == level && verdict.outcome.word() == word;
        self.verdicts.iter().filter(counted).count()
    }

    fn summary(&self) -> String {
        let of = |level| {
            ["pass", "FAIL", "skip", "n/a"]
                .map(|word| format!("{} {word}", self.count(level, word)))
        };
        format!(
            "{} (specification {}): MUST {}; SHOULD {}",
            self.runtime,
            self.specification,
            of(Level::Must).join(", "),
            of(Level::Should).join(", ")
        )
    }
}

fn level(case: &Case) -> &'static str {
    match case.level {
        Level::Must => "MUST",
        Level::Should => "SHOULD",
    }
}

pub(crate) fn list(output: &mut impl Write, cases: &[&Case], as_json: bool) -> io::Result<()> {
    if as_json {
        let row = |case: &&Case| json!({"case": case.name(), "clause": case.clause, "level": level(case), "since": case.since, "text": case.text});
        let rows: Vec<_> = cases.iter().map(row).collect();
        return writeln!(output, "{:#}", serde_json::Value::from(rows));
    }
    for case in cases {
        writeln!(output, "{} {} {}", case.name(), level(case), case.clause)?;
        writeln!(output, "    {}", case.text)?;
    }
    Ok(())
}

pub(crate) fn json(output: &mut impl Write, columns: &[Column]) -> io::Result<()> {
    writeln!(output, "{}", serde_json::to_string_pretty(columns)?)
}

/// A line a case with the outcomes, and below it what was seen where it failed.
pub(crate) fn text(output: &mut impl Write, cases: &[&Case], columns: &[Column]) -> io::Result<()> {
    for case in cases {
        for column in columns {
            write!(output, "{:5}", column.word(case))?;
        }
        writeln!(output, "{:6} {}", level(case), case.name())?;
        for verdict in columns.iter().filter_map(|column| column.of(case)) {
            explain(output, case, verdict)?;
        }
    }
    writeln!(output)?;
    for column in columns {
        writeln!(output, "{}", column.summary())?;
    }
    Ok(())
}

fn explain(output: &mut impl Write, case: &Case, verdict: &Verdict) -> io::Result<()> {
    if let Outcome::Fail(why) = &verdict.outcome {
        writeln!(output, "     {}: {}", case.clause, case.text)?;
        for line in why.lines() {
            writeln!(output, "        {line}")?;
        }
    } else if let Outcome::Skip(why) = &verdict.outcome {
        writeln!(output, "     {why}")?;
    }
    for left in &verdict.leftovers {
        writeln!(output, "     left behind: {left}")?;
    }
    Ok(())
}

pub(crate) fn markdown(
    output: &mut impl Write,
    cases: &[&Case],
    columns: &[Column],
) -> io::Result<()> {
    let runtimes: Vec<_> = columns
        .iter()
        .map(|column| column.runtime.as_str())
        .collect();
    writeln!(
        output,
        "| Clause | Level | Case | {} |",
        runtimes.join(" | ")
    )?;
    writeln!(output, "|---|---|---|{}", "---|".repeat(columns.len()))?;
    for case in cases {
        let words: Vec<_> = columns.iter().map(|column| column.word(case)).collect();
        let (name, level, words) = (case.name(), level(case), words.join(" | "));
        writeln!(output, "| {} | {level} | `{name}` | {words} |", case.clause)?;
    }
    writeln!(output)?;
    for column in columns {
        writeln!(output, "{}  ", column.summary())?;
    }
    Ok(())
}
