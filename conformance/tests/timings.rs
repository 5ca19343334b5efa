//! `--timings FILE` and `bareboat plan --timings`: what each step took. No other runtime has it.

#![allow(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

use std::fs;
use std::path::PathBuf;

use conformance::process::run;
use conformance::runtime::runtime;
use conformance::{Config, Container, Report};
use serde_json::{Value, json};

/// Whether there is nothing to test; prints so.
fn skipped() -> bool {
    if !runtime().is_bareboat() {
        eprintln!("skipped: {} tells no times", runtime().name);
    }
    !runtime().is_bareboat()
}

const HOST: i64 = 1;
const INIT: i64 = 2;
/// A thread of the runtime's.
const BESIDE: i64 = 3;

/// A complete event.
#[derive(Debug)]
struct Event {
    name: String,
    lane: i64,
    step: Option<usize>,
    origin: Option<String>,
    start: f64,
    end: f64,
}

/// Microseconds that a sum of two numbers may be wrong by.
const ROUNDING: f64 = 0.01;

impl Event {
    fn of(event: &Value) -> Self {
        let start = event["ts"].as_f64().unwrap();
        let took = event["dur"].as_f64().unwrap();
        assert!(start >= 0.0 && took >= 0.0, "{event}");
        let args = &event["args"];
        Event {
            name: event["name"].as_str().unwrap().to_owned(),
            lane: event["tid"].as_i64().unwrap(),
            step: args["step"].as_u64().map(|step| step as usize),
            origin: args["origin"].as_str().map(str::to_owned),
            start,
            end: start + took,
        }
    }

    fn lies_in(&self, other: &Event) -> bool {
        self.start >= other.start && self.end <= other.end + ROUNDING
    }
}

/// What a command took, from its file: a valid trace whose events are in order.
struct Trace(Vec<Event>);

impl Trace {
    fn read(container: &Container, file: &str) -> Self {
        let trace: Value = serde_json::from_str(&container.read(file)).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        let (names, complete): (Vec<_>, Vec<_>) =
            events.iter().partition(|event| event["ph"] == "M");
        let lanes: Vec<_> = names
            .iter()
            .filter(|event| event["name"] == "thread_name")
            .map(|event| (event["tid"].as_i64().unwrap(), &event["args"]["name"]))
            .collect();
        let (host, init) = (json!("host"), json!("init"));
        assert_eq!(lanes, [(HOST, &host), (INIT, &init), (BESIDE, &host)]);
        assert!(complete.iter().all(|event| event["ph"] == "X"));
        let trace = Trace(complete.into_iter().map(Event::of).collect());
        assert!(trace.0.is_sorted_by_key(|event| event.start));
        trace
    }

    fn host(&self, name: &str) -> &Event {
        let named = |event: &&Event| event.lane == HOST && event.name == name;
        let found = self.0.iter().find(named);
        assert!(found.is_some(), "{name}: {:#?}", self.0);
        found.unwrap()
    }

    /// The init's steps: of each its number and what asked for it. They follow one another within what the host did.
    fn init(&self, whole: &str) -> Vec<(usize, String)> {
        let whole = self.host(whole);
        let steps: Vec<_> = self.0.iter().filter(|event| event.lane == INIT).collect();
        assert!(steps.iter().all(|step| step.lies_in(whole)), "{steps:#?}");
        // A time that cannot be is taken for the nearest that can, and so would not be later than the one before it.
        let follow = |pair: &[&Event]| {
            pair[0].start < pair[1].start && pair[0].end <= pair[1].start + ROUNDING
        };
        assert!(steps.windows(2).all(follow), "{steps:#?}");
        assert!(steps.iter().all(|step| step.start < step.end), "{steps:#?}");
        let numbered = |step: &&Event| (step.step.unwrap(), step.origin.clone().unwrap());
        steps.iter().map(numbered).collect()
    }

    /// The name of the last step.
    fn last_step(&self) -> &str {
        let last = self.0.iter().rfind(|event| event.lane == INIT);
        &last.unwrap().name
    }
}

/// The steps of the plan of `create`, each with what asked for it, and which of them waits for `start`.
fn plan(container: &Container) -> (Vec<(usize, String)>, usize) {
    let mut command = container.subcommand(["plan", "--format", "json", "--bundle"]);
    let text = run(command.arg(container.bundle()).arg(&container.id))
        .ok()
        .stdout;
    let plan: Value = serde_json::from_str(&text).unwrap();
    let steps = plan["steps"].as_array().unwrap();
    let waits = |step: &Value| step["what"].get("AwaitStart").is_some();
    let origin = |step: &Value| step["origin"].as_str().unwrap().to_owned();
    (
        steps.iter().map(origin).enumerate().collect(),
        steps.iter().position(waits).unwrap(),
    )
}

/// `--timings` with a file of the case's directory.
fn timed(container: &Container, file: &str) -> [String; 2] {
    let path: PathBuf = container.path().join(file);
    ["--timings".to_owned(), path.to_str().unwrap().to_owned()]
}

fn run_timed(container: &Container) -> Trace {
    let [option, file] = timed(container, "run");
    let _ = run(&mut container.run_command(&[&option, &file])).ok();
    Trace::read(container, "run")
}

#[test]
fn run_tells_of_each_step_of_the_plan_in_its_order() {
    if skipped() {
        return;
    }
    let container = Container::new(|_| {});
    let trace = run_timed(&container);
    let (mut steps, waits) = plan(&container);
    // Nobody waits for `start` where there is none.
    let _ = steps.remove(waits);
    let origins = steps.into_iter().map(|(_, origin)| origin);
    let whole = format!("run {}", container.id);
    assert_eq!(trace.init(&whole), origins.enumerate().collect::<Vec<_>>());
    assert_eq!(trace.last_step(), "execute the program");
    let whole = trace.host(&whole);
    for part in [
        "compile the plan",
        "start the init",
        "write state and pid file",
    ] {
        assert!(trace.host(part).lies_in(whole), "{part}");
    }
    let after = ["the program runs", &format!("delete {}", container.id)];
    let ends = after.map(|name| trace.host(name).start);
    assert!(whole.end <= ends[0] && ends[0] <= ends[1]);
    container.assert_nothing_left();
}

#[test]
fn create_and_start_each_tell_of_their_part_of_the_plan() {
    if skipped() {
        return;
    }
    let container = Container::new(|config| {
        config.waits();
    });
    let [option, file] = timed(&container, "create");
    let _ = run(&mut container.create_command(&[&option, &file])).ok();
    let [option, file] = timed(&container, "start");
    let _ = container.call(&["start", &option, &file]).ok();
    let (steps, waits) = plan(&container);
    let created = Trace::read(&container, "create").init(&format!("create {}", container.id));
    assert_eq!(created, steps[..waits]);
    let started = Trace::read(&container, "start").init(&format!("start {}", container.id));
    assert_eq!(started, steps[waits + 1..]);
}

#[test]
fn exec_tells_of_its_own_steps() {
    if skipped() {
        return;
    }
    let container = Container::new(|config| {
        config.waits();
    });
    let _ = container.run_detached();
    let [option, file] = timed(&container, "exec");
    let _ = container.exec(&[&option, &file], &["true"]).ok();
    let trace = Trace::read(&container, "exec");
    let steps = trace.init(&format!("exec in {}", container.id));
    let numbers = steps.iter().map(|(number, _)| *number);
    assert!(numbers.eq(0..steps.len()) && steps.len() > 5, "{steps:#?}");
    assert_eq!(trace.last_step(), "execute the program");
    assert!(trace.host("the program runs").start >= trace.host("start the init").end);
}

#[test]
fn a_container_that_cannot_be_made_tells_how_far_it_got() {
    if skipped() {
        return;
    }
    let container = Container::new(|config| {
        config.mount("/case", "tmpfs", "tmpfs", &["size=nonsense"]);
    });
    let mount = container.config().0["mounts"].as_array().unwrap().len() - 1;
    let origin = format!("/mounts/{mount}");
    let [option, file] = timed(&container, "run");
    let failed = run(&mut container.run_command(&[&option, &file]));
    let _ = failed.refused(&[&origin]);
    let trace = Trace::read(&container, "run");
    let steps = trace.init(&format!("run {}", container.id));
    assert_eq!(steps.last().unwrap().1, origin);
    let (plan, _) = plan(&container);
    assert_eq!(steps, plan[..steps.len()]);
    let _ = trace.host("take everything back");
    container.assert_nothing_left();
}

#[test]
fn a_bundle_that_cannot_be_read_leaves_a_trace_too() {
    if skipped() {
        return;
    }
    let container = Container::empty();
    let [option, file] = timed(&container, "run");
    let _ = run(&mut container.run_command(&[&option, &file])).refused(&["config.json"]);
    let _ = Trace::read(&container, "run").host("load the bundle");
}

#[test]
fn the_clocks_of_a_time_namespace_are_not_those_of_the_times() {
    if skipped() {
        return;
    }
    for secs in [1_000_000, -100] {
        let container = Container::new(|config| {
            let offset = json!({"secs": secs});
            config.waits().namespace("time", None).set(
                "/linux/timeOffsets",
                json!({"monotonic": offset, "boottime": offset}),
            );
        });
        let [option, file] = timed(&container, "run");
        let _ = run(&mut container.run_command(&["--detach", &option, &file])).ok();
        let trace = Trace::read(&container, "run");
        let steps = trace.init(&format!("run {}", container.id));
        let origins = steps
            .iter()
            .filter(|(_, origin)| origin.starts_with("/linux/timeOffsets"));
        assert!(origins.count() > 0, "{steps:#?}");
        let [option, file] = timed(&container, "exec");
        let _ = container.exec(&[&option, &file], &["true"]).ok();
        let trace = Trace::read(&container, "exec");
        let steps = trace.init(&format!("exec in {}", container.id));
        assert!(steps.len() > 5, "{steps:#?}");
    }
}

#[test]
fn a_filter_that_forbids_the_clock_stops_nothing() {
    if skipped() {
        return;
    }
    let container = Container::new(|config| {
        let rule = json!({"names": ["clock_gettime"], "action": "SCMP_ACT_KILL_PROCESS"});
        config
            .args(&["true"])
            .set("/process/noNewPrivileges", json!(false))
            .set(
                "/linux/seccomp",
                json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}),
            );
    });
    let trace = run_timed(&container);
    let steps = trace.init(&format!("run {}", container.id));
    assert_eq!(steps.last().unwrap().1, "/linux/seccomp");
    assert!(trace.last_step().ends_with("and all after it"));
}

#[test]
fn hooks_are_told_of_by_their_place_in_the_configuration() {
    if skipped() {
        return;
    }
    let kinds = [
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
    ];
    let container = Container::with_path(|config, path| {
        config.args(&["true"]).bind(path, "/case", &["bind"]);
        for kind in kinds {
            let hook = json!({"path": "/bin/true", "args": ["true"]});
            config.push(&format!("/hooks/{kind}"), hook);
        }
    });
    let trace = run_timed(&container);
    let origins: Vec<_> = trace.0.iter().filter(|event| event.lane == HOST).collect();
    let origins: Vec<_> = origins
        .iter()
        .filter_map(|event| event.origin.as_deref())
        .collect();
    assert_eq!(origins, kinds.map(|kind| format!("/hooks/{kind}/0")));
    // There is a wait for start now, of which neither part tells.
    let (steps, waits) = plan(&container);
    let told = trace.init(&format!("run {}", container.id));
    assert_eq!(told, [&steps[..waits], &steps[waits + 1..]].concat());
}

/// Whether the process has anything of the times open or mapped.
fn holds_times(pid: i32) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let targets = open.map(|entry| fs::read_link(entry.unwrap().path()).unwrap());
    let mut texts = targets
        .map(|target| target.display().to_string())
        .chain([maps]);
    texts.any(|text| text.contains("bareboat-stamps"))
}

#[test]
fn nothing_of_the_times_is_left_in_a_container_that_waits_or_runs() {
    if skipped() {
        return;
    }
    let container = Container::new(|config| {
        config.waits();
    });
    let [option, file] = timed(&container, "create");
    let _ = run(&mut container.create_command(&[&option, &file])).ok();
    // The runtime returns while the init is on its way there.
    conformance::process::until("the init to wait", || {
        (!holds_times(container.pid())).then_some(())
    });
    let [option, file] = timed(&container, "start");
    let _ = container.call(&["start", &option, &file]).ok();
    assert!(!holds_times(container.pid()));
    let [option, file] = timed(&container, "exec");
    let report = Report::parse(&container.exec(&[&option, &file], &["/probe"]).ok());
    let numbers: Vec<_> = report.descriptors.keys().copied().collect();
    assert_eq!(numbers, [0, 1, 2]);
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_anything_is_done() {
    if skipped() {
        return;
    }
    let container = Container::with_path(|config: &mut Config, path| {
        let ran = format!("touch {}/ran", path.display());
        let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", ran]});
        config.waits().push("/hooks/createRuntime", hook);
    });
    let options = ["--timings", "/proc/nowhere/timings"];
    let phrases = ["/proc/nowhere/timings", "write the timings"];
    for mut command in [
        container.run_command(&options),
        container.create_command(&options),
    ] {
        let _ = run(&mut command).refused(&phrases);
        assert!(!container.path().join("ran").exists());
        container.assert_nothing_left();
    }
    let _ = container.create().ok();
    let _ = container
        .call(&["start", options[0], options[1]])
        .refused(&phrases);
    assert_eq!(container.status(), "created");
    let _ = container.start().ok();
    let refused = container.exec(&options, &["true"]).refused(&phrases);
    assert_eq!(refused.code(), 255);
}

#[test]
fn a_file_that_cannot_be_completed_changes_nothing_about_the_container() {
    if skipped() {
        return;
    }
    let container = Container::new(|config| {
        config.shell("exit 7");
    });
    let finished = run(&mut container.run_command(&["--timings", "/dev/full"]));
    assert_eq!(finished.code(), 7);
    assert!(
        finished.stderr.contains("write the timings to /dev/full"),
        "{finished:#?}"
    );
    container.assert_nothing_left();
}

#[test]
fn a_waterfall_has_a_line_for_each_event_and_fits_a_hundred_columns() {
    if skipped() {
        return;
    }
    let container = Container::new(|_| {});
    let trace = run_timed(&container);
    let [option, file] = timed(&container, "run");
    let text = run(&mut container.subcommand(["plan", &option, &file]))
        .ok()
        .stdout;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), trace.0.len() + 2, "{text}");
    for (line, event) in lines[1..].iter().zip(&trace.0) {
        assert!(line.chars().count() <= 100, "{line}");
        let lane = if event.lane == INIT {
            " init "
        } else {
            " host "
        };
        let place = event
            .origin
            .as_ref()
            .filter(|origin| origin.starts_with('/'));
        let what = place.unwrap_or(&event.name);
        assert!(
            line.contains(lane) && line.contains(what),
            "{line}: {event:?}"
        );
    }
    let no_trace = container.file("no-trace", "{}");
    let mut command = container.subcommand(["plan", "--timings"]);
    let _ = run(command.arg(no_trace)).refused(&["no-trace is no file of timings"]);
    let mut command = container.subcommand(["plan", &option, &file, "--format", "json"]);
    let _ = run(&mut command).refused(&["--timings", "--format"]);
}
