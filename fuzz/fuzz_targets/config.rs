//! A config.json becomes a plan that can be printed, or an error that names a JSON pointer.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use runtime_core::ErrorKind;
use runtime_core::oci_spec::runtime::Spec;
use runtime_core::plan::{HostFacts, compile};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Ok(spec) = serde_json::from_slice::<Spec>(bytes) else {
        return Corpus::Reject;
    };
    match compile(&spec, &HostFacts::typical()) {
        Ok(plan) => {
            let json = serde_json::to_value(&plan).expect("a plan can be written as JSON");
            let steps = json["steps"].as_array().map(Vec::len);
            assert_eq!(steps, Some(plan.steps().count()));
            assert!(!plan.to_string().is_empty());
        }
        Err(error) => {
            let kind = error.kind();
            assert!(
                matches!(kind, ErrorKind::InvalidConfig | ErrorKind::Unsupported),
                "{error:?}"
            );
            assert!(error.origin().is_some(), "{error:?}");
        }
    }
    Corpus::Keep
});
