//! `create` and `run`: from a bundle to a container.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use oci_spec::runtime::Spec;

use crate::builder::{CgroupDriver, Stdio, Wishes, absolute};
use crate::bundle::Bundle;
use crate::container::Container;
use crate::creation::Creation;
use crate::error::Result;
use crate::facts::HostFacts;
use crate::home;
use crate::hooks::{self, Kind};
use crate::network::Network;
use crate::plan::{self, Options, Plan};
use crate::state::{Directory, Record, check_id};
use crate::timings::{Recorder, Timings};
use crate::{namespaces, notify_socket, sources};

/// Creates a container.
///
/// ```no_run
/// use runtime_core::{Bundle, Container};
///
/// let bundle = Bundle::load("/srv/bundles/web")?;
/// let container = Container::builder("web", bundle).state_root("/run/bareboat").create()?;
/// container.start()?;
/// # Ok::<(), runtime_core::Error>(())
/// ```
#[derive(Debug)]
pub struct ContainerBuilder {
    pub(crate) id: String,
    pub(crate) bundle: Bundle,
    state_root: PathBuf,
    pub(crate) wishes: Wishes,
    pub(crate) options: Options,
    pub(crate) notify: bool,
    pub(crate) timings: Recorder,
}

/// Where containers are kept unless the caller says otherwise.
pub const DEFAULT_STATE_ROOT: &str = "/run/bareboat";

impl ContainerBuilder {
    pub(crate) fn new(id: String, bundle: Bundle) -> Self {
        let options = Options {
            id: id.clone(),
            bundle: bundle.path().to_owned(),
            ..Options::default()
        };
        ContainerBuilder {
            id,
            bundle,
            state_root: DEFAULT_STATE_ROOT.into(),
            wishes: Wishes::default(),
            options,
            notify: false,
            timings: Recorder::default(),
        }
    }

    /// The directory under which the container's state is kept; `/run/bareboat` unless set.
    pub fn state_root(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_root = path.into();
        self
    }

    /// The standard streams of the container's process.
    pub fn stdio(mut self, stdio: Stdio) -> Self {
        self.wishes.stdio = stdio;
        self
    }

    /// A unix socket to which the terminal's master is sent, when `process.terminal` is set. Without one the master is
    /// had by [`Container::take_console`].
    pub fn console_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.wishes.console_socket = Some(path.into());
        self
    }

    /// A unix socket to which a pidfd of the container's process is sent, before the pid file is written. Somebody has to listen
    /// there before the process is made.
    pub fn pidfd_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.wishes.pidfd_socket = Some(path.into());
        self
    }

    /// A file into which the pid of the container's process is written.
    pub fn pid_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.wishes.pid_file = Some(path.into());
        self
    }

    /// How many of the caller's descriptors after the three standard streams the process inherits.
    pub fn preserve_fds(mut self, count: u32) -> Self {
        self.wishes.preserved = count;
        self
    }

    /// Environment variables that the process gets in addition, `NAME=value`; LISTEN_FDS for one.
    pub fn extra_environment(mut self, variables: impl IntoIterator<Item = String>) -> Self {
        self.options.extra_environment.extend(variables);
        self
    }

    /// Moves the root over `/` instead of pivoting into it: for hosts that run from an initramfs.
    pub fn no_pivot(mut self, no_pivot: bool) -> Self {
        self.options.no_pivot = no_pivot;
        self
    }

    /// Keeps the caller's session keyring.
    pub fn no_new_keyring(mut self, no_new_keyring: bool) -> Self {
        self.options.no_new_keyring = no_new_keyring;
        self
    }

    /// Gives the process a socket on which it says that it is ready, named by its `NOTIFY_SOCKET` (sd_notify(3)).
    /// [`Container::listen_for_readiness`] is to be called before [`Container::start`], so this is nothing for
    /// [`ContainerBuilder::run`].
    pub fn notify_socket(mut self, wanted: bool) -> Self {
        self.notify = wanted;
        self
    }

    /// Takes down what each step takes: of making the container, and of what is done with the [`Container`] that comes of it.
    pub fn timings(mut self, timings: &Timings) -> Self {
        self.timings = Recorder::to(timings);
        self
    }

    /// Who manages the cgroup.
    pub fn cgroup_driver(mut self, driver: CgroupDriver) -> Self {
        self.options.cgroup_driver = driver;
        self
    }

    /// Whether the container goes without the cgroups that the caller may not make, when its configuration names none and
    /// limits nothing that needs them. `false` makes that an error. By default it is `true` unless the caller is the host's
    /// root.
    pub fn rootless_cgroups(mut self, rootless: bool) -> Self {
        self.options.rootless_cgroups = Some(rootless);
        self
    }

    /// What [`ContainerBuilder::create`] would do, without doing anything. Of a configuration that only root can carry out, for
    /// it has no user namespace, anybody learns what root's would do.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`] or [`ErrorKind::Unsupported`], with the JSON pointer of what cannot be honoured.
    pub fn plan(&self) -> Result<Plan> {
        let mut options = self.options.clone();
        options.notify_directory = self.notify_directory();
        let spec = self.bundle.spec();
        options.file_sources = sources::files(spec);
        let mut facts = self.facts()?;
        if facts.is_unprivileged() && !namespaces::has_user_namespace(spec) {
            facts = facts.of_root();
        }
        plan::compile_with(spec, &facts, &options)
    }

    /// Creates the container. Its process waits for [`Container::start`].
    ///
    /// # Errors
    ///
    /// When anything fails; nothing is left behind then. [`Error::kind`] tells whether it was the configuration, the
    /// host, a hook, or the user's program.
    pub fn create(self) -> Result<Container> {
        let id = self.id.clone();
        let _span = self.timings.span_of(|| format!("create {id}"));
        self.make(None)
            .map_err(|error| error.context(format_args!("create {id}")))
    }

    /// Creates the container and starts it, in one go.
    ///
    /// # Errors
    ///
    /// As for [`ContainerBuilder::create`] and [`Container::start`].
    pub fn run(mut self) -> Result<Container> {
        let id = self.id.clone();
        let _span = self.timings.span_of(|| format!("run {id}"));
        // startContainer hooks run between the two.
        let has_hooks = hooks::of(self.bundle.spec(), Kind::StartContainer)
            .next()
            .is_some();
        self.options.start_at_once = !has_hooks;
        let container = self
            .make(None)
            .map_err(|error| error.context(format_args!("run {id}")))?;
        let started = if has_hooks {
            container.start()
        } else {
            container.run_poststart_hooks()
        };
        match started {
            Ok(()) => Ok(container),
            Err(error) => {
                let _ = container.delete(true);
                Err(error)
            }
        }
    }

    fn notify_directory(&self) -> Option<PathBuf> {
        let state = self.state_root.join(&self.id);
        self.notify.then(|| notify_socket::directory(&state))
    }

    fn facts(&self) -> Result<HostFacts> {
        let _span = self.timings.span("read the facts of the host");
        let spec = self.bundle.spec();
        HostFacts::read_for(&self.options, spec, spec.process().as_ref())
    }

    /// Creates the container on a host of which this is known, or is found out.
    pub(crate) fn make(mut self, known: Option<HostFacts>) -> Result<Container> {
        check_id(&self.id)?;
        self.wishes.check()?;
        // Before all else, as nothing takes the kernel longer.
        let network = Network::of(self.bundle.spec(), &self.timings)?;
        let facts = match known {
            Some(facts) => facts,
            None => self.facts()?,
        };
        self.state_root = absolute(&self.state_root)?;
        self.options.notify_directory = self.notify_directory();
        if let (Some(process), Some(root)) =
            (self.bundle.spec().process(), self.bundle.spec().root())
        {
            self.options.home = home::of(process, &self.bundle.path().join(root.path()))?;
        }
        self.options.resolved_root = resolved_root(self.bundle.spec(), self.bundle.path());
        self.options.file_sources = sources::files(self.bundle.spec());
        let span = self.timings.span("compile the plan");
        let plan = plan::compile_with(self.bundle.spec(), &facts, &self.options)?;
        drop(span);
        let span = self.timings.span("make the state directory");
        let directory = Directory::create(&self.state_root, &self.id)?;
        drop(span);
        let (record, console) =
            Creation::new(&self, &facts, plan, directory, network).carry_out()?;
        let container = Container::new(self.state_root.clone(), record, console);
        Ok(container.timed(&self.timings))
    }

    /// What is known of the container before anything is made.
    pub(crate) fn record(&self) -> Record {
        let spec = self.bundle.spec();
        let root = spec
            .root()
            .as_ref()
            .map(|root| self.bundle.path().join(root.path()));
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Record {
            oci_version: spec.version().clone(),
            id: self.id.clone(),
            bundle: self.bundle.path().to_owned(),
            rootfs: root.unwrap_or_default(),
            created: u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX),
            owner: rustix::process::geteuid().as_raw(),
            startable: spec.process().is_some(),
            later_hooks: hooks::any_later(spec),
            annotations: spec.annotations().clone().unwrap_or_default(),
            init: None,
            is_let_go: false,
            cgroup: None,
            intended_cgroup: None,
            intel_rdt: None,
            root_mount: None,
            seccomp_listener: None,
            namespaces: 0,
            rootless_cgroups: self.options.rootless_cgroups,
            no_pivot: self.options.no_pivot,
            no_new_keyring: self.options.no_new_keyring,
            extra_environment: self.options.extra_environment.clone(),
            notify: self.notify,
            home: self.options.home.clone(),
            file_sources: self.options.file_sources.clone(),
        }
    }
}

/// Where the root lies, if a symbolic link is on the way there. Only sources of bind mounts have to be compared with it; a
/// root that is not there is refused later.
pub(crate) fn resolved_root(spec: &Spec, bundle: &Path) -> Option<PathBuf> {
    let mounts = spec.mounts().iter().flatten();
    let mut sources = mounts.filter_map(|mount| mount.source().as_ref());
    sources.find(|source| source.is_absolute())?;
    let written = bundle.join(spec.root().as_ref()?.path());
    let resolved = written.canonicalize().ok()?;
    (resolved != written).then_some(resolved)
}
