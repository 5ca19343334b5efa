//! Which processes cannot be frozen: proc_pid_stat(5).

use std::fs;
use std::thread::sleep;
use std::time::Duration;

/// How long a process that was let go on may take to be out of the freezer.
const PAUSE: Duration = Duration::from_millis(50);

/// More than these are not named.
const MOST: usize = 5;

/// A thread that waits in the kernel, where no signal reaches it.
#[derive(Debug, PartialEq, Eq)]
struct Thread {
    pid: i32,
    name: String,
    /// The kernel's function, where it tells.
    place: String,
}

/// Those of the processes that are stuck, in words. They go on already: one that is frozen looks to others like one that
/// is stuck, as long as it is frozen.
pub(super) fn describe(pids: &[i32]) -> String {
    sleep(PAUSE);
    let stuck: Vec<Thread> = pids.iter().flat_map(|&pid| stuck_threads(pid)).collect();
    if stuck.is_empty() {
        return format!("none of its {} processes is stuck by now", pids.len());
    }
    let mut named: Vec<String> = stuck.iter().take(MOST).map(Thread::describe).collect();
    if stuck.len() > MOST {
        named.push(format!("and {} more", stuck.len() - MOST));
    }
    named.join(", ")
}

impl Thread {
    fn describe(&self) -> String {
        let Thread { pid, name, place } = self;
        let state = format!("process {pid} ({name}) is in state D, uninterruptible");
        match place.as_str() {
            "" | "0" => state,
            place => format!("{state}, in {place}"),
        }
    }
}

fn stuck_threads(pid: i32) -> Vec<Thread> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let threads = tasks.into_iter().flatten().flatten();
    let mut stuck: Vec<Thread> = threads
        .filter_map(|task| {
            let stat = fs::read_to_string(task.path().join("stat")).ok()?;
            let name = name_if_stuck(&stat)?.to_owned();
            let place = fs::read_to_string(task.path().join("wchan")).unwrap_or_default();
            Some(Thread { pid, name, place })
        })
        .collect();
    stuck.dedup();
    stuck
}

/// The name is in parentheses, and may have any in it.
fn name_if_stuck(stat: &str) -> Option<&str> {
    let (before, after) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    after.trim_start().starts_with('D').then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_uninterruptibly_is_stuck() {
        assert_eq!(name_if_stuck("7 (a) b) D 1 2"), Some("a) b"));
        assert_eq!(name_if_stuck("7 (D) S 1 2"), None);
        assert_eq!(name_if_stuck(""), None);
    }

    #[test]
    fn the_test_itself_is_not_stuck() {
        let own = std::process::id().cast_signed();
        assert_eq!(describe(&[own]), "none of its 1 processes is stuck by now");
    }

    #[test]
    fn a_stuck_process_is_named_with_the_place_if_the_kernel_tells() {
        let thread = |place: &str| Thread {
            pid: 7,
            name: "cat".to_owned(),
            place: place.to_owned(),
        };
        let text = thread("0").describe();
        assert_eq!(text, "process 7 (cat) is in state D, uninterruptible");
        assert!(
            thread("fuse_get_req")
                .describe()
                .ends_with(", in fuse_get_req")
        );
    }
}
