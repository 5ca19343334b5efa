//! A command of the runtime, the container that it is for, and how to see that it has done what it says.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use conformance::process::{self, until};
use conformance::{Config, Container, Finished, cgroup};
use serde_json::json;

use crate::likeness::Likeness;

/// What a command is to be put to.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    config: fn(&mut Config),
    /// Makes the container what it has to be before the command.
    prepare: fn(&Stage),
    /// The command and its options; the ID and `after` follow.
    command: &'static [&'static str],
    after: &'static [&'static str],
    takes_bundle: bool,
    /// Whether the container's init works for the command as well.
    pub(crate) involves_init: bool,
    /// Sees that what the command says it did is so.
    done: fn(&Stage),
}

/// A container for one fault after the other.
pub(crate) struct Stage {
    pub(crate) container: Container,
    normal: Option<Likeness>,
}

impl Stage {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let container = Container::new(scenario.config);
        fs::create_dir(container.path().join("temporary")).unwrap();
        Stage {
            container,
            normal: None,
        }
    }

    /// What the container is without a fault is what it has to be with one.
    pub(crate) fn observe(&mut self) {
        self.normal = Likeness::of(&self.output());
    }

    /// Where the command under test writes; what the container has written there already stays.
    pub(crate) fn append(&self, scenario: &Scenario) -> File {
        let output = File::options()
            .append(true)
            .create(true)
            .open(self.path("output"))
            .unwrap();
        if !scenario.involves_init {
            output.set_len(0).unwrap();
        }
        output
    }

    /// Nothing is left of the container, and another one can have its ID.
    pub(crate) fn assert_new_beginning(&self) {
        let delete = || {
            let deleted = self.container.delete_force();
            assert_eq!(deleted.code(), 0, "delete --force: {deleted:#?}");
            self.container.assert_nothing_left();
            let temporary = fs::read_dir(self.path("temporary")).unwrap().count();
            assert_eq!(temporary, 0, "temporary files are left");
        };
        delete();
        let _ = self.container.run_detached();
        delete();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.container.path().join(name)
    }

    /// Where the container's program, and that of `exec`, write.
    fn output(&self) -> String {
        self.container.read("output")
    }

    /// Runs one of the runtime's commands without a fault.
    fn call(&self, words: &[&str]) -> Finished {
        self.container.call(words)
    }

    fn create(&self) {
        let output = File::create(self.path("output")).unwrap();
        let mut command = self.container.create_command(&[]);
        command.stdin(Stdio::null()).stdout(output);
        assert_eq!(
            process::spawn_with_own_streams(&mut command).wait().code(),
            0
        );
    }

    fn create_and_start(&self) {
        self.create();
        let _ = self.container.start().ok();
    }

    fn assert_reported(&self) {
        let likeness = until("the container's report", || Likeness::of(&self.output()));
        if let Some(normal) = &self.normal {
            normal.assert_same(&likeness);
        }
    }
}

impl Scenario {
    /// The words of the command, after the program's name and the global options.
    pub(crate) fn words(&self, container: &Container) -> Vec<String> {
        let mut words: Vec<String> = self.command.iter().map(|&word| word.to_owned()).collect();
        if self.takes_bundle {
            words.extend([
                "--bundle".to_owned(),
                container.bundle().display().to_string(),
            ]);
        }
        words.push(container.id.clone());
        words.extend(self.after.iter().map(|&word| word.to_owned()));
        words
    }

    pub(crate) fn prepare(&self, stage: &Stage) {
        (self.prepare)(stage);
    }

    pub(crate) fn assert_done(&self, stage: &Stage) {
        (self.done)(stage);
    }

    /// Whether the init, of which it is known that it ended, had done all that the command is for: so it was the container's
    /// process that ended.
    pub(crate) fn is_over(&self, stage: &Stage, finished: &Finished) -> bool {
        const KILLED: i32 = 128 + libc::SIGKILL;
        let has_stopped = || {
            let deadline = Instant::now() + Duration::from_secs(1);
            while stage.container.status() != "stopped" && Instant::now() < deadline {}
            stage.container.status() == "stopped" && stage.output().is_empty()
        };
        match finished.code() {
            0 => matches!(self.command, ["create" | "start"]) && has_stopped(),
            code => code == KILLED && matches!(self.command, ["run" | "exec"]),
        }
    }

    pub(crate) const CREATE: Self = Self {
        name: "create",
        config: |_| {},
        prepare: |_| {},
        command: &["create"],
        after: &[],
        takes_bundle: true,
        involves_init: false,
        done: |stage| {
            assert_eq!(stage.container.status(), "created");
            let _ = stage.container.start().ok();
            stage.assert_reported();
        },
    };

    pub(crate) const CREATE_MUCH: Self = Self {
        name: "create of a container with much",
        config: much,
        ..Self::CREATE
    };

    pub(crate) const CREATE_MAPPED: Self = Self {
        name: "create of a container with a user namespace",
        config: |config| {
            config.user_namespace(&[(0, 0x5000_0000, 0x10000)]);
        },
        ..Self::CREATE
    };

    pub(crate) const START: Self = Self {
        name: "start",
        prepare: Stage::create,
        command: &["start"],
        takes_bundle: false,
        involves_init: true,
        done: Stage::assert_reported,
        ..Self::CREATE
    };

    pub(crate) const RUN: Self = Self {
        name: "run",
        command: &["run"],
        done: Stage::assert_reported,
        ..Self::CREATE
    };

    pub(crate) const EXEC: Self = Self {
        name: "exec",
        config: sleeps,
        prepare: Stage::create_and_start,
        command: &["exec"],
        after: &["/probe"],
        takes_bundle: false,
        done: Stage::assert_reported,
        ..Self::CREATE
    };

    pub(crate) const UPDATE: Self = Self {
        name: "update",
        command: &[
            "update",
            "--memory",
            "67108864",
            "--pids-limit",
            "77",
            "--cpu-share",
            "512",
        ],
        after: &[],
        done: |stage| {
            let value =
                |controller, v1, v2| cgroup::read(&stage.container.cgroup, controller, v1, v2);
            assert_eq!(
                value("memory", "memory.limit_in_bytes", "memory.max"),
                "67108864"
            );
            assert_eq!(value("pids", "pids.max", "pids.max"), "77");
            assert_eq!(stage.container.status(), "running");
        },
        ..Self::EXEC
    };

    pub(crate) const PAUSE: Self = Self {
        name: "pause",
        command: &["pause"],
        after: &[],
        done: |stage| assert_eq!(stage.container.status(), "paused"),
        ..Self::EXEC
    };

    pub(crate) const RESUME: Self = Self {
        name: "resume",
        prepare: |stage| {
            stage.create_and_start();
            let _ = stage.call(&["pause"]).ok();
        },
        command: &["resume"],
        done: |stage| assert_eq!(stage.container.status(), "running"),
        ..Self::PAUSE
    };

    pub(crate) const KILL: Self = Self {
        name: "kill",
        command: &["kill"],
        after: &["KILL"],
        done: |stage| stage.container.wait_for("stopped"),
        ..Self::PAUSE
    };

    pub(crate) const DELETE: Self = Self {
        name: "delete",
        config: |_| {},
        prepare: |stage| {
            stage.create_and_start();
            stage.container.wait_for("stopped");
        },
        command: &["delete"],
        done: |stage| stage.container.assert_nothing_left(),
        ..Self::PAUSE
    };

    pub(crate) const DELETE_FORCE: Self = Self {
        name: "delete --force",
        config: sleeps,
        prepare: Stage::create_and_start,
        command: &["delete", "--force"],
        ..Self::DELETE
    };

    pub(crate) const STATE: Self = Self {
        name: "state",
        command: &["state"],
        done: |stage| assert!(stage.output().contains("\"status\": \"running\"")),
        ..Self::PAUSE
    };
}

fn sleeps(config: &mut Config) {
    config.args(&["sleep", "1000"]);
}

/// What engines ask for, and more.
fn much(config: &mut Config) {
    let user = json!({"uid": 1000, "gid": 1000, "additionalGids": [5, 6], "umask": 18});
    let sysctl = json!({"net.ipv4.ip_forward": "1", "kernel.shmmax": "4194304"});
    let resources = json!({
        "devices": [{"allow": false, "access": "rwm"}],
        "memory": {"limit": 67_108_864},
        "pids": {"limit": 64},
        "cpu": {"shares": 512},
    });
    let seccomp = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["swapon", "reboot"], "action": "SCMP_ACT_ERRNO"}],
    });
    let device =
        json!({"path": "/dev/extra", "type": "c", "major": 1, "minor": 3, "fileMode": 438});
    config
        .set("/process/user", user)
        .set("/process/oomScoreAdj", json!(100))
        .set("/linux/sysctl", sysctl)
        .set("/linux/resources", resources)
        .set("/linux/seccomp", seccomp)
        .set("/linux/devices", json!([device]))
        .set("/linux/rootfsPropagation", json!("rprivate"))
        .set("/domainname", json!("example"))
        .bind("/usr/share", "/var", &["rbind", "ro", "nosuid"])
        .mount("/tmp", "tmpfs", "tmpfs", &["size=64k"])
        .mount("/etc", "tmpfs", "tmpfs", &["size=1m", "tmpcopyup"]);
}
