//! `docs/specification.md` names the test of every clause: it must not rot.

#![allow(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use conformance::cases;

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/specification.md");
    fs::read_to_string(path).unwrap()
}

/// What is between backquotes, of the lines of tables.
fn quoted(document: &str) -> Vec<&str> {
    let rows = document.lines().filter(|line| line.starts_with('|'));
    rows.flat_map(|row| row.split('`').skip(1).step_by(2))
        .collect()
}

fn names() -> BTreeSet<String> {
    cases::all().iter().map(|case| case.name()).collect()
}

#[test]
fn the_table_of_the_cases_is_what_the_program_prints() {
    assert!(
        document().contains(&cases::table()),
        "put what `cargo run -p conformance -- --list --format markdown` prints into docs/specification.md"
    );
}

#[test]
fn no_two_cases_have_one_name() {
    assert_eq!(names().len(), cases::all().len());
}

#[test]
fn every_test_that_the_tables_name_exists() {
    let (document, names) = (document(), names());
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for name in quoted(&document)
        .into_iter()
        .filter(|text| text.contains("::"))
    {
        let exists = match name.split_once(".rs::") {
            Some((file, test)) => fs::read_to_string(directory.join(format!("{file}.rs")))
                .is_ok_and(|source| source.contains(&format!("fn {test}("))),
            None => match name.strip_suffix('*') {
                Some(start) => names.iter().any(|name| name.starts_with(start)),
                None => names.contains(name),
            },
        };
        assert!(exists, "there is no test {name}");
    }
}

#[test]
fn every_row_of_a_field_names_a_test_or_says_why_there_is_none() {
    let document = document();
    let fields: Vec<_> = document
        .lines()
        .filter(|line| line.starts_with("| `/"))
        .collect();
    assert!(fields.len() > 80, "{}", fields.len());
    for row in fields {
        let shown = row.split('|').nth(2).unwrap();
        assert!(shown.contains("::") || shown.contains("none: "), "{row}");
    }
}
