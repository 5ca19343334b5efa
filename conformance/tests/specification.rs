//! bareboat satisfies the specification: every clause of the registry but those that are listed here, with the reason.

use std::collections::BTreeMap;

use conformance::cases;
use conformance::runtime::runtime;
use conformance::suite::{self, Outcome};

/// Where bareboat does as runc does and not as the specification says, because engines rely on it.
const DEPARTURES: [(&str, &str); 1] = [(
    "operations::delete_of_a_created_container_is_an_error_and_has_no_effect",
    "runc's delete ends a container that is created, and engines call it for one that they never started",
)];

#[test]
fn every_clause_that_can_be_seen_from_outside_holds() {
    let departures: BTreeMap<_, _> = DEPARTURES.into_iter().collect();
    let verdicts = suite::run(&cases::all(), runtime().specification, 2);
    let mut wrong = Vec::new();
    for verdict in &verdicts {
        let departs = departures.contains_key(verdict.case.as_str());
        let refused = verdict.outcome.why().starts_with(cases::REFUSED);
        match &verdict.outcome {
            Outcome::Fail(why) if !departs => wrong.push(format!("{}: {why}", verdict.case)),
            Outcome::Pass if departs => {
                wrong.push(format!("{} passes: it is no departure", verdict.case))
            }
            Outcome::Skip(why) if refused => wrong.push(format!("{}: {why}", verdict.case)),
            _ => {}
        }
        let left = verdict.leftovers.iter();
        wrong.extend(left.map(|left| format!("{}: left behind: {left}", verdict.case)));
    }
    assert!(
        !runtime().is_bareboat() || wrong.is_empty(),
        "{}",
        wrong.join("\n")
    );
    eprintln!("{} clauses; departures: {DEPARTURES:#?}", verdicts.len());
}
