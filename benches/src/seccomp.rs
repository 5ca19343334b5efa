//! Docker's seccomp profile, compiled by the library in this process.

use std::time::Instant;

use runtime_core::oci_spec::runtime::LinuxSeccomp;
use runtime_core::seccomp::{Filter, NativeArch, SeccompFacts, compile};

use crate::bundle;
use crate::error::{Context, Result};
use crate::samples::{Collected, Key, Samples};

/// Measurements are the means of so many compilations.
const BATCH: u32 = 20;

/// From the text of the JSON to the program.
fn compile_text(text: &str) -> Result<Filter> {
    let profile: LinuxSeccomp = serde_json::from_str(text).context("Docker's profile")?;
    compile_profile(&profile)
}

fn compile_profile(profile: &LinuxSeccomp) -> Result<Filter> {
    let arch = NativeArch::current();
    compile(profile, &SeccompFacts { arch }).context("Docker's profile")
}

/// The program, as the floor's command line wants it: sixteen digits an instruction.
pub(crate) fn in_hexadecimal() -> Result<String> {
    let filter = compile_text(&bundle::docker_profile()?.to_string())?;
    let bytes = filter.to_bytes();
    let instructions = bytes
        .chunks_exact(8)
        .map(|chunk| chunk.try_into().map_or(0, u64::from_ne_bytes));
    Ok(instructions
        .map(|instruction| format!("{instruction:016x}"))
        .collect())
}

/// Times both.
pub(crate) fn measure(runs: usize) -> Result<Vec<Samples>> {
    let text = bundle::docker_profile()?.to_string();
    let profile: LinuxSeccomp = serde_json::from_str(&text).context("Docker's profile")?;
    let mut collected = Collected::default();
    let mut record = |operation, compile: &dyn Fn() -> Result<Filter>| -> Result<()> {
        let begin = Instant::now();
        for _ in 0..BATCH {
            std::hint::black_box(compile()?);
        }
        let time = begin.elapsed().as_secs_f64() * 1e6 / f64::from(BATCH);
        collected.record(&Key::new(operation, "warm", "µs"), "bareboat", time);
        Ok(())
    };
    for _ in 0..runs {
        record("seccomp profile to BPF", &|| compile_profile(&profile))?;
        record("seccomp JSON to BPF", &|| compile_text(&text))?;
    }
    Ok(collected.sorted(&[]))
}
