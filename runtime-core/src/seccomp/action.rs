//! Actions of a profile as return values of a filter (seccomp(2), "Return values").

use oci_spec::runtime::LinuxSeccompAction;

use super::SeccompError;

/// The actions of a profile, by name.
pub(crate) const ACTIONS: [LinuxSeccompAction; 9] = [
    LinuxSeccompAction::ScmpActAllow,
    LinuxSeccompAction::ScmpActErrno,
    LinuxSeccompAction::ScmpActKill,
    LinuxSeccompAction::ScmpActKillProcess,
    LinuxSeccompAction::ScmpActKillThread,
    LinuxSeccompAction::ScmpActLog,
    LinuxSeccompAction::ScmpActNotify,
    LinuxSeccompAction::ScmpActTrace,
    LinuxSeccompAction::ScmpActTrap,
];

/// SECCOMP_RET_KILL_THREAD: also what a call of an ABI that the profile does not list gets.
pub(super) const KILL_THREAD: u32 = 0;
/// SECCOMP_RET_ERRNO with ENOSYS.
pub(super) const ENOSYS: u32 = RET_ERRNO | 38;

const RET_KILL_PROCESS: u32 = 0x8000_0000;
const RET_TRAP: u32 = 0x0003_0000;
const RET_ERRNO: u32 = 0x0005_0000;
const RET_USER_NOTIF: u32 = 0x7fc0_0000;
const RET_TRACE: u32 = 0x7ff0_0000;
pub(super) const RET_LOG: u32 = 0x7ffc_0000;
pub(super) const RET_ALLOW: u32 = 0x7fff_0000;

/// The default of errnoRet.
const EPERM: u32 = 1;
/// The kernel's MAX_ERRNO: a filter's larger value would be cut to it silently.
const MAX_ERRNO: u32 = 4095;
/// A tracer gets 16 bits (PTRACE_GETEVENTMSG).
const MAX_TRACE_MESSAGE: u32 = 0xffff;

/// The return value for an action; `pointer` is where config.json gives its errnoRet.
///
/// # Errors
/// An errnoRet that is too large, or one with an action that has none: the specification wants an error.
pub(super) fn return_value(
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    pointer: impl FnOnce() -> String,
) -> Result<u32, SeccompError> {
    let limit = match action {
        LinuxSeccompAction::ScmpActErrno => MAX_ERRNO,
        LinuxSeccompAction::ScmpActTrace => MAX_TRACE_MESSAGE,
        _ if errno_ret.is_some() => {
            return Err(SeccompError::new(
                pointer(),
                format!("action {action} takes no errno"),
            ));
        }
        _ => 0,
    };
    let data = errno_ret.unwrap_or(EPERM);
    if errno_ret.is_some() && data > limit {
        return Err(SeccompError::new(
            pointer(),
            format!("{data} is out of range: at most {limit} with {action}"),
        ));
    }
    Ok(match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => KILL_THREAD,
        LinuxSeccompAction::ScmpActKillProcess => RET_KILL_PROCESS,
        LinuxSeccompAction::ScmpActTrap => RET_TRAP,
        LinuxSeccompAction::ScmpActErrno => RET_ERRNO | data,
        LinuxSeccompAction::ScmpActTrace => RET_TRACE | data,
        LinuxSeccompAction::ScmpActNotify => RET_USER_NOTIF,
        LinuxSeccompAction::ScmpActLog => RET_LOG,
        LinuxSeccompAction::ScmpActAllow => RET_ALLOW,
    })
}

/// Whether a call that the profile does not know still runs, so that the kernel itself answers ENOSYS.
pub(super) fn lets_the_call_run(action: LinuxSeccompAction) -> bool {
    // A tracer can answer unknown calls by itself.
    matches!(
        action,
        LinuxSeccompAction::ScmpActAllow
            | LinuxSeccompAction::ScmpActLog
            | LinuxSeccompAction::ScmpActTrace
    )
}

#[cfg(test)]
mod tests {
    use LinuxSeccompAction::*;

    use super::*;

    fn value(action: LinuxSeccompAction, errno_ret: Option<u32>) -> Result<u32, SeccompError> {
        return_value(action, errno_ret, || "/here".into())
    }

    #[test]
    fn every_action_has_the_kernels_value() {
        for (action, expected) in [
            (ScmpActKill, libc::SECCOMP_RET_KILL_THREAD),
            (ScmpActKillThread, libc::SECCOMP_RET_KILL_THREAD),
            (ScmpActKillProcess, libc::SECCOMP_RET_KILL_PROCESS),
            (ScmpActTrap, libc::SECCOMP_RET_TRAP),
            (ScmpActErrno, libc::SECCOMP_RET_ERRNO | 1),
            (ScmpActTrace, libc::SECCOMP_RET_TRACE | 1),
            (ScmpActNotify, 0x7fc0_0000),
            (ScmpActLog, libc::SECCOMP_RET_LOG),
            (ScmpActAllow, libc::SECCOMP_RET_ALLOW),
        ] {
            assert_eq!(value(action, None), Ok(expected), "{action}");
        }
    }

    #[test]
    fn errno_ret_reaches_errno_and_trace_alone() {
        assert_eq!(value(ScmpActErrno, Some(38)), Ok(ENOSYS));
        assert_eq!(value(ScmpActErrno, Some(0)), Ok(0x0005_0000));
        assert_eq!(value(ScmpActTrace, Some(0xffff)), Ok(0x7ff0_ffff));
        for (action, errno) in [
            (ScmpActErrno, 4096),
            (ScmpActTrace, 0x1_0000),
            (ScmpActAllow, 1),
        ] {
            let error = value(action, Some(errno)).unwrap_err();
            assert_eq!(error.pointer(), "/here");
        }
    }
}
