//! Says of a failure that it was a limit of the container's own: memory or processes.
//!
//! The kernel does not say so itself. A process that it kills for want of memory is gone without a word, and a refused
//! clone(2) is EAGAIN whatever the reason. But it counts, in the cgroup, what it killed and refused.

use std::thread::sleep;
use std::time::{Duration, Instant};

use oci_spec::runtime::{LinuxResources, Spec};

use crate::cgroup::Cgroup;
use crate::error::Error;

const MEMORY: (&str, &str) = ("/linux/resources/memory/limit", "memory.max");
const PIDS: (&str, &str) = ("/linux/resources/pids/limit", "pids.max");

/// What engines look for and show.
const OOM: &str = "container init was OOM-killed (memory limit too low?)";

/// How long a process that ends may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// PF_EXITING of linux/sched.h: among a process's flags in proc_pid_stat(5).
const EXITING: u32 = 4;

/// A cgroup before something was started in it.
#[derive(Debug, Default)]
pub(crate) struct Before {
    oom_kills: u64,
    /// In all of the slice that its unit is in.
    in_slice: u64,
}

impl Before {
    /// As it is now.
    pub(crate) fn of(cgroup: Option<&Cgroup>) -> Before {
        Before {
            oom_kills: oom_kills(cgroup),
            ..Before::of_new(cgroup)
        }
    }

    /// One in which nothing was started yet.
    pub(crate) fn of_new(cgroup: Option<&Cgroup>) -> Before {
        Before {
            oom_kills: 0,
            in_slice: oom_kills_in_slice(cgroup),
        }
    }

    /// Whether something was killed since then. Of a unit that is gone, its slice may have counted another unit's.
    fn has_killed(&self, cgroup: Option<&Cgroup>) -> bool {
        let is_gone = || cgroup.is_some_and(|cgroup| !cgroup.exists().unwrap_or(true));
        oom_kills(cgroup) > self.oom_kills
            || (oom_kills_in_slice(cgroup) > self.in_slice && is_gone())
    }

    /// The error of a container that came to nothing, with the limit that it ran into if it was one.
    pub(crate) fn explain(&self, cgroup: Option<&Cgroup>, spec: &Spec, error: Error) -> Error {
        self.cause(cgroup, spec, &error, OOM).unwrap_or(error)
    }

    /// The same of a further process. Another process of the container may be the one that was killed.
    pub(crate) fn explain_exec(&self, cgroup: Option<&Cgroup>, spec: &Spec, error: Error) -> Error {
        let phrase = "process was possibly OOM-killed (memory limit too low?)";
        self.cause(cgroup, spec, &error, phrase).unwrap_or(error)
    }

    fn cause(
        &self,
        cgroup: Option<&Cgroup>,
        spec: &Spec,
        error: &Error,
        oom: &str,
    ) -> Option<Error> {
        let resources = spec.linux().as_ref()?.resources().as_ref();
        if self.has_killed(cgroup) {
            return Some(blame(error, oom, "bytes", limit(resources, MEMORY)));
        }
        let was_short = || cgroup?.was_short_of_memory().ok();
        if error.errno().is_some_and(is_for_want_of_memory) && was_short() == Some(true) {
            return Some(blame(error, oom, "bytes", limit(resources, MEMORY)));
        }
        let is_full = || cgroup?.has_no_room_for_processes().ok();
        if error.errno() == Some(libc::EAGAIN) && is_full() == Some(true) {
            let problem = "no further process may be in the container (pids limit too low?)";
            return Some(blame(error, problem, "processes", limit(resources, PIDS)));
        }
        None
    }
}

/// What system calls say whose memory the cgroup did not give. A child that shares the memory of its maker, who waits for it, is
/// not killed (mm/oom_kill.c, `in_vfork`), and so it is with an init that is born in the cgroup until its exec, which
/// fails, with E2BIG when it was for its arguments.
fn is_for_want_of_memory(errno: i32) -> bool {
    matches!(errno, libc::ENOMEM | libc::E2BIG | libc::EFAULT)
}

fn oom_kills(cgroup: Option<&Cgroup>) -> u64 {
    let kills = cgroup.and_then(|cgroup| cgroup.oom_kills().ok().flatten());
    kills.unwrap_or_default()
}

fn oom_kills_in_slice(cgroup: Option<&Cgroup>) -> u64 {
    let kills = cgroup.and_then(|cgroup| cgroup.oom_kills_in_slice().ok().flatten());
    kills.unwrap_or_default()
}

/// The limit that the configuration sets: its JSON pointer and its value.
fn limit(
    resources: Option<&LinuxResources>,
    (pointer, file): (&str, &str),
) -> Option<(String, String)> {
    let resources = resources?;
    let unified = resources.unified().as_ref().and_then(|all| all.get(file));
    if let Some(value) = unified {
        return Some((format!("/linux/resources/unified/{file}"), value.clone()));
    }
    let value = match file {
        "memory.max" => resources.memory().as_ref()?.limit()?,
        _ => resources.pids().as_ref()?.limit(),
    };
    (value >= 0).then(|| (pointer.to_owned(), value.to_string()))
}

fn blame(error: &Error, problem: &str, unit: &str, limit: Option<(String, String)>) -> Error {
    let (pointer, limit) = match limit {
        Some((pointer, value)) => (Some(pointer), format!("the limit is {value} {unit}")),
        None => (
            None,
            "the limit is one above the container's cgroup".to_owned(),
        ),
    };
    let message = match error.is_silent_end() {
        true => format!("{problem}: {limit}"),
        false => format!("{problem}: {limit}: {error}"),
    };
    let blamed = Error::new(error.kind(), message);
    match pointer {
        Some(pointer) => blamed.at(pointer),
        None => blamed,
    }
}

/// Whether a process that was thought to execute its program now was killed while it was still the init. Then nobody closed
/// the control socket but its death.
///
/// Who has been waited for already is not known any more, and taken for well.
pub(crate) fn died_as_init(pid: i32) -> Option<Error> {
    let name = || std::fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    // The kernel closes the socket a moment before it gives an executed program its name.
    if !is_init(name()?.trim_end()) {
        return None;
    }
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let stat = procfs::process::Process::new(pid).and_then(|process| process.stat());
        let stat = stat.ok()?;
        if stat.state == 'Z' {
            let is_killed = stat.exit_code.is_some_and(|status| {
                libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL
            });
            let died = is_init(&stat.comm) && is_killed;
            return died.then(Error::ended_silently);
        }
        if stat.flags & EXITING == 0 {
            return None;
        }
        sleep(Duration::from_millis(1));
    }
    None
}

/// Whether the process has not executed the user's program yet, nor ended.
pub(crate) fn runs_init(pid: i32) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
    name.is_ok_and(|name| is_init(name.trim_end()))
}

/// The init's name as the kernel makes it of a program without a path: since Linux 6.14 that of the memfd, before that the
/// number of its descriptor.
pub(crate) fn is_init(name: &str) -> bool {
    let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let init = runtime_init::INIT_NAME.to_str().unwrap_or_default();
    is_number || name == init || name.starts_with("memfd:bareboat")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn spec(resources: &str) -> Spec {
        let text = format!(r#"{{"ociVersion":"1.3.0","linux":{{"resources":{resources}}}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn limit_of(text: &str, which: (&str, &str)) -> Option<(String, String)> {
        let spec = spec(text);
        limit(spec.linux().as_ref().unwrap().resources().as_ref(), which)
    }

    #[test]
    fn the_limit_is_named_by_what_set_it() {
        let (pointer, value) = limit_of(r#"{"memory":{"limit":4096}}"#, MEMORY).unwrap();
        assert_eq!(
            (pointer.as_str(), value.as_str()),
            ("/linux/resources/memory/limit", "4096")
        );
        let (pointer, value) = limit_of(r#"{"unified":{"pids.max":"2"}}"#, PIDS).unwrap();
        assert_eq!(
            (pointer.as_str(), value.as_str()),
            ("/linux/resources/unified/pids.max", "2")
        );
        assert_eq!(limit_of(r#"{"memory":{"limit":-1}}"#, MEMORY), None);
        assert_eq!(limit_of("{}", PIDS), None);
    }

    #[test]
    fn the_error_has_the_phrase_the_pointer_and_the_value_and_keeps_its_kind() {
        let limit = Some((MEMORY.0.to_owned(), "4096".to_owned()));
        let silent = Error::ended_silently();
        let error = blame(&silent, OOM, "bytes", limit.clone());
        assert_eq!(
            error.to_string(),
            "/linux/resources/memory/limit: container init was OOM-killed (memory limit too low?): the limit is 4096 bytes"
        );
        let hook = Error::new(ErrorKind::Hook, "hook /h: signal: 9 (SIGKILL)");
        let error = blame(&hook, OOM, "bytes", limit);
        assert_eq!(error.kind(), ErrorKind::Hook);
        assert!(error.to_string().ends_with("hook /h: signal: 9 (SIGKILL)"));
        let error = blame(&silent, OOM, "bytes", None);
        assert!(error.origin().is_none() && error.to_string().contains("above"));
    }

    #[test]
    fn a_process_is_the_init_by_its_name() {
        for name in ["bareboat-init", "memfd:bareboat-", "7"] {
            assert!(is_init(name), "{name}");
        }
        for name in ["sleep", "", "7zip"] {
            assert!(!is_init(name), "{name}");
        }
    }
}
