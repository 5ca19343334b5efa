#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| runtime_core::fuzzing::plan_codec(bytes));
