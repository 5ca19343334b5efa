//! `process`: who runs what, where.

use std::ffi::CString;

use oci_spec::runtime::Process;
use runtime_init::{Numbers, Step, Text, TextList};

use crate::annotations;
use crate::error::{Error, Result};
use crate::namespaces::{NEWTIME, NEWUSER, Namespaces};
use crate::plan::{Builder, Origin, Source, c_string, pointer, text_list};
use crate::{apparmor, exec_cpu_affinity, notify_socket, rootless, selinux};

/// Permissions of a container's session keyring (keyrings(7)): all to its possessors; to its user what the kernel gives,
/// view, read and link, and search, without which `exec` would not find it by its name.
const KEYRING: u32 = 0x3f1b_0000;

/// Why a container without a `process` cannot be started.
pub(crate) const NONE: &str = "the configuration has no process to start";

/// Shuts the new process off from its maker: no ptrace, a session and a keyring of its own, a procfs that no mount of
/// the container reaches.
pub(crate) fn isolate(plan: &mut Builder<'_>, process: Option<&Process>) -> Result<()> {
    let origin = || Origin::Default("isolation of the init");
    plan.step(origin(), &Step::Undumpable);
    plan.step(origin(), &Step::NewSession);
    exec_cpu_affinity::check(process)?;
    if plan.arrival.cgroups.is_none() {
        exec_cpu_affinity::reset(plan);
    }
    let own_score = own_oom_score_adj(plan, process)?;
    if needs_proc(plan)? || label_needs_proc(plan, process)? || own_score.is_some() {
        plan.step(origin(), &Step::OpenProc);
    }
    new_keyring(plan, process, KEYRING)?;
    match (own_score, process) {
        (Some(value), _) => write_oom_score_adj(plan, value),
        (None, Some(process)) => oom_score_adj(plan, process),
        (None, None) => {}
    }
    Ok(())
}

/// `oomScoreAdj` where the init, as root of the host, may set it as well as the runtime, which so need not be waited for.
fn own_oom_score_adj(plan: &Builder<'_>, process: Option<&Process>) -> Result<Option<i32>> {
    let is_root = !plan.facts.is_unprivileged() && !Namespaces::of(plan)?.has(NEWUSER);
    let value = process.and_then(Process::oom_score_adj);
    Ok(value.filter(|_| is_root))
}

/// What a process that joins a container needs of the host's procfs is opened before it joins: the container's own may be
/// covered, and a private one may not be made in a user namespace.
pub(crate) fn open_proc_of_tenant(plan: &mut Builder<'_>, process: &Process) -> Result<()> {
    if label_needs_proc(plan, Some(process))? {
        plan.step(Origin::Default("labels of the process"), &Step::OpenProc);
    }
    Ok(())
}

/// Shuts off a process that joins a container; it is undumpable already. The keyring is the container's.
pub(crate) fn isolate_tenant(plan: &mut Builder<'_>, process: &Process) -> Result<()> {
    exec_cpu_affinity::set_final(plan, process)?;
    new_keyring(plan, Some(process), 0)?;
    oom_score_adj(plan, process);
    Ok(())
}

/// A session of its own for a process that has joined a container.
pub(crate) fn new_session(plan: &mut Builder<'_>) {
    plan.step(
        Origin::Default("isolation of the process"),
        &Step::NewSession,
    );
}

/// A session keyring of the container's name: the one there is, if the process may search it, or a new one.
fn new_keyring(plan: &mut Builder<'_>, process: Option<&Process>, permissions: u32) -> Result<()> {
    if plan.options.no_new_keyring {
        return Ok(());
    }
    let name = c_string("", format!("_ses.{}", plan.options.id))?;
    selinux::with_key_label(plan, process, |plan| {
        plan.step(
            Origin::Default("isolation of the init"),
            &Step::NewKeyring {
                name: Text(&name),
                permissions,
            },
        );
        Ok(())
    })
}

/// Why the kernel refused the step, where its errno says too little.
pub(crate) fn remedy(step: &Step<'_>, errno: i32) -> Option<&'static str> {
    match (step, errno) {
        // keyrings(7). Containers whose user namespaces have the same ids share the quota of whoever is root in them.
        (Step::NewKeyring { .. }, libc::EDQUOT) => Some(
            "its user has as many keys as the sysctls kernel.keys.maxkeys and kernel.keys.maxbytes let one have: raise \
             them, or leave the keyring out with --no-new-keyring",
        ),
        (Step::JoinCgroups { .. }, libc::ENODEV) => {
            Some("somebody else removed one of them, which was empty, since it was made")
        }
        _ => None,
    }
}

fn label_needs_proc(plan: &Builder<'_>, process: Option<&Process>) -> Result<bool> {
    let Some(process) = process else {
        return Ok(false);
    };
    Ok(apparmor::needs_proc(plan, process)? || selinux::needs_proc(plan, process)?)
}

fn needs_proc(plan: &Builder<'_>) -> Result<bool> {
    let sysctl = plan
        .linux()
        .and_then(|linux| linux.sysctl().as_ref())
        .is_some_and(|list| !list.is_empty());
    Ok(sysctl || Namespaces::of(plan)?.new & NEWTIME != 0)
}

/// `oomScoreAdj` where the caller is not root. The process writes it itself, while its own files are still its own: later
/// they are those of the user namespace's root, who may be another user than the caller.
pub(crate) fn set_oom_score_adj(plan: &mut Builder<'_>, process: Option<&Process>) {
    let value = process.and_then(Process::oom_score_adj);
    let Some(value) = value.filter(|_| plan.facts.is_unprivileged()) else {
        return;
    };
    plan.step(pointer("/process/oomScoreAdj"), &Step::OpenProc);
    write_oom_score_adj(plan, value);
}

fn write_oom_score_adj(plan: &mut Builder<'_>, value: i32) {
    // A number has no NUL.
    let value = CString::new(value.to_string()).unwrap_or_default();
    plan.step(
        pointer("/process/oomScoreAdj"),
        &Step::WriteProc {
            path: Text(c"self/oom_score_adj"),
            value: Text(&value),
        },
    );
}

/// `oomScoreAdj`, which the caller writes.
fn oom_score_adj(plan: &mut Builder<'_>, process: &Process) {
    if plan.facts.is_unprivileged() {
        return;
    }
    plan.plan.oom_score_adj = process
        .oom_score_adj()
        .map(|value| (pointer("/process/oomScoreAdj"), value));
}

/// `cwd` may be missing in the image: it is made, as runc does.
pub(crate) fn make_working_directory(plan: &mut Builder<'_>, process: &Process) -> Result<()> {
    let path = working_directory(process)?;
    if path.as_bytes() != b"/" {
        plan.step(
            pointer("/process/cwd"),
            &Step::MakeDirectory {
                path: Text(&path),
                mode: 0o755,
            },
        );
    }
    Ok(())
}

/// Changes to `cwd`.
pub(crate) fn change_directory(plan: &mut Builder<'_>, process: &Process) -> Result<()> {
    let path = working_directory(process)?;
    plan.step(
        pointer("/process/cwd"),
        &Step::ChangeDirectory { path: Text(&path) },
    );
    Ok(())
}

fn working_directory(process: &Process) -> Result<CString> {
    let path = process.cwd();
    if !path.is_absolute() {
        return Err(Error::config(
            "/process/cwd",
            format!("Cwd must be an absolute path: {:?}", path.display()),
        ));
    }
    c_string("/process/cwd", path.as_os_str().as_encoded_bytes())
}

/// The user's arguments and environment, with which the init itself is started.
pub(crate) fn arguments(plan: &mut Builder<'_>, process: &Process) -> Result<()> {
    let arguments = process.args().as_deref().unwrap_or_default();
    match arguments.first() {
        None => {
            let problem = "args must not be empty: there is no program to run";
            return Err(Error::config("/process/args", problem));
        }
        // No directory of PATH has it; said as of any other that is not there, for who looks for that.
        Some(name) if name.is_empty() => {
            let problem = r#"exec: "": executable file not found in $PATH"#;
            return Err(Error::config("/process/args", problem));
        }
        Some(_) => {}
    }
    let listed = arguments
        .iter()
        .enumerate()
        .map(|(n, text)| c_string(&format!("/process/args/{n}"), text.as_str()));
    plan.plan.arguments = listed.collect::<Result<_>>()?;
    let given = process.env().as_deref().unwrap_or_default();
    let mut extra = plan.options.extra_environment.clone();
    extra.extend(notify_socket::variable(plan));
    plan.plan.environment = environment(given, "/process/env", &extra)?;
    if let Some(home) = &plan.options.home {
        let environment = &mut plan.plan.environment;
        environment.retain(|variable| variable.as_bytes() != b"HOME=");
        if !environment
            .iter()
            .any(|variable| variable.as_bytes().starts_with(b"HOME="))
        {
            environment.push(c_string("", format!("HOME={home}"))?);
        }
    }
    Ok(())
}

/// The environment as execve(2) takes it; of variables of one name the last one counts.
pub(crate) fn environment(given: &[String], list: &str, extra: &[String]) -> Result<Vec<CString>> {
    let mut environment: Vec<CString> = Vec::with_capacity(given.len() + extra.len());
    for (number, variable) in given.iter().chain(extra).enumerate() {
        let pointer = || format!("{list}/{number}");
        let Some((name, _)) = variable.split_once('=') else {
            return Err(Error::config(
                pointer(),
                format!("{variable:?} is not NAME=value"),
            ));
        };
        if name.is_empty() {
            return Err(Error::config(
                pointer(),
                format!("{variable:?}: name cannot be empty"),
            ));
        }
        let same_name = |earlier: &CString| {
            let rest = earlier.as_bytes().strip_prefix(name.as_bytes());
            rest.is_some_and(|rest| rest.starts_with(b"="))
        };
        let text = CString::new(variable.as_str())
            .map_err(|_| Error::config(pointer(), "a NUL byte in a string"))?;
        match environment.iter_mut().find(|earlier| same_name(earlier)) {
            Some(earlier) => *earlier = text,
            None => environment.push(text),
        }
    }
    Ok(environment)
}

/// Sets the umask, 0022 where none is given.
pub(crate) fn umask(plan: &mut Builder<'_>, process: &Process) -> Result<()> {
    let (origin, mask) = match process.user().umask() {
        Some(mask) => (pointer("/process/user/umask"), mask),
        None => (Origin::Default("umask"), 0o022),
    };
    if mask > 0o777 {
        let problem = format!("{mask:#o} has more than permission bits (0777)");
        return Err(Error::config("/process/user/umask", problem));
    }
    plan.step(origin, &Step::SetUmask { mask });
    Ok(())
}

/// Changes the user. In a user namespace whose maker may not call setgroups(2) the groups stay, and where an annotation
/// says so.
pub(crate) fn user(plan: &mut Builder<'_>, process: &Process) -> Result<()> {
    let user = process.user();
    check_id("/process/user/uid", user.uid())?;
    check_id("/process/user/gid", user.gid())?;
    let groups = user.additional_gids().as_deref().unwrap_or_default();
    for (number, gid) in groups.iter().enumerate() {
        check_id(&format!("/process/user/additionalGids/{number}"), *gid)?;
    }
    let groups: Vec<u8> = groups.iter().flat_map(|gid| gid.to_ne_bytes()).collect();
    let may_be_denied = plan.facts.is_unprivileged() || plan.facts.denies_setgroups;
    let denied = may_be_denied && groups.is_empty();
    let kept = annotations::is_set(plan.spec, annotations::KEEP_ORIGINAL_GROUPS);
    if !groups.is_empty() && !kept {
        rootless::check_groups(plan)?;
    }
    let groups = (!denied && !kept).then(|| Numbers::new(&groups));
    let step = Step::SetUser {
        uid: user.uid(),
        gid: user.gid(),
        groups,
    };
    plan.step(pointer("/process/user"), &step);
    Ok(())
}

/// The kernel takes -1 for "as it is" wherever it takes an id: nobody may have it, least of all root's in its place.
pub(crate) fn check_id(pointer: &str, id: u32) -> Result<()> {
    if id == u32::MAX {
        return Err(Error::config(
            pointer,
            format!("{id} is no id: the kernel takes it for -1"),
        ));
    }
    Ok(())
}

/// Looks the program up: as given where it has a slash, otherwise in the directories of the container's PATH.
pub(crate) fn find_program(plan: &mut Builder<'_>, process: &Process) -> Result<()> {
    let name = process
        .args()
        .as_deref()
        .and_then(<[String]>::first)
        .map(String::as_str)
        .unwrap_or_default();
    let candidates: Vec<CString> = if name.contains('/') {
        vec![c_string("/process/args/0", name)?]
    } else {
        search_path(plan)
            .map(|directory| {
                if directory.is_empty() {
                    format!("./{name}")
                } else {
                    format!("{directory}/{name}")
                }
            })
            .map(|path| c_string("/process/args/0", path))
            .collect::<Result<_>>()?
    };
    let list = text_list(candidates.iter().map(CString::as_c_str));
    plan.step(
        pointer("/process/args/0"),
        &Step::FindProgram {
            candidates: TextList::new(&list),
        },
    );
    Ok(())
}

fn search_path<'p>(plan: &'p Builder<'_>) -> impl Iterator<Item = &'p str> {
    let variable = plan
        .plan
        .environment
        .iter()
        .find_map(|variable| variable.to_str().ok()?.strip_prefix("PATH="));
    variable
        .into_iter()
        .flat_map(|directories| directories.split(':'))
}

/// `create` leaves the container waiting for `start`; `run` goes on at once.
pub(crate) fn await_start(plan: &mut Builder<'_>) -> Result<()> {
    if plan.options.start_at_once {
        return Ok(());
    }
    let listener = plan.slot(Origin::Default("start"), Source::StartListener)?;
    plan.step(Origin::Default("start"), &Step::AwaitStart { listener });
    Ok(())
}

/// Whether the container is in a user namespace that is not the runtime's.
pub(crate) fn in_user_namespace(plan: &Builder<'_>) -> Result<bool> {
    Ok(Namespaces::of(plan)?.has(NEWUSER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_variables_of_one_name_the_last_one_counts() {
        let given = ["A=1", "AB=2", "A=3"].map(String::from);
        let list = environment(&given, "/process/env", &["AB=4".to_owned()]).unwrap();
        assert_eq!(list, [c"A=3".to_owned(), c"AB=4".to_owned()]);
    }

    #[test]
    fn a_variable_without_a_value_is_refused_by_its_pointer() {
        let error =
            environment(&["A=1".to_owned(), "B".to_owned()], "/process/env", &[]).unwrap_err();
        assert_eq!(error.origin(), Some("/process/env/1"));
    }

    #[test]
    fn a_keyring_that_is_one_too_many_is_told_with_the_limit() {
        let name = c"_ses.web";
        let step = Step::NewKeyring {
            name: Text(name),
            permissions: 0,
        };
        let told = remedy(&step, libc::EDQUOT).unwrap_or_default();
        assert!(told.contains("kernel.keys.maxkeys"), "{told}");
        assert_eq!(remedy(&step, libc::ENOMEM), None);
    }

    #[test]
    fn a_cgroup_that_is_gone_before_it_is_joined_is_told_to_have_been_removed() {
        let step = Step::JoinCgroups { count: 9 };
        let told = remedy(&step, libc::ENODEV).unwrap_or_default();
        assert!(told.contains("removed one of them"), "{told}");
    }
}
