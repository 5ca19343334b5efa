//! Many containers from 16 threads at once.

use std::io::PipeReader;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, OnceLock};
use std::thread;

use runtime_core::oci_spec::runtime::Spec;
use runtime_core::{Container, Error, ErrorKind, Status, Stdio};
use serde_json::json;

use crate::place::Place;
use crate::process_state::ProcessState;
use crate::{SIGKILL, exec_process, life, null, read_all};

pub(crate) const THREADS: usize = 16;

/// Has 16 threads do it for each number, as soon as one of them is free, and gives what they made, in order.
pub(crate) fn share_out<T: Send>(count: usize, make: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut made = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return made;
            }
            made.push((number, make(number)));
        }
    };
    let mut all = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let made = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        made.collect::<Vec<_>>()
    });
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, made)| made).collect()
}

/// Asserts that all is as before: of the process, and of the place.
pub(crate) fn leaves_the_process_as_it_was(place: &Place, act: impl FnOnce()) {
    life(place, "warm-up", 1);
    let _ = inherited();
    let before = ProcessState::now();
    act();
    assert_eq!(ProcessState::now(), before);
    place.assert_empty();
}

/// How many descriptors a program has that is started while no container is made, with that of the list.
fn inherited() -> &'static str {
    static COUNT: OnceLock<String> = OnceLock::new();
    COUNT.get_or_init(|| {
        let script = "set -- /proc/self/fd/*; echo $#";
        let count = Command::new("/bin/busybox")
            .args(["sh", "-c", script])
            .output();
        String::from_utf8(count.unwrap().stdout)
            .unwrap()
            .trim()
            .to_owned()
    })
}

/// A container that says who it is. Its hook sees to it that a program which is started while other threads make
/// containers inherits nothing of theirs.
fn spec(place: &Place, id: &str) -> Spec {
    let script = "hostname; exec sleep 1000";
    let mut spec = place.spec(id, &["/bin/sh", "-c", script]);
    spec.set_hostname(Some(id.to_owned()));
    let check = format!("set -- /proc/self/fd/*; test $# -eq {}", inherited());
    let hook = json!({"path": "/bin/busybox", "args": ["busybox", "sh", "-c", check]});
    let hooks = json!({"createRuntime": [hook]});
    spec.set_hooks(Some(serde_json::from_value(hooks).unwrap()));
    spec
}

/// A container that runs, and what it prints.
fn begin(place: &Place, number: usize) -> (Container, PipeReader) {
    let id = format!("n{number}");
    let (output, end) = std::io::pipe().unwrap();
    let stdio = Stdio::Descriptors([null(), end.into(), null()]);
    let builder = place.builder(&id, spec(place, &id)).stdio(stdio);
    let container = builder.create().unwrap();
    assert_eq!(container.status().unwrap(), Status::Created, "{id}");
    container.start().unwrap();
    (container, output)
}

fn visit(container: &Container, code: usize) {
    let (output, end) = std::io::pipe().unwrap();
    let script = format!("hostname; exit {code}");
    let process = exec_process(container, &["/bin/sh", "-c", &script]);
    let stdio = Stdio::Descriptors([null(), end.into(), null()]);
    let tenant = container.exec(process).stdio(stdio).spawn().unwrap();
    // The end comes although others are started meanwhile: none of them has the pipe.
    assert_eq!(read_all(output), format!("{}\n", container.id()));
    assert_eq!(usize::try_from(tenant.wait().unwrap().code()), Ok(code));
}

fn end((container, output): &mut (Container, PipeReader)) {
    let id = container.id();
    container.kill(SIGKILL).unwrap();
    assert_eq!(container.wait().unwrap().signal(), Some(SIGKILL), "{id}");
    assert_eq!(read_all(output.try_clone().unwrap()), format!("{id}\n"));
    container.delete(false).unwrap();
}

fn all_alive_at_once(count: usize) {
    let Some(place) = Place::alone() else { return };
    leaves_the_process_as_it_was(&place, || {
        let mut containers = share_out(count, |number| begin(&place, number));
        assert_eq!(Container::list(place.state_root()).unwrap().len(), count);
        share_out(count, |number| {
            visit(&containers[number].0, 20 + number % 200)
        });
        let ending: Vec<_> = containers.iter_mut().map(Mutex::new).collect();
        share_out(count, |number| end(&mut ending[number].lock().unwrap()));
    });
}

#[test]
fn containers_that_live_at_once_are_each_what_they_are_alone() {
    all_alive_at_once(32);
}

#[test]
#[ignore = "takes half a minute: make load"]
fn two_hundred_containers_by_sixteen_threads_live_at_once() {
    all_alive_at_once(200);
}

#[test]
#[ignore = "takes half a minute: make load"]
fn two_hundred_lives_by_sixteen_threads_leave_the_process_as_it_was() {
    let Some(place) = Place::alone() else { return };
    leaves_the_process_as_it_was(&place, || {
        share_out(200, |number| {
            life(
                &place,
                &format!("n{number}"),
                u8::try_from(20 + number).unwrap(),
            );
        });
    });
}

#[test]
fn of_threads_that_create_the_same_id_at_once_one_succeeds() {
    let Some(place) = Place::alone() else { return };
    leaves_the_process_as_it_was(&place, || {
        for _ in 0..5 {
            let together = Barrier::new(THREADS);
            let results = share_out(THREADS, |_| {
                together.wait();
                place.builder("same", spec(&place, "same")).create()
            });
            let (made, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
            let is_other = |error: &Error| error.kind() == ErrorKind::AlreadyExists;
            assert!(
                refused
                    .into_iter()
                    .map(Result::unwrap_err)
                    .all(|error| is_other(&error))
            );
            let [container] = <[_; 1]>::try_from(made).unwrap().map(Result::unwrap);
            container.delete(true).unwrap();
            container.wait().unwrap();
        }
    });
}

#[test]
fn containers_that_fail_at_once_leave_nothing() {
    let Some(place) = Place::alone() else { return };
    let cases = [
        (
            ErrorKind::Program,
            json!({"process": {"args": ["/no/such/program"]}}),
        ),
        (
            ErrorKind::Hook,
            json!({"hooks": {"createContainer": [{"path": "/bin/false"}]}}),
        ),
        (
            ErrorKind::Setup,
            json!({"mounts": [{"destination": "/mnt", "source": "/no/such", "options": ["bind"]}]}),
        ),
    ];
    leaves_the_process_as_it_was(&place, || {
        share_out(48, |number| {
            let (kind, change) = &cases[number % cases.len()];
            let id = format!("n{number}");
            let mut config = serde_json::to_value(spec(&place, &id)).unwrap();
            merge(&mut config, change);
            let spec = serde_json::from_value(config).unwrap();
            let error = place.builder(&id, spec).run().unwrap_err();
            assert_eq!(error.kind(), *kind, "{error}");
        });
    });
}

/// Objects are merged, and all else is replaced.
fn merge(config: &mut serde_json::Value, change: &serde_json::Value) {
    match (config.as_object_mut(), change.as_object()) {
        (Some(config), Some(change)) => {
            for (name, value) in change {
                merge(config.entry(name).or_insert(json!(null)), value);
            }
        }
        _ => *config = change.clone(),
    }
}

#[test]
fn what_one_thread_deletes_by_force_while_others_create_it_leaves_nothing() {
    let Some(place) = Place::alone() else { return };
    let done = AtomicBool::new(false);
    let delete_all = || {
        while !done.load(Ordering::Relaxed) {
            for number in 0..32 {
                let id = format!("n{number}");
                let deleted = match Container::load(place.state_root(), &id) {
                    Ok(container) => container.delete(true),
                    Err(_) => Container::remove_leftovers(place.state_root(), &id),
                };
                if let Err(error) = deleted {
                    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                }
            }
        }
    };
    leaves_the_process_as_it_was(&place, || {
        thread::scope(|scope| {
            scope.spawn(delete_all);
            let create = |number| {
                let id = format!("n{number}");
                place.builder(&id, spec(&place, &id)).create()
            };
            let containers = share_out(32, create);
            done.store(true, Ordering::Relaxed);
            for container in containers.into_iter().map(Result::unwrap) {
                let _ = container.delete(true);
                container.wait().unwrap();
            }
        });
    });
}
