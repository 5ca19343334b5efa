//! `checkpoint` and `restore`, which bareboat does not have yet and says so.

use conformance::Container;
use conformance::process::run;
use conformance::runtime::runtime;

#[test]
fn both_have_help() {
    let container = Container::new(|_| {});
    for command in ["checkpoint", "restore"] {
        for option in ["--help", "-h"] {
            let help = run(&mut container.subcommand([command, option])).ok();
            assert!(help.stdout.contains("--image-path"), "{help:?}");
        }
    }
}

#[test]
fn a_checkpoint_is_refused_and_the_container_goes_on() {
    if !runtime().is_bareboat() {
        eprintln!("skipped: this is about what bareboat does not have");
        return;
    }
    let container = Container::new(|config| {
        config.waits();
    });
    let _ = container.run_detached();
    let images = container.path().join("images");
    let refused = |words: &[&str]| {
        let mut command = container.subcommand(words);
        command.arg("--image-path").arg(&images).arg(&container.id);
        let finished = run(&mut command).refused(&["has no checkpoints"]);
        assert_eq!(finished.code(), 1);
    };
    refused(&["checkpoint", "--leave-running"]);
    refused(&["checkpoint"]);
    refused(&["restore", "--detach"]);
    assert_eq!(container.status(), "running");
    assert!(!images.exists());
}

#[test]
fn a_checkpoint_of_no_container_is_refused_for_that() {
    let container = Container::new(|_| {});
    let _ = container
        .call(&["checkpoint"])
        .refused(&["container does not exist"]);
}
