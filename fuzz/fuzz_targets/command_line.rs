#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| runtime_cli::fuzzing::command_line(bytes));
