//! The library from many threads at once, and what it leaves of its caller: containers for real. Needs root.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "threads/callers.rs"]
mod callers;
#[path = "threads/load.rs"]
mod load;
#[path = "threads/place.rs"]
mod place;
#[path = "threads/process_state.rs"]
mod process_state;

use std::fs;
use std::hint::black_box;
use std::io::{PipeReader, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use place::{Place, with_arguments};
use process_state::{ProcessState, blocked_signals};
use runtime_core::oci_spec::runtime::{Process, Spec};
use runtime_core::{Bundle, Container, ErrorKind, Status, Stdio};
use serde_json::json;

const SIGKILL: i32 = 9;

/// A container's whole life, with what it says of itself on the way; `code` is a number that nobody else uses.
fn life(place: &Place, id: &str, code: u8) {
    let blocked = blocked_signals();
    let spec = place.spec(id, &["/bin/busybox", "sleep", "1000"]);
    let container = place.builder(id, spec).create().unwrap();
    assert_eq!(container.status().unwrap(), Status::Created, "{id}");
    container.start().unwrap();
    assert_eq!(container.status().unwrap(), Status::Running, "{id}");

    let process = exec_process(
        &container,
        &["/bin/busybox", "sh", "-c", &format!("exit {code}")],
    );
    let tenant = container.exec(process).stdio(Stdio::Null).spawn().unwrap();
    assert_eq!(tenant.wait().unwrap().code(), i32::from(code), "{id}");

    container.kill(SIGKILL).unwrap();
    let status = container.wait().unwrap();
    assert_eq!(status.signal(), Some(SIGKILL), "{id}");
    assert_eq!(container.status().unwrap(), Status::Stopped, "{id}");
    container.delete(false).unwrap();
    let error = Container::load(place.state_root(), id).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{id}");
    assert_eq!(blocked_signals(), blocked, "{id}");
}

fn exec_process(container: &Container, arguments: &[&str]) -> Process {
    let spec = container.spec().unwrap();
    let mut process = spec.process().clone().unwrap();
    process.set_args(Some(
        arguments.iter().map(|&text| text.to_owned()).collect(),
    ));
    process
}

fn read_all(mut pipe: PipeReader) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).unwrap();
    text
}

fn null() -> OwnedFd {
    fs::File::open("/dev/null").unwrap().into()
}

/// Allocates and frees until it is told to stop; nothing that a container needs may wait for the allocator's locks.
fn allocate(stop: &AtomicBool, count: &AtomicU64) {
    let mut kept: Vec<Vec<u8>> = vec![Vec::new(); 16];
    let mut number = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        number = number.wrapping_add(1);
        let size = 1 << (number % 18);
        kept[number % 16] = black_box(vec![1; size]);
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn sixteen_threads_make_containers_at_once_and_the_process_stays_as_it_was() {
    let Some(place) = Place::alone() else { return };
    life(&place, "warm-up", 1);
    let before = ProcessState::now();
    thread::scope(|scope| {
        for worker in 0..16_u8 {
            let place = &place;
            scope.spawn(move || {
                for round in 0..5_u8 {
                    life(
                        place,
                        &format!("w{worker}-{round}"),
                        10 + 5 * worker + round,
                    );
                }
            });
        }
    });
    assert_eq!(ProcessState::now(), before);
    place.assert_empty();
}

#[test]
fn a_tokio_runtime_makes_containers_while_64_threads_allocate_all_the_while() {
    let Some(place) = Place::alone() else { return };
    life(&place, "warm-up", 1);
    let before = ProcessState::now();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .max_blocking_threads(64)
        .build()
        .unwrap();
    let (stop, count) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let busy: Vec<_> = (0..64)
        .map(|_| {
            let (stop, count) = (stop.clone(), count.clone());
            runtime.spawn_blocking(move || allocate(&stop, &count))
        })
        .collect();
    let lives: Vec<_> = (0..8_u8)
        .map(|number| {
            let place = Arc::clone(&place);
            runtime.spawn(async move { life(&place, &format!("t{number}"), 100 + number) })
        })
        .collect();
    for life in lives {
        runtime.block_on(life).unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for thread in busy {
        runtime.block_on(thread).unwrap();
    }
    drop(runtime);
    assert!(count.load(Ordering::Relaxed) > 64);
    assert_eq!(ProcessState::now(), before);
    place.assert_empty();
}

#[test]
fn pipes_given_as_descriptors_get_what_the_container_prints() {
    let Some(place) = Place::alone() else { return };
    let (output, output_end) = std::io::pipe().unwrap();
    let (errors, errors_end) = std::io::pipe().unwrap();
    let script = "echo on the output; echo on the errors >&2; exit 7";
    let spec = place.spec("pipes", &["/bin/busybox", "sh", "-c", script]);
    let stdio = Stdio::Descriptors([null(), output_end.into(), errors_end.into()]);
    let container = place.builder("pipes", spec).stdio(stdio).run().unwrap();
    assert_eq!(read_all(output), "on the output\n");
    assert_eq!(read_all(errors), "on the errors\n");
    assert_eq!(container.wait().unwrap().code(), 7);
    container.delete(false).unwrap();
    place.assert_empty();
}

#[test]
fn a_process_put_into_a_container_has_streams_of_its_own() {
    let Some(place) = Place::alone() else { return };
    let spec = place.spec("tenant", &["/bin/busybox", "sleep", "1000"]);
    let container = place.builder("tenant", spec).run().unwrap();
    let (output, output_end) = std::io::pipe().unwrap();
    let process = exec_process(&container, &["/bin/busybox", "hostname"]);
    let stdio = Stdio::Descriptors([null(), output_end.into(), null()]);
    let tenant = container.exec(process).stdio(stdio).spawn().unwrap();
    assert_eq!(read_all(output), "bareboat\n");
    assert_eq!(tenant.wait().unwrap().code(), 0);
    container.delete(true).unwrap();
    assert_eq!(container.wait().unwrap().signal(), Some(SIGKILL));
    place.assert_empty();
}

#[test]
fn the_terminal_of_a_container_is_its_callers_to_take_once() {
    let Some(place) = Place::alone() else { return };
    let script = "test -t 0 && test -t 1 && test -t 2 && echo a terminal";
    let mut spec = place.spec("terminal", &["/bin/busybox", "sh", "-c", script]);
    spec.process_mut()
        .as_mut()
        .unwrap()
        .set_terminal(Some(true));
    let mut container = place.builder("terminal", spec).run().unwrap();
    let mut console = fs::File::from(container.take_console().unwrap());
    assert!(container.take_console().is_none());
    let mut text = Vec::new();
    // A master whose terminal nobody has open any more answers EIO.
    let end = console
        .read_to_end(&mut text)
        .map_err(|error| error.raw_os_error());
    assert!(matches!(end, Ok(_) | Err(Some(5))), "{end:?}");
    assert_eq!(String::from_utf8_lossy(&text), "a terminal\n");
    assert_eq!(container.wait().unwrap().code(), 0);
    container.delete(false).unwrap();
    place.assert_empty();
}

#[test]
fn a_configuration_in_memory_needs_no_file_and_is_kept_with_the_container() {
    let Some(place) = Place::alone() else { return };
    let spec = place.spec("memory", &["/bin/busybox", "true"]);
    let bundle = Bundle::from_spec(place.bundle(), spec.clone()).unwrap();
    assert!(!place.bundle().join("config.json").exists());
    let builder = Container::builder("memory", bundle).state_root(place.state_root());
    let container = builder.stdio(Stdio::Null).create().unwrap();
    let loaded = Container::load(place.state_root(), "memory").unwrap();
    assert_eq!(loaded.spec().unwrap(), spec);
    assert_eq!(loaded.state().unwrap().pid, container.pid().unwrap());
    assert_eq!(Container::list(place.state_root()).unwrap().len(), 1);
    loaded.start().unwrap();
    assert_eq!(container.wait().unwrap().code(), 0);
    container.delete(false).unwrap();
    place.assert_empty();
}

/// Asserts that a container of this configuration fails as said, and that nothing of it stays.
fn refused(place: &Place, spec: Spec, kind: ErrorKind, origin: &str, message: &str) {
    let error = place.builder("refused", spec).run().unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!(error.origin(), Some(origin), "{error}");
    assert!(error.to_string().contains(message), "{error}");
    assert!(!error.to_string().contains('\n'), "{error}");
    place.assert_empty();
}

#[test]
fn a_program_that_cannot_be_executed_is_an_error_of_its_own_kind() {
    let Some(place) = Place::alone() else { return };
    let cases = [
        ("no-such-program", "executable file not found in $PATH"),
        ("/no/such/program", "no such file or directory"),
        ("/etc/not-executable", "permission denied"),
    ];
    for (program, message) in cases {
        let spec = place.spec("refused", &[program]);
        refused(&place, spec, ErrorKind::Program, "/process/args/0", message);
    }
}

#[test]
fn what_a_configuration_asks_for_in_vain_is_named_by_its_pointer() {
    let Some(place) = Place::alone() else { return };
    let spec = || place.spec("refused", &["/bin/busybox", "true"]);

    let mut relative = spec();
    relative
        .process_mut()
        .as_mut()
        .unwrap()
        .set_cwd("tmp".into());
    refused(
        &place,
        relative,
        ErrorKind::InvalidConfig,
        "/process/cwd",
        "Cwd must be an absolute path",
    );

    let mount = json!({"destination": "/mnt", "source": "/no/such/source", "options": ["bind"]});
    let mut missing = spec();
    let mounts = missing.mounts_mut().as_mut().unwrap();
    let pointer = format!("/mounts/{}", mounts.len());
    mounts.push(serde_json::from_value(mount).unwrap());
    refused(
        &place,
        missing,
        ErrorKind::Setup,
        &pointer,
        "/no/such/source",
    );

    let hooks = json!({"createRuntime": [{"path": "/bin/false"}]});
    let mut hooked = spec();
    hooked.set_hooks(Some(serde_json::from_value(hooks).unwrap()));
    refused(
        &place,
        hooked,
        ErrorKind::Hook,
        "/hooks/createRuntime/0",
        "/bin/false failed",
    );
}

#[test]
fn an_operation_in_the_wrong_state_is_an_error_of_its_own_kind() {
    let Some(place) = Place::alone() else { return };
    let spec = || place.spec("once", &["/bin/busybox", "sleep", "1000"]);
    let kind = |error: runtime_core::Error| error.kind();
    let load = |id| Container::load(place.state_root(), id).map(drop);
    assert_eq!(load("nobody").map_err(kind), Err(ErrorKind::NotFound));
    assert_eq!(load("../nobody").map_err(kind), Err(ErrorKind::InvalidId));

    let container = place.builder("once", spec()).create().unwrap();
    let second = place.builder("once", spec()).create().map(drop);
    assert_eq!(second.map_err(kind), Err(ErrorKind::AlreadyExists));
    assert_eq!(container.status().unwrap(), Status::Created);

    container.start().unwrap();
    assert_eq!(
        container.start().map_err(kind),
        Err(ErrorKind::InvalidState)
    );
    assert_eq!(
        container.delete(false).map_err(kind),
        Err(ErrorKind::InvalidState)
    );
    assert_eq!(
        container.kill(4711).map_err(kind),
        Err(ErrorKind::InvalidArgument)
    );
    assert_eq!(container.status().unwrap(), Status::Running);

    container.kill(SIGKILL).unwrap();
    container.wait().unwrap();
    assert_eq!(
        container.kill(SIGKILL).map_err(kind),
        Err(ErrorKind::NotRunning)
    );
    let process = with_arguments(&Process::default(), &["/bin/busybox"]);
    let exec = container.exec(process).spawn().map(drop);
    assert_eq!(exec.map_err(kind), Err(ErrorKind::NotRunning));
    assert_eq!(
        container.start().map_err(kind),
        Err(ErrorKind::InvalidState)
    );
    container.delete(false).unwrap();
    assert_eq!(
        container.delete(false).map_err(kind),
        Err(ErrorKind::NotFound)
    );
    place.assert_empty();
}
