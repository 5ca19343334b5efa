//! What the bench finds out about bareboat.

use std::collections::BTreeMap;
use std::process::Command;

use conformance::runtime::runtime;
use serde_json::Value;

/// The least values of several rounds, by operation and regime.
pub(crate) fn least(scenario: &str) -> BTreeMap<(String, String), u64> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("results.json");
    let mut bench = Command::new(env!("CARGO_BIN_EXE_benches"));
    bench.args(["all", "--runs", "3", "--only", scenario, "--bareboat"]);
    bench.arg(&runtime().path).arg("--json").arg(&file);
    for peer in ["crun", "runc", "youki"] {
        bench.args(["--without", peer]);
    }
    let output = bench.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let whole: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let results = whole["results"].as_array().unwrap().iter();
    let own = results.filter(|result| result["subject"] == "bareboat");
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    own.map(|result| {
        let key = (word(&result["operation"]), word(&result["regime"]));
        (key, result["min"].as_f64().unwrap() as u64)
    })
    .collect()
}
