//! The cgroup of a further process: the container's own, one below it, or the one that the container's first process
//! went to.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use conformance::process::run;
use conformance::runtime::runtime;
use conformance::{Container, cgroup};

fn running() -> Container {
    let container = Container::new(|config| {
        // One process alone, without children.
        config.args(&["sleep", "60"]);
    });
    let _ = container.run_detached();
    container
}

/// A cgroup of a case beside or below the container's.
struct Made(PathBuf);

impl Made {
    fn new(path: PathBuf) -> Self {
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Made {
    /// A process that was killed leaves its cgroup a moment later.
    fn drop(&mut self) {
        for _ in 0..500 {
            if fs::remove_dir(&self.0).is_ok() || !self.0.exists() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn path_of(report: &str, controller: &str) -> String {
    let line = report.lines().find(|line| {
        let controllers = line.split(':').nth(1).unwrap_or_default();
        controllers.split(',').any(|name| name == controller)
    });
    let line = line.or_else(|| report.lines().find(|line| line.starts_with("0::")));
    let path = line.and_then(|line| line.splitn(3, ':').nth(2));
    path.expect("a process is in a cgroup").to_owned()
}

/// Where a process of the container is whose options these are.
fn entered(container: &Container, options: &[&str], controller: &str) -> String {
    let finished = container.exec(options, &["cat", "/proc/self/cgroup"]).ok();
    path_of(&finished.stdout, controller)
}

fn ignores_v2_controllers() -> bool {
    !cgroup::is_v1("pids")
        && runtime().departs("runc", "ignores --cgroup CONTROLLER:… in version 2")
}

fn is_unknown() -> bool {
    let others = ["crun", "youki"].iter();
    others
        .into_iter()
        .any(|name| runtime().departs(name, "reads --cgroup in its own way"))
}

#[test]
fn exec_enters_a_cgroup_below_the_containers_own_by_its_controller() {
    if is_unknown() || ignores_v2_controllers() {
        return;
    }
    let container = running();
    let own = container.cgroup.clone();
    let inner = Made::new(cgroup::directory("pids", &own).join("inner"));
    let deep = Made::new(inner.0.join("deep"));
    for (option, path) in [
        ("pids:inner", "/inner"),
        ("pids:/inner/deep", "/inner/deep"),
        ("pids:/", ""),
    ] {
        let entered = entered(&container, &["--cgroup", option], "pids");
        assert_eq!(entered, format!("{own}{path}"), "{option}");
    }
    if cgroup::is_v1("memory") {
        let elsewhere = entered(&container, &["--cgroup", "pids:inner"], "memory");
        assert_eq!(elsewhere, own, "that of another controller");
    }
    drop(deep);
}

#[test]
fn exec_enters_a_cgroup_below_the_containers_own_in_version_2() {
    if is_unknown() {
        return;
    }
    if cgroup::is_v1("pids") {
        eprintln!("skipped: controllers are in version 1 here");
        return;
    }
    let container = running();
    let inner = Made::new(cgroup::directory("unified", &container.cgroup).join("inner"));
    for (option, path) in [("inner", "/inner"), ("/inner/", "/inner"), ("/", "")] {
        let entered = entered(&container, &["--cgroup", option], "");
        assert_eq!(entered, format!("{}{path}", container.cgroup), "{option}");
    }
    drop(inner);
}

#[test]
fn a_cgroup_that_is_not_below_the_containers_own_is_refused_with_runcs_phrases() {
    if is_unknown() || runtime().predates("runc", [1, 4, 0], "these phrases") {
        return;
    }
    let container = running();
    let is_v1 = cgroup::is_v1("pids");
    let missing: &[&str] = if is_v1 || runtime().is_bareboat() {
        &[" adding pid ", "o such file or directory"]
    } else {
        &[" cgroup", "o such file or directory"]
    };
    let mut cases = vec![
        (&["..", ""][..], &["bad sub cgroup path: .."][..]),
        (&["../other"], &["bad sub cgroup path: ../other"]),
        (&["nonexistent"], missing),
        (&["a", "b"], &["invalid --cgroup argument: a (missing"]),
        (&[":a"], &["invalid --cgroup argument: :a (empty"]),
    ];
    if is_v1 || runtime().is_bareboat() {
        cases.push((&["whaaat:/"], &["unknown controller "]));
        cases.push((&["pids:nonexistent"], missing));
    }
    for (values, phrases) in cases {
        let given = values.iter().filter(|value| !value.is_empty());
        let options: Vec<_> = given.flat_map(|value| ["--cgroup", *value]).collect();
        let _ = container.exec(&options, &["true"]).refused(phrases);
    }
    assert_eq!(container.status(), "running");
}

/// Moves the container's first process in the hierarchy of version 2.
fn move_init(container: &Container, to: &Path) {
    fs::write(to.join("cgroup.procs"), container.pid().to_string()).unwrap();
}

/// Whether the case is about what there is not here, or what the runtime does not look at.
fn has_no_v2() -> bool {
    let has_v2 = cgroup::hierarchies()
        .iter()
        .any(|(names, _)| names.iter().any(|name| name == "unified"));
    if !has_v2 {
        eprintln!("skipped: there is no hierarchy of version 2");
    }
    !has_v2 || cgroup::is_v1("pids") && !runtime().is_bareboat()
}

#[test]
fn exec_follows_the_first_process_where_the_containers_own_cgroup_has_no_room() {
    if is_unknown() || has_no_v2() {
        return;
    }
    let container = running();
    let own = cgroup::directory("unified", &container.cgroup);
    let controllers = fs::read_to_string(own.join("cgroup.controllers")).unwrap();
    let mut domain = ["memory", "hugetlb"].into_iter();
    let Some(controller) =
        domain.find(|name| controllers.split_whitespace().any(|has| has == *name))
    else {
        eprintln!(
            "skipped: the container's cgroup has no controller of domains, but {controllers:?}"
        );
        return;
    };
    let inner = Made::new(own.join("inner"));
    move_init(&container, &inner.0);
    assert_eq!(entered(&container, &[], ""), container.cgroup);
    // cgroups(7), "No internal processes".
    fs::write(own.join("cgroup.subtree_control"), format!("+{controller}")).unwrap();
    assert_eq!(
        entered(&container, &[], ""),
        format!("{}/inner", container.cgroup)
    );
    // What is asked for has nothing in its place.
    let top = if cgroup::is_v1("pids") {
        format!("{controller}:/")
    } else {
        "/".to_owned()
    };
    let _ = container.exec(&["--cgroup", &top], &["true"]).refused(&[
        " adding pid ",
        " to cgroups",
        "evice or resource busy",
    ]);
    let below = top + "inner";
    let there = entered(&container, &["--cgroup", &below], "");
    assert_eq!(there, format!("{}/inner", container.cgroup));
    let _ = container.delete_force().ok();
    container.assert_nothing_left();
}

#[test]
fn exec_follows_the_first_process_where_the_containers_own_cgroup_is_gone() {
    if is_unknown() || has_no_v2() {
        return;
    }
    if runtime().predates(
        "runc",
        [1, 5, 0],
        "to follow the first process out of its cgroup",
    ) {
        return;
    }
    let container = running();
    let own = cgroup::directory("unified", &container.cgroup);
    let path = format!("/{}-elsewhere", container.id);
    let elsewhere = Made::new(cgroup::directory("unified", &path));
    move_init(&container, &elsewhere.0);
    // systemd may be faster.
    drop(fs::remove_dir(&own));
    assert!(!own.exists());
    assert_eq!(entered(&container, &[], ""), path);
    let mut kill = container.subcommand(["kill", "--all", &container.id, "KILL"]);
    let _ = run(&mut kill).ok();
    container.wait_for("stopped");
    let _ = container.delete_force().ok();
}
