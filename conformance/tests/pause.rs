//! `pause` and `resume`, as runc has them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use conformance::process::{run, spawn, until};
use conformance::runtime::runtime;
use conformance::{Config, Container};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::json;

/// A container that counts, in a file that the case can read.
fn counting(change: impl FnOnce(&mut Config)) -> Container {
    let container = Container::with_path(|config, path| {
        fs::create_dir(path.join("data")).unwrap();
        config.bind(path.join("data"), "/data", &["bind", "rw"]);
        config.shell(
            "n=0; while [ $n -lt 6000 ]; do n=$((n+1)); echo $n > /data/new; mv /data/new /data/count; sleep 0.01; done",
        );
        change(config);
    });
    let _ = container.run_detached();
    goes_on(&container);
    container
}

fn count(container: &Container) -> String {
    fs::read_to_string(container.path().join("data/count")).unwrap_or_default()
}

fn goes_on(container: &Container) {
    let before = count(container);
    until("the container to go on", || {
        (count(container) != before).then_some(())
    });
}

fn stands_still(container: &Container) {
    let before = count(container);
    sleep(Duration::from_millis(300));
    assert_eq!(count(container), before);
}

fn pause(container: &Container) {
    let _ = container.call(&["pause"]).ok();
    assert_eq!(container.status(), "paused");
}

#[test]
fn a_paused_container_stands_still_until_it_is_resumed() {
    let container = counting(|_| {});
    pause(&container);
    stands_still(&container);
    let _ = container.call(&["resume"]).ok();
    assert_eq!(container.status(), "running");
    goes_on(&container);
}

#[test]
fn pausing_and_resuming_is_refused_in_any_other_state() {
    let container = counting(|_| {});
    let _ = container
        .call(&["resume"])
        .refused(&["container not paused"]);
    pause(&container);
    let _ = container
        .call(&["pause"])
        .refused(&["container not running"]);
    assert_eq!(container.status(), "paused");
    let _ = container.call(&["resume"]).ok();
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
    let _ = container
        .call(&["pause"])
        .refused(&["container not running"]);
    let _ = container
        .call(&["resume"])
        .refused(&["container not paused"]);
    for command in ["pause", "resume"] {
        let mut unknown = container.subcommand([command, "no-such-container"]);
        let _ = run(&mut unknown).refused(&["container does not exist"]);
    }
}

#[test]
fn a_container_that_waits_for_its_start_can_be_paused_and_starts_when_it_is_resumed() {
    let container = Container::new(|config| {
        config.waits();
    });
    let _ = container.create().ok();
    pause(&container);
    let _ = container.start().refused(&["paused"]);
    let _ = container.call(&["resume"]).ok();
    if runtime().is_bareboat() {
        assert_eq!(container.status(), "created");
    }
    let _ = container.start().ok();
    assert_eq!(container.status(), "running");
}

#[test]
fn whatever_the_first_process_does_when_it_is_paused_the_container_is_paused() {
    let programs = [
        "sleep 1000",
        "while :; do :; done",
        "while :; do true; done",
        "sleep 1000 & wait",
    ];
    for program in programs {
        let container = Container::new(|config| {
            config.shell(program);
        });
        let _ = container.run_detached();
        for signal in ["CONT", "STOP"] {
            let _ = container.kill(signal).ok();
            for _ in 0..5 {
                pause(&container);
                let _ = container.call(&["resume"]).ok();
                assert_eq!(container.status(), "running", "{program}, {signal}");
            }
        }
        let _ = container.kill("KILL").ok();
        container.wait_for("stopped");
    }
}

#[test]
fn a_process_joins_a_paused_container_only_when_that_is_wanted() {
    let container = counting(|_| {});
    pause(&container);
    let _ = container.exec(&[], &["true"]).refused(&["paused"]);
    let joined = spawn(&mut container.exec_command(&["--ignore-paused"], &["echo", "joined"]));
    sleep(Duration::from_millis(200));
    assert_eq!(joined.printed(), "");
    let _ = container.call(&["resume"]).ok();
    assert_eq!(joined.wait().ok().stdout, "joined\n");
}

#[test]
fn a_paused_container_can_be_killed_and_deleted() {
    let container = counting(|_| {});
    pause(&container);
    let _ = container.delete().refused(&["paused"]);
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
    let _ = container.delete().ok();
    container.assert_nothing_left();
    let container = counting(|_| {});
    pause(&container);
    let _ = container.delete_force().ok();
    container.assert_nothing_left();
}

#[test]
fn a_container_that_forks_all_the_time_is_paused_in_bounded_time() {
    let container = Container::new(|config| {
        config.shell(
            "n=0; while [ $n -lt 100000 ]; do n=$((n+1)); (true | true | true) & [ $((n % 20)) = 0 ] && wait; done",
        );
        config.set("/linux/resources/pids", json!({"limit": 100}));
    });
    let _ = container.run_detached();
    for _ in 0..5 {
        let begin = Instant::now();
        pause(&container);
        assert!(
            begin.elapsed() < Duration::from_secs(9),
            "{:?}",
            begin.elapsed()
        );
        let _ = container.call(&["resume"]).ok();
        assert_eq!(container.status(), "running");
    }
}

/// A file system whose server never answers: whoever looks into it waits in the kernel.
struct Silent {
    mount: PathBuf,
    server: Option<fs::File>,
}

impl Silent {
    /// None, and a word why, where there cannot be one.
    fn mount(at: PathBuf) -> Option<Silent> {
        let mounted = fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .and_then(|server| {
                let options = format!(
                    "fd={},rootmode=40000,user_id=0,group_id=0",
                    server.as_raw_fd()
                );
                mount(
                    Some("silent"),
                    &at,
                    Some("fuse"),
                    MsFlags::empty(),
                    Some(options.as_str()),
                )?;
                Ok(server)
            });
        match mounted {
            Ok(server) => Some(Silent {
                mount: at,
                server: Some(server),
            }),
            Err(error) => {
                eprintln!("skipped: no FUSE file system can be mounted: {error}");
                None
            }
        }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // Whoever waits gets an error now.
        self.server = None;
        umount2(&self.mount, MntFlags::MNT_DETACH).unwrap();
    }
}

/// Whether a `stat` of the container sleeps where no signal reaches it.
fn waits_for_a_lock(container: &Container) -> bool {
    let listed = container.call(&["ps", "--format", "json"]).ok().stdout;
    let pids: Vec<i32> = serde_json::from_str(&listed).unwrap();
    let line = |pid: i32| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    pids.into_iter().any(|pid| line(pid).contains("(stat) D "))
}

#[test]
fn a_process_that_cannot_be_frozen_is_named_and_all_go_on() {
    if !runtime().is_bareboat() {
        eprintln!("skipped: other runtimes do not say which process it is");
        return;
    }
    // Some kernels can freeze whoever waits for an answer, and none one who waits for the directory's lock.
    let container = Container::with_path(|config, path| {
        fs::create_dir_all(path.join("data/silent")).unwrap();
        config.bind(path.join("data"), "/data", &["rbind", "rw"]);
        config.shell(
            "stat /data/silent/one & stat /data/silent/two & \
             n=0; while [ $n -lt 6000 ]; do n=$((n+1)); echo $n > /data/new; mv /data/new /data/count; sleep 0.01; done",
        );
    });
    let Some(silent) = Silent::mount(container.path().join("data/silent")) else {
        return;
    };
    let _ = container.run_detached();
    goes_on(&container);
    until("one waits for the lock", || {
        waits_for_a_lock(&container).then_some(())
    });
    let refused = container.call(&["pause"]).refused(&["(stat)", "state D"]);
    assert!(refused.stderr.contains("pause"), "{refused:?}");
    assert_eq!(container.status(), "running");
    goes_on(&container);
    drop(silent);
    pause(&container);
    stands_still(&container);
}
