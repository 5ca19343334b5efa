//! The process itself: user, capabilities, working directory, program.

use core::ffi::CStr;

use runtime_init::{Fault, Numbers, Operation, TextList};
use rustix::fs::{
    Access, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, accessat, openat2, statat,
};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_keep_capabilities};

use crate::control::fault;
use crate::{During, Outcome, sys};

pub(crate) fn set_umask(mask: u32) -> Outcome {
    rustix::process::umask(Mode::from_bits_truncate(mask));
    Ok(())
}

pub(crate) fn reset_cpu_affinity() -> Outcome {
    sys::reset_cpu_affinity();
    Ok(())
}

pub(crate) fn set_hostname(name: &CStr) -> Outcome {
    rustix::system::sethostname(name.to_bytes()).during(Operation::Whole)
}

pub(crate) fn set_domainname(name: &CStr) -> Outcome {
    rustix::system::setdomainname(name.to_bytes()).during(Operation::Whole)
}

pub(crate) fn set_ids(uid: u32, gid: u32) -> Outcome {
    sys::set_gid(gid).during(Operation::SetGid)?;
    sys::set_uid(uid).during(Operation::SetUid)
}

/// Changes the user with the permitted capabilities kept, and made effective again: what follows may need them, and
/// [`set_capabilities`] has the last word.
pub(crate) fn set_user(uid: u32, gid: u32, groups: Option<Numbers<'_>>) -> Outcome {
    if let Some(groups) = groups {
        sys::set_groups(groups).during(Operation::SetGroups)?;
    }
    set_keep_capabilities(true).during(Operation::SetUid)?;
    set_ids(uid, gid)?;
    set_keep_capabilities(false).during(Operation::SetUid)?;
    // The change has made this what the sysctl fs.suid_dumpable says, which may be anything.
    sys::set_dumpable(false).during(Operation::SetUid)?;
    let mut sets = capabilities(None).during(Operation::SetUid)?;
    if sets.effective != sets.permitted {
        sets.effective = sets.permitted;
        rustix::thread::set_capabilities(None, sets).during(Operation::SetUid)?;
    }
    Ok(())
}

pub(crate) fn set_limit(resource: u32, soft: u64, hard: u64, raise: bool) -> Outcome {
    let [old_soft, old_hard] = match raise {
        true => sys::limit(resource).during(Operation::Whole)?,
        false => [0; 2],
    };
    sys::set_limit(resource, soft.max(old_soft), hard.max(old_hard)).during(Operation::Whole)
}

/// Drops all that the kernel knows, which is at least up to `last`.
pub(crate) fn limit_bounding_set(keep: u64, last: u32) -> Outcome {
    for capability in (0..64).filter(|number| keep & (1 << number) == 0) {
        match sys::drop_bounding(capability) {
            Err(Errno::INVAL) if capability > last => break,
            answer => answer.during(Operation::Whole)?,
        }
    }
    Ok(())
}

pub(crate) fn set_capabilities(
    [effective, permitted, inheritable]: [u64; 3],
    ambient: u64,
) -> Outcome {
    let sets = CapabilitySets {
        effective: CapabilitySet::from_bits_retain(effective),
        permitted: CapabilitySet::from_bits_retain(permitted),
        inheritable: CapabilitySet::from_bits_retain(inheritable),
    };
    rustix::thread::set_capabilities(None, sets).during(Operation::Whole)?;
    rustix::thread::clear_ambient_capability_set().during(Operation::Whole)?;
    for capability in 0..64 {
        if ambient & (1 << capability) != 0 {
            sys::raise_ambient(capability).during(Operation::Whole)?;
        }
    }
    Ok(())
}

/// Changes directory, and refuses one outside of the root: such a one has no path that begins with `/` (getcwd(2)). No
/// descriptor of the init's is a way there to begin with; where RLIMIT_NOFILE leaves one to look with.
pub(crate) fn change_directory(path: &CStr) -> Outcome {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let found = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS);
    let changed = match found {
        Err(Errno::MFILE) => rustix::process::chdir(path),
        directory => directory.and_then(rustix::process::fchdir),
    };
    changed.during(Operation::ChangeDirectory)?;
    match sys::working_directory_is_inside().during(Operation::CheckDirectory)? {
        true => Ok(()),
        false => Err(fault(Operation::CheckDirectory, Errno::NOENT)),
    }
}

/// The first candidate that is an executable file. Of a single one the errno says what is wrong with it; of several, that
/// none is there.
pub(crate) fn find_program(candidates: TextList<'static>) -> Result<&'static CStr, Fault> {
    let mut errno = Errno::NOENT;
    let mut tried = 0u32;
    for candidate in candidates.iter() {
        match check_executable(candidate) {
            Ok(()) => return Ok(candidate),
            Err(reason) => errno = reason,
        }
        tried = tried.wrapping_add(1);
    }
    let errno = if tried == 1 { errno } else { Errno::NOENT };
    Err(fault(Operation::Whole, errno))
}

fn check_executable(path: &CStr) -> Result<(), Errno> {
    let status = statat(CWD, path, AtFlags::empty())?;
    if FileType::from_raw_mode(status.st_mode).is_dir() {
        return Err(Errno::ISDIR);
    }
    accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}
