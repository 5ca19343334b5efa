//! From a configuration to a plan, and from a plan's bytes to what the init does.

use oci_spec::runtime::Spec;
use runtime_init::{Header, Report, Step, decode};

use super::hosts::hosts;
use crate::cgroup::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::namespaces::{NEWNS, NEWPID, NEWUSER};
use crate::plan::{Plan, compile_with, tenant};
use crate::{bundle, parse_process};

/// A `config.json` becomes a plan on hosts of all kinds, or an error that names a JSON pointer.
pub fn config(bytes: &[u8]) {
    let spec = match bundle::parse(bytes) {
        Ok(spec) => spec,
        Err(error) => return assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error:?}"),
    };
    // Its maps are in another order.
    let twin = bundle::parse(bytes).expect("what was parsed can be parsed");
    for (facts, options) in hosts() {
        let plan = compile_with(&spec, &facts, &options);
        let again = compile_with(&twin, &facts, &options);
        match (&plan, &again) {
            (Ok(one), Ok(other)) => assert_eq!(one.to_string(), other.to_string()),
            (Err(_), Err(_)) => {}
            differing => panic!("the same configuration gives {differing:?}"),
        }
        assert_sound(plan);
    }
}

/// The process of an `exec`, as `--process` has it in a file, becomes a plan in the same way.
pub fn process(bytes: &[u8]) {
    let process = match parse_process(bytes) {
        Ok(process) => process,
        Err(error) => return assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error:?}"),
    };
    let seccomp = r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#;
    let spec = format!(r#"{{"ociVersion": "1.3.0", "linux": {{"seccomp": {seccomp}}}}}"#);
    let spec: Spec = serde_json::from_str(&spec).expect("it is a configuration");
    for (facts, options) in hosts() {
        for (entry, namespaces) in [
            (Entry::Itself { hierarchies: 3 }, NEWNS | NEWPID),
            (Entry::Moved, NEWUSER | NEWNS | NEWPID),
            (Entry::Itself { hierarchies: 0 }, 0),
        ] {
            assert_sound(tenant(&spec, &process, &facts, &options, entry, namespaces));
        }
    }
}

/// A plan can be printed, and the init reads it whole; an error says what in the configuration asked for it.
fn assert_sound(compiled: Result<Plan>) {
    let plan = match compiled {
        Ok(plan) => plan,
        Err(error) => return assert_names_its_origin(&error),
    };
    let json = serde_json::to_value(&plan).expect("a plan can be written as JSON");
    let listed = json["steps"].as_array().map(Vec::len);
    assert_eq!(listed, Some(plan.steps().count()));
    assert!(!plan.to_string().is_empty());
    let encoded = plan.encode(false);
    let (header, mut rest) = decode::<Header>(&encoded).expect("a plan begins with its header");
    let mut last = None;
    for _ in 0..header.steps {
        let (step, after) = decode::<Step<'_>>(rest).expect("a step can be decoded");
        assert!(
            slots_of(&step) <= plan.slots.len(),
            "{step:?} needs more than {} slots",
            plan.slots.len()
        );
        (last, rest) = (Some(step), after);
    }
    assert!(rest.is_empty(), "{} bytes follow the plan", rest.len());
    assert_eq!(listed, usize::try_from(header.steps).ok());
    let ends = matches!(last, Some(Step::Execute | Step::AwaitStart { .. }));
    assert!(ends, "{last:?} is the last step");
}

fn assert_names_its_origin(error: &Error) {
    let kind = error.kind();
    assert!(
        matches!(kind, ErrorKind::InvalidConfig | ErrorKind::Unsupported),
        "{error:?}"
    );
    assert!(
        error.origin().is_some_and(|origin| origin.starts_with('/')),
        "{error:?}"
    );
}

/// How many slots there have to be for a step.
fn slots_of(step: &Step<'_>) -> usize {
    let last = match step {
        Step::OpenTree(tree) => tree.tree,
        Step::JoinNamespaces { slot, .. } | Step::JoinNetwork { slot } => *slot,
        Step::AttachRoot { tree, .. } | Step::MountTree { tree, .. } => *tree,
        Step::Mask { null, .. } => *null,
        Step::AwaitStart { listener } => *listener,
        _ => return 0,
    };
    usize::from(last.0) + 1
}

/// The init's decoder refuses bytes, or gives steps that mean the same when they are encoded again. It goes through them
/// as the init does, to the end or to the first that is none.
pub fn plan_codec(bytes: &[u8]) {
    if let Some(report) = Report::decode(bytes) {
        assert_eq!(report.encode(), bytes);
    }
    let Ok((header, mut rest)) = decode::<Header>(bytes) else {
        return;
    };
    for _ in 0..header.steps {
        let Ok((step, after)) = decode::<Step<'_>>(rest) else {
            return;
        };
        assert!(after.len() < rest.len(), "{step:?} takes no bytes");
        // Both go through every list and text of the step.
        assert!(!format!("{step:?}").is_empty());
        serde_json::to_value(step).expect("a step can be written as JSON");
        let again = postcard::to_extend(&step, Vec::new()).expect("a step can be encoded");
        assert_eq!(decode(&again), Ok((step, [].as_slice())));
        rest = after;
    }
}
