//! `bareboat exec`

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use runtime_core::oci_spec::runtime::{
    Capabilities, Capability, LinuxCapabilities, Process, Spec, User,
};
use runtime_core::{Container, ExecBuilder, TenantProcess, Timings};
use serde_json::Value;

use super::launch::{check_terminal, given};
use super::sub_cgroup;
use super::user::parse_user;
use crate::cli::{Globals, parse_boolean};
use crate::failure::{Failure, Result};
use crate::foreground::{self, Foreground};
use crate::terminal::{HostConsole, Terminal};
use crate::timings::{TimingsFile, during, while_program_runs};

/// The exit code when the process did not come to run, to be told from its own.
pub(crate) const FAILED: u8 = 255;

/// Arguments of `exec`.
#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// Name of the container, then the command with its arguments
    #[arg(value_names = ["CONTAINER", "COMMAND"], required = true, num_args = 1.., trailing_var_arg = true)]
    operands: Vec<String>,
    /// Unix socket that receives the master of the process's pseudoterminal
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// Unix socket that receives a descriptor of the executed process, a pidfd
    #[arg(long, value_name = "SOCKET")]
    pidfd_socket: Option<PathBuf>,
    /// Working directory in the container
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Set an environment variable
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// Allocate a pseudoterminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// User and group of the process
    #[arg(short, long, value_name = "UID[:GID]")]
    user: Option<String>,
    /// Additional group of the process
    #[arg(short = 'g', long = "additional-gids", value_name = "GID")]
    additional_gids: Vec<i64>,
    /// File with the process as JSON, as in config.json, in place of the command and its options
    #[arg(short, long, value_name = "FILE")]
    process: Option<PathBuf>,
    /// Return when the process runs
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// File to write the pid of the process to
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// SELinux label of the process
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,
    /// AppArmor profile of the process
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,
    /// Whether the process and its children are kept from gaining privileges
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = parse_boolean)]
    no_new_privs: Option<bool>,
    /// Add a capability
    #[arg(short, long, value_name = "CAPABILITY")]
    cap: Vec<String>,
    /// Pass N descriptors to the process after its standard streams
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(crate) preserve_fds: u32,
    /// Run the process in a cgroup below the container's own, which is there
    #[arg(long, value_name = "[CONTROLLER,…:]PATH")]
    cgroup: Vec<String>,
    /// Allow a paused container; the process runs when it is resumed
    #[arg(long)]
    ignore_paused: bool,
    #[command(flatten)]
    timings: TimingsFile,
}

impl Exec {
    pub(crate) fn execute(self, globals: &Globals) -> Result<u8> {
        self.timings
            .record(|timings| self.exec(globals, timings))
            .map_err(|failure| failure.with_code(FAILED))
    }

    pub(crate) fn container(&self) -> &str {
        split_operands(&self.operands).0
    }

    pub(crate) fn command(&self) -> &[String] {
        split_operands(&self.operands).1
    }

    fn exec(&self, globals: &Globals, timings: Option<&Timings>) -> Result<u8> {
        let load = || super::load(globals, self.container());
        let container = during(timings, "load the container", load)?;
        let read = || configured_process(&container);
        let configured = during(timings, "read its configuration", read);
        let given_process = given(self.process.as_deref())
            .map(read_process)
            .transpose()?;
        let (spec, configured) = configured?;
        let mut process = match given_process {
            Some(process) => completed(process, configured),
            None => self.adapt(configured)?,
        };
        let terminal = process.terminal().unwrap_or(false);
        check_terminal(
            terminal,
            self.detach,
            given(self.console_socket.as_deref()).is_some(),
        )?;
        if self.detach {
            self.builder(&container, spec, process, timings)?.spawn()?;
            return Ok(0);
        }
        let host_console = terminal.then(HostConsole::find).flatten();
        // The program may ask for the size before the first resize.
        if let Some(size) = host_console.as_ref().and_then(HostConsole::size) {
            process.set_console_size(Some(size));
        }
        let builder = self.builder(&container, spec, process, timings)?;
        exec_in_foreground(builder, host_console, timings)
    }

    fn builder<'a>(
        &self,
        container: &'a Container,
        spec: Spec,
        process: Process,
        timings: Option<&Timings>,
    ) -> Result<ExecBuilder<'a>> {
        let mut builder = container
            .exec(process)
            .spec(spec)
            .preserve_fds(self.preserve_fds)
            .ignore_paused(self.ignore_paused);
        if let Some(socket) = given(self.console_socket.as_deref()) {
            builder = builder.console_socket(socket.to_owned());
        }
        if let Some(socket) = given(self.pidfd_socket.as_deref()) {
            builder = builder.pidfd_socket(socket.to_owned());
        }
        if let Some(file) = given(self.pid_file.as_deref()) {
            builder = builder.pid_file(file.to_owned());
        }
        if let Some(timings) = timings {
            builder = builder.timings(timings);
        }
        sub_cgroup::apply(builder, &self.cgroup)
    }

    /// The container's own process with what the options change.
    fn adapt(&self, mut process: Process) -> Result<Process> {
        if self.command().is_empty() {
            return Err(Failure::new("exec args cannot be empty"));
        }
        process.set_args(Some(self.command().to_vec()));
        process.set_terminal(Some(self.tty));
        if let Some(cwd) = given(self.cwd.as_deref()) {
            process.set_cwd(cwd.to_owned());
        }
        if let Some(profile) = self.apparmor.as_ref().filter(|profile| !profile.is_empty()) {
            process.set_apparmor_profile(Some(profile.clone()));
        }
        if let Some(label) = self
            .process_label
            .as_ref()
            .filter(|label| !label.is_empty())
        {
            process.set_selinux_label(Some(label.clone()));
        }
        if self.no_new_privs.is_some() {
            process.set_no_new_privileges(self.no_new_privs);
        }
        if !self.env.is_empty() {
            process
                .env_mut()
                .get_or_insert_default()
                .extend(self.env.iter().cloned());
        }
        let added: Vec<_> = self
            .cap
            .iter()
            .filter_map(|name| capability(name))
            .collect();
        if !added.is_empty() {
            let capabilities = process
                .capabilities()
                .clone()
                .unwrap_or_else(no_capabilities);
            process.set_capabilities(Some(with_capabilities(capabilities, &added)));
        }
        self.adapt_user(process.user_mut())?;
        Ok(process)
    }

    /// Changes some process as the options say.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn try_out(&self) -> Result<Process> {
        sub_cgroup::parse(&self.cgroup)?;
        self.adapt(Process::default())
    }

    fn adapt_user(&self, user: &mut User) -> Result<()> {
        if let Some(ids) = self.user.as_deref().filter(|text| !text.is_empty()) {
            let ids = parse_user(ids)
                .map_err(|problem| Failure::new(format!("--user {ids:?}: {problem}")))?;
            user.set_uid(ids.uid);
            user.set_gid(ids.gid.unwrap_or(user.gid()));
        }
        for gid in &self.additional_gids {
            let gid = u32::try_from(*gid).map_err(|_| {
                Failure::new(format!("additional-gids must be a positive number {gid}"))
            })?;
            user.additional_gids_mut().get_or_insert_default().push(gid);
        }
        Ok(())
    }
}

fn exec_in_foreground(
    builder: ExecBuilder<'_>,
    host_console: Option<HostConsole>,
    timings: Option<&Timings>,
) -> Result<u8> {
    let foreground = Foreground::prepare()?;
    let mut process = builder.spawn()?;
    let outcome = supervise(&mut process, foreground, host_console, timings);
    if outcome.is_err() {
        // Nobody would look after it.
        let _ = process.kill(nix::libc::SIGKILL);
    }
    outcome
}

fn supervise(
    process: &mut TenantProcess,
    foreground: Foreground,
    host_console: Option<HostConsole>,
    timings: Option<&Timings>,
) -> Result<u8> {
    let pidfd = process.pidfd()?;
    let console = process
        .take_console()
        .map(|master| Terminal::new(master, host_console))
        .transpose()?;
    while_program_runs(timings, || foreground.supervise(Some(&pidfd), console))?;
    Ok(foreground::exit_code(process.wait()?))
}

/// The container's name and what follows it. A `--` between the two only says that no option follows.
pub(crate) fn split_operands(operands: &[String]) -> (&str, &[String]) {
    match operands {
        [] => ("", &[]),
        [id, separator, command @ ..] if separator == "--" => (id, command),
        [id, command @ ..] => (id, command),
    }
}

/// The container's configuration and the process in it.
fn configured_process(container: &Container) -> Result<(Spec, Process)> {
    let spec = container.spec()?;
    match spec.process().clone() {
        Some(process) => Ok((spec, process)),
        None => Err(Failure::new(
            "the container's configuration has no process whose settings could be taken",
        )),
    }
}

fn read_process(file: &Path) -> Result<Process> {
    let text = fs::read(file)
        .map_err(|cause| Failure::io(format_args!("open {}", file.display()), cause))?;
    runtime_core::parse_process(&text)
        .map_err(|cause| Failure::new(format!("{}: {cause}", file.display())))
}

/// What a file says nothing of is the container's, where it confines the process or shares the machine out; as for runc.
fn completed(mut process: Process, configured: Process) -> Process {
    let is_empty = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
    if process.capabilities().is_none() {
        process.set_capabilities(configured.capabilities().clone());
    }
    if is_empty(process.apparmor_profile()) {
        process.set_apparmor_profile(configured.apparmor_profile().clone());
    }
    if is_empty(process.selinux_label()) {
        process.set_selinux_label(configured.selinux_label().clone());
    }
    if process.rlimits().as_ref().is_none_or(Vec::is_empty) {
        process.set_rlimits(configured.rlimits().clone());
    }
    if process.io_priority().is_none() {
        process.set_io_priority(*configured.io_priority());
    }
    if process.scheduler().is_none() {
        process.set_scheduler(configured.scheduler().clone());
    }
    if process.exec_cpu_affinity().is_none() {
        process.set_exec_cpu_affinity(configured.exec_cpu_affinity().clone());
    }
    if process.user().umask().is_none() {
        process.user_mut().set_umask(configured.user().umask());
    }
    process
}

/// A capability by its name. One that nobody knows is left out with a warning, as those of config.json are.
fn capability(name: &str) -> Option<Capability> {
    let known = serde_json::from_value(Value::from(name)).ok();
    if known.is_none() {
        tracing::warn!("--cap: {name:?} is not a capability: left out");
    }
    known
}

fn no_capabilities() -> LinuxCapabilities {
    let mut none = LinuxCapabilities::default();
    none.set_bounding(None)
        .set_effective(None)
        .set_inheritable(None)
        .set_permitted(None)
        .set_ambient(None);
    none
}

/// An ambient capability has to be inheritable too, so it becomes one only where the configuration lets any be inherited.
fn with_capabilities(
    mut capabilities: LinuxCapabilities,
    added: &[Capability],
) -> LinuxCapabilities {
    let and_added =
        |set: &Option<Capabilities>| Some(set.iter().flatten().chain(added).copied().collect());
    let bounding = and_added(capabilities.bounding());
    let effective = and_added(capabilities.effective());
    let permitted = and_added(capabilities.permitted());
    let ambient = and_added(capabilities.ambient());
    capabilities
        .set_bounding(bounding)
        .set_effective(effective)
        .set_permitted(permitted);
    if capabilities.inheritable().is_some() {
        capabilities.set_ambient(ambient);
    }
    capabilities
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        exec: Exec,
    }

    fn adapted(arguments: &str) -> Process {
        let words = std::iter::once("exec").chain(arguments.split_ascii_whitespace());
        let configured = serde_json::json!({
            "cwd": "/", "terminal": true, "args": ["sh"], "env": ["A=1"], "noNewPrivileges": true,
            "user": {"uid": 7, "gid": 8, "additionalGids": [5]},
            "capabilities": {"bounding": ["CAP_KILL"]},
        });
        Line::parse_from(words)
            .exec
            .adapt(serde_json::from_value(configured).unwrap())
            .unwrap()
    }

    #[test]
    fn without_options_all_but_the_command_and_the_terminal_is_the_containers() {
        let process = adapted("web ls -l");
        assert_eq!(process.args().clone().unwrap(), ["ls", "-l"]);
        assert_eq!(process.terminal(), Some(false));
        assert_eq!(
            (
                process.user().uid(),
                process.user().gid(),
                process.no_new_privileges()
            ),
            (7, 8, Some(true))
        );
        assert_eq!(process.env().clone().unwrap(), ["A=1"]);
    }

    #[test]
    fn a_process_from_a_file_is_confined_like_the_container_unless_it_says_otherwise() {
        let configured = serde_json::json!({
            "cwd": "/", "user": {"uid": 7, "gid": 8, "umask": 63}, "args": ["sh"],
            "noNewPrivileges": true, "apparmorProfile": "web", "selinuxLabel": "u:r:t:s0",
            "capabilities": {"bounding": ["CAP_KILL"]},
            "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
            "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
            "scheduler": {"policy": "SCHED_BATCH"}, "execCPUAffinity": {"final": "0"},
        });
        let configured: Process = serde_json::from_value(configured).unwrap();
        let bare = runtime_core::parse_process(br#"{"cwd": "/tmp", "args": ["ls"]}"#).unwrap();
        let process = completed(bare.clone(), configured.clone());
        let mut expected = configured.clone();
        expected
            .set_cwd("/tmp".into())
            .set_args(Some(vec!["ls".into()]))
            .set_no_new_privileges(None);
        expected.user_mut().set_uid(0).set_gid(0);
        assert_eq!(process, expected);
        let full = completed(configured.clone(), bare);
        assert_eq!(full, configured);
    }

    #[test]
    fn options_override_and_add() {
        let process = adapted(
            "-t -u 9 -g 6 -g 7 -e B=2 --cwd /tmp --no-new-privs=false --apparmor p --process-label l web ls",
        );
        assert_eq!(process.terminal(), Some(true));
        assert_eq!((process.user().uid(), process.user().gid()), (9, 8));
        assert_eq!(process.user().additional_gids().clone().unwrap(), [5, 6, 7]);
        assert_eq!(process.env().clone().unwrap(), ["A=1", "B=2"]);
        assert_eq!(process.cwd(), Path::new("/tmp"));
        assert_eq!(process.no_new_privileges(), Some(false));
        assert_eq!(process.apparmor_profile().as_deref(), Some("p"));
        assert_eq!(process.selinux_label().as_deref(), Some("l"));
    }

    #[test]
    fn an_added_capability_is_ambient_only_where_some_are_inheritable() {
        let process = adapted("--cap CAP_SYS_PTRACE web ls");
        let capabilities = process.capabilities().clone().unwrap();
        assert!(
            capabilities
                .bounding()
                .as_ref()
                .unwrap()
                .contains(&Capability::SysPtrace)
        );
        assert!(
            capabilities
                .bounding()
                .as_ref()
                .unwrap()
                .contains(&Capability::Kill)
        );
        assert!(
            capabilities
                .effective()
                .as_ref()
                .unwrap()
                .contains(&Capability::SysPtrace)
        );
        assert_eq!(capabilities.ambient(), &None);
    }

    #[test]
    fn a_capability_that_nobody_knows_is_left_out() {
        assert_eq!(capability("CAP_FLY"), None);
        let process = adapted("--cap CAP_FLY --cap CAP_CHOWN web ls");
        let bounding = process.capabilities().clone().unwrap().bounding().clone();
        assert_eq!(
            bounding.unwrap(),
            [Capability::Kill, Capability::Chown].into_iter().collect()
        );
        let process = adapted("--cap CAP_FLY web ls");
        assert_eq!(process.capabilities().clone().unwrap().effective(), &None);
    }

    #[test]
    fn a_group_that_is_none_is_refused_as_runc_does() {
        let arguments = ["exec", "-g", "5000000000", "web", "ls"];
        let line = Line::parse_from(arguments).exec;
        let process = serde_json::json!({"cwd": "/", "user": {"uid": 7, "gid": 8}, "args": ["sh"]});
        let error = line
            .adapt(serde_json::from_value(process).unwrap())
            .unwrap_err();
        let expected = "additional-gids must be a positive number 5000000000";
        assert_eq!(error.to_string(), expected);
    }
}
