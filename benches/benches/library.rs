//! What the library computes before it does anything: plans, filters, and their encoding.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use runtime_core::oci_spec::runtime::{LinuxSeccomp, Spec};
use runtime_core::plan::{self, HostFacts, Plan};
use runtime_core::seccomp::{NativeArch, SeccompFacts};
use runtime_init::Step;
use serde_json::Value;

const DOCKER: &str = include_str!("../fixtures/docker.json");

fn configurations() -> [(&'static str, String); 2] {
    let default = serde_json::to_string(&runtime_core::default_spec()).unwrap();
    [("runc spec", default), ("Docker", DOCKER.to_owned())]
}

fn compile(criterion: &mut Criterion) {
    let facts = HostFacts::typical();
    for (name, text) in configurations() {
        criterion.bench_function(&format!("parse {name}"), |bencher| {
            bencher.iter(|| serde_json::from_str::<Spec>(black_box(&text)).unwrap());
        });
        let spec: Spec = serde_json::from_str(&text).unwrap();
        criterion.bench_function(&format!("compile {name}"), |bencher| {
            bencher.iter(|| plan::compile(black_box(&spec), &facts).unwrap());
        });
    }
}

fn seccomp(criterion: &mut Criterion) {
    let whole: Value = serde_json::from_str(DOCKER).unwrap();
    let text = whole["linux"]["seccomp"].to_string();
    let facts = SeccompFacts {
        arch: NativeArch::current(),
    };
    let compile = |profile: &LinuxSeccomp| {
        let filter = runtime_core::seccomp::compile(profile, &facts).unwrap();
        filter.to_bytes()
    };
    let parse = || serde_json::from_str::<LinuxSeccomp>(black_box(&text)).unwrap();
    let profile = parse();
    criterion.bench_function("seccomp profile to BPF", |bencher| {
        bencher.iter(|| compile(black_box(&profile)));
    });
    criterion.bench_function("seccomp JSON to BPF", |bencher| {
        bencher.iter(|| compile(&parse()));
    });
}

/// The steps, one after the other in one buffer, as the init gets them.
fn encode(steps: &[Step<'_>], buffer: &mut [u8]) -> usize {
    let mut length = 0;
    for step in steps {
        length += postcard::to_slice(step, &mut buffer[length..])
            .unwrap()
            .len();
    }
    length
}

fn codec(criterion: &mut Criterion) {
    let facts = HostFacts::typical();
    for (name, text) in configurations() {
        let spec: Spec = serde_json::from_str(&text).unwrap();
        let plan: Plan = plan::compile(&spec, &facts).unwrap();
        let steps: Vec<Step<'_>> = plan.steps().map(|(_, step)| step).collect();
        let mut buffer = vec![0; 64 * 1024];
        criterion.bench_function(&format!("encode {name}'s plan"), |bencher| {
            bencher.iter(|| encode(black_box(&steps), &mut buffer));
        });
        let length = encode(&steps, &mut buffer);
        criterion.bench_function(&format!("decode {name}'s plan"), |bencher| {
            bencher.iter(|| {
                let mut rest = black_box(&buffer[..length]);
                while !rest.is_empty() {
                    let (step, after): (Step<'_>, _) = runtime_init::decode(rest).unwrap();
                    black_box(&step);
                    rest = after;
                }
            });
        });
    }
}

criterion_group! {
    name = library;
    config = Criterion::default().sample_size(50).without_plots();
    targets = compile, seccomp, codec
}
criterion_main!(library);
