//! The init decodes any bytes without a panic, and what it accepts means the same when it is encoded again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use runtime_init::{Header, Report, Step, decode};

fuzz_target!(|bytes: &[u8]| {
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
        assert!(!format!("{step:?}").is_empty());
        let again = postcard::to_extend(&step, Vec::new()).expect("a step can be encoded");
        assert_eq!(decode(&again), Ok((step, [].as_slice())));
        rest = after;
    }
});
