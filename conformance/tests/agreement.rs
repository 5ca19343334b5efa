//! Resources: the same configurations given to bareboat and to runc. The program `agreement` does it at length.

use std::ffi::OsString;
use std::path::Path;

use conformance::agreement::differences::TABLE;
use conformance::agreement::{Side, compare, generate};
use conformance::runtime::{Runtime, runtime};

/// Enough to see that both the program and the runtime work; half a minute in an emulated machine.
const CASES: usize = 30;

const PAGE: &str = include_str!("../../docs/cgroups.md");

#[test]
fn bareboat_makes_of_resources_what_runc_makes_of_them_but_for_listed_differences() {
    if !runtime().is_bareboat() || !Path::new("/usr/sbin/runc").exists() {
        eprintln!("skipped: this compares bareboat with Debian's runc");
        return;
    }
    let side = |program: OsString, name| Side::new(Runtime::named(program), name, false);
    let ours = side(runtime().path.clone().into(), "ours");
    let theirs = side("/usr/sbin/runc".into(), "theirs");
    let mut created = 0;
    for configuration in generate(3, CASES) {
        let outcome = compare(&ours, &theirs, configuration);
        let failures: Vec<_> = outcome.failures.iter().map(ToString::to_string).collect();
        assert!(
            failures.is_empty(),
            "{}: {failures:#?}",
            outcome.configuration.resources
        );
        created += usize::from(!outcome.refused);
    }
    assert!(created > CASES / 3, "most of the configurations are valid");
}

#[test]
fn the_listed_differences_are_those_of_the_page_on_cgroups() {
    let rows: Vec<_> = TABLE
        .iter()
        .map(|intended| format!("| {} | {} |", intended.what, intended.reason))
        .collect();
    let begin = "| What differs | Why |\n|---|---|\n";
    let (_, rest) = PAGE.split_once(begin).expect("the page has the table");
    let listed: Vec<_> = rest
        .lines()
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(listed, rows);
}
