//! One container that many threads work with at once.

use runtime_core::{Container, Error, ErrorKind, Status, Stdio};

use crate::load::{THREADS, leaves_the_process_as_it_was, share_out};
use crate::place::Place;
use crate::{SIGKILL, exec_process};

const PROGRAM: [&str; 3] = ["/bin/busybox", "sleep", "1000"];

/// The errors of those who did not succeed, all of one kind, are so many.
fn assert_refused<T>(results: Vec<Result<T, Error>>, kind: ErrorKind, count: usize) {
    let errors: Vec<Error> = results.into_iter().filter_map(Result::err).collect();
    assert!(
        errors.iter().all(|error| error.kind() == kind),
        "{errors:?}"
    );
    assert_eq!(errors.len(), count, "{errors:?}");
}

#[test]
fn of_threads_that_start_or_delete_one_container_at_once_one_succeeds() {
    let Some(place) = Place::alone() else { return };
    leaves_the_process_as_it_was(&place, || {
        for _ in 0..3 {
            let spec = place.spec("shared", &PROGRAM);
            let container = place.builder("shared", spec).create().unwrap();
            let started = share_out(THREADS, |_| container.start());
            assert_refused(started, ErrorKind::InvalidState, THREADS - 1);
            assert_eq!(container.status().unwrap(), Status::Running);
            container.kill(SIGKILL).unwrap();
            container.wait().unwrap();
            let deleted = share_out(THREADS, |_| container.delete(false));
            assert_refused(deleted, ErrorKind::NotFound, THREADS - 1);
        }
    });
}

/// Enters the container until that has ended, and says how it was told so.
fn enter_until_it_ends(container: &Container) -> ErrorKind {
    loop {
        let process = exec_process(container, &["/bin/busybox", "true"]);
        match container.exec(process).stdio(Stdio::Null).spawn() {
            Ok(tenant) => drop(tenant.wait().unwrap()),
            Err(error) => return error.kind(),
        }
    }
}

#[test]
fn threads_that_enter_a_container_while_it_is_killed_are_told_that_it_has_stopped() {
    let Some(place) = Place::alone() else { return };
    leaves_the_process_as_it_was(&place, || {
        for _ in 0..3 {
            let spec = place.spec("entered", &PROGRAM);
            let container = place.builder("entered", spec).run().unwrap();
            let told = share_out(THREADS, |number| match number {
                0 => {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    container.kill(SIGKILL).unwrap();
                    ErrorKind::NotRunning
                }
                _ => enter_until_it_ends(&container),
            });
            assert!(
                told.iter().all(|kind| *kind == ErrorKind::NotRunning),
                "{told:?}"
            );
            container.wait().unwrap();
            container.delete(false).unwrap();
        }
    });
}
