//! The interpreter of plans: a freestanding program that becomes the container's first process.
//!
//! It has no libc, no heap, nothing to print with, and no unwinding. It knows nothing of `config.json`; it does what the
//! plan says, reports (step, errno) when the kernel refuses, and ends by executing the user's program in its own place.
#![no_std]
#![no_main]

mod bind;
mod console;
mod control;
mod copy_up;
mod devices;
mod filesystems;
mod mounts;
mod process;
mod root;
mod sys;
mod target;

use runtime_init::{Fault, Header, HostTree, Operation, SECCOMP_NEW_LISTENER, Slot, Step};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;

use crate::control::Control;

/// What the init carries from step to step.
struct Interpreter {
    start: sys::Start,
    control: Control,
    /// The trees of slots with a lower number have come.
    trees: u32,
    /// The container's root, once attached.
    root: Option<root::Root>,
    /// The private procfs.
    proc: Option<OwnedFd>,
    /// The null device and the empty directory that masks are clones of, once one is mounted.
    masks: mounts::Masks,
    /// What [`Step::Execute`] executes.
    program: Option<&'static core::ffi::CStr>,
    /// Whether execve(2) closes all that the runtime handed over.
    closes_on_exec: bool,
    /// Where the times of the steps go, if the runtime wants to know them.
    stamps: Option<sys::Stamps>,
}

type Outcome = Result<(), Fault>;

/// Names the part of a step that a system call belongs to.
trait During<T> {
    fn during(self, operation: Operation) -> Result<T, Fault>;
}

impl<T> During<T> for Result<T, Errno> {
    fn during(self, operation: Operation) -> Result<T, Fault> {
        self.map_err(|errno| Fault {
            operation,
            errno: errno.raw_os_error(),
        })
    }
}

/// Called by the entry point with what the kernel put on the stack.
fn main(start: sys::Start) -> ! {
    sys::reset_signals();
    // Modes in the plan are exact; the user's umask is a step of its own.
    rustix::process::umask(rustix::fs::Mode::empty());
    let mut interpreter = Interpreter {
        control: Control::new(sys::inherited(start.slot(runtime_init::CONTROL))),
        start,
        trees: 0,
        root: None,
        proc: None,
        masks: mounts::Masks::default(),
        program: None,
        closes_on_exec: false,
        stamps: None,
    };
    if let Err((step, fault)) = interpreter.run() {
        interpreter.control.failed(step, fault);
    }
    sys::exit(1)
}

impl Interpreter {
    fn run(&mut self) -> Result<(), (u32, Fault)> {
        let plan = self
            .start
            .map_plan()
            .during(Operation::Decode)
            .map_err(|fault| (0, fault))?;
        let malformed = |step| (step, control::fault(Operation::Decode, Errno::INVAL));
        let (header, mut rest) = runtime_init::decode::<Header>(plan).map_err(|_| malformed(0))?;
        if let Some(slot) = header.stamps {
            self.map_stamps(slot).map_err(|fault| (0, fault))?;
        }
        for index in 0..header.steps {
            if let Some(stamps) = &self.stamps {
                stamps.begin(index);
            }
            let (step, after) =
                runtime_init::decode::<Step<'static>>(rest).map_err(|_| malformed(index))?;
            rest = after;
            self.execute(index, step).map_err(|fault| (index, fault))?;
        }
        Ok(())
    }

    fn execute(&mut self, index: u32, step: Step<'static>) -> Outcome {
        use Operation::Whole;
        match step {
            Step::JoinCgroups { count } => self.control.join_cgroups(count),
            Step::JoinNamespaces { slot, flags } => self.join_namespaces(slot, flags),
            Step::JoinNetwork { slot } => self.join_network(slot),
            Step::Unshare { flags } => sys::unshare(flags).during(Whole),
            Step::Fork => self.fork(index),
            Step::EnterTimeNamespace => self.enter_time_namespace(),
            Step::Wait(_) => self.control.wait(index),
            Step::BecomeRoot => process::set_ids(0, 0),
            Step::Undumpable => sys::set_dumpable(false).during(Whole),
            Step::NewSession => rustix::process::setsid().map(drop).during(Whole),
            Step::SetCpuAffinity { cpus } => sys::set_cpu_affinity(cpus.0).during(Whole),
            Step::ResetCpuAffinity => process::reset_cpu_affinity(),
            Step::NewKeyring { name, permissions } => {
                sys::new_keyring(name.0, permissions).during(Whole)
            }
            Step::OpenProc => self.open_proc(),
            Step::WriteProc { path, value } => self.write_proc(path.0, value.0),
            Step::SetRootPropagation { flags } => mounts::set_root_propagation(flags),
            Step::OpenTree(host) => self.open_tree(&host),
            Step::AttachRoot { tree, path } => self.attach_root(tree, path.0),
            Step::OpenRoot { path } => self.use_root(path.0),
            Step::UseCurrentRoot => self.use_root(c"/"),
            Step::MountTree { tree, target } => self.mount_tree(index, tree, target.0),
            Step::BindInside(bind) => {
                let mount = bind::inside(self.root()?, &self.control, index, &bind)?;
                self.keep(bind.target.0, mount)
            }
            Step::BindBelow(bind) => bind::below(self.root()?, &bind),
            Step::MountNew(new) => {
                let mount = filesystems::mount_new(self.root()?, &new)?;
                self.keep(new.target.0, mount)
            }
            Step::MountByData(new) => {
                let mount = filesystems::mount_by_data(self.root()?, &new)?;
                self.keep(new.target.0, mount)
            }
            Step::Reconfigure { target, options } => {
                filesystems::reconfigure(self.root()?, target.0, options)
            }
            Step::LabelFile { path, label } => mounts::label(self.root()?, path.0, label.0),
            Step::SetMountAttributes {
                target,
                attributes,
                recursive,
            } => mounts::set_attributes(self.root()?, target.0, &attributes, recursive),
            Step::MakeDirectory { path, mode } => {
                root::make_directory(self.root()?, path.0, mode).map(drop)
            }
            Step::Symlink {
                path,
                target,
                replace,
            } => devices::symlink(self.root()?, path.0, target.0, replace),
            Step::MakeDevice(node) => devices::make(self.root()?, &node),
            Step::OpenConsole(console) => {
                console::open(self.root()?, &self.control, index, &console)
            }
            Step::TakeTerminal => console::take().during(Whole),
            Step::ChownStdio { uid } => console::chown_stdio(uid),
            Step::PivotRoot => mounts::pivot_root(self.root()?.as_fd()),
            Step::Detach { path } => mounts::detach(path.0),
            Step::MoveRoot => mounts::move_root(self.root()?.as_fd()),
            Step::Chroot => mounts::chroot(self.root()?.as_fd()),
            Step::Mask { path, null } => self.mask(path.0, null),
            Step::MakeReadonly { path } => match mounts::make_readonly(self.root()?, path.0)? {
                Some(mount) => self.keep(path.0, mount),
                None => Ok(()),
            },
            Step::BringLoopbackUp => sys::bring_loopback_up().during(Whole),
            Step::SetPersonality { domain } => sys::set_personality(domain).during(Whole),
            Step::SetHostname { name } => process::set_hostname(name.0),
            Step::SetDomainname { name } => process::set_domainname(name.0),
            Step::SetScheduler(scheduling) => sys::set_scheduler(&scheduling).during(Whole),
            Step::SetIoPriority { value } => sys::set_io_priority(value).during(Whole),
            Step::SetMemoryPolicy { mode, nodes } => {
                sys::set_memory_policy(mode, nodes.0).during(Whole)
            }
            Step::SetUmask { mask } => process::set_umask(mask),
            Step::LimitBoundingSet { keep, last } => process::limit_bounding_set(keep, last),
            Step::SetLimit {
                resource,
                soft,
                hard,
                raise,
            } => process::set_limit(resource, soft, hard, raise),
            Step::SetUser { uid, gid, groups } => process::set_user(uid, gid, groups),
            Step::SetCapabilities {
                effective,
                permitted,
                inheritable,
                ambient,
            } => process::set_capabilities([effective, permitted, inheritable], ambient),
            Step::ChangeDirectory { path } => process::change_directory(path.0),
            Step::SetNoNewPrivileges => rustix::thread::set_no_new_privs(true).during(Whole),
            Step::FindProgram { candidates } => self.find_program(candidates),
            Step::AwaitStart { listener } => self.await_start(listener),
            Step::LoadSeccomp { flags, program } => self.load_seccomp(index, flags, program.0),
            Step::Execute => self.exec(),
        }
    }

    fn map_stamps(&mut self, slot: Slot) -> Outcome {
        let stamps = sys::Stamps::map(self.slot(slot)).during(Operation::MapStamps)?;
        self.stamps = Some(stamps);
        sys::close_inherited(self.start.slot(slot), 1);
        Ok(())
    }

    fn slot(&self, slot: Slot) -> BorrowedFd<'static> {
        sys::inherited(self.start.slot(slot))
    }

    /// The tree of a slot. The runtime opens it no sooner than its mount's turn has come.
    fn tree(&mut self, index: u32, slot: Slot) -> Result<BorrowedFd<'static>, Fault> {
        let number = self.start.slot(slot);
        if number >= self.trees {
            let count = self.control.receive_trees(index, number)?;
            self.trees = number.wrapping_add(count);
        }
        Ok(self.slot(slot))
    }

    /// Opens a tree of the host's here, and keeps it as the slot.
    fn open_tree(&mut self, host: &HostTree<'_>) -> Outcome {
        let number = self.start.slot(host.tree);
        let tree = bind::of_host(host)?;
        sys::replace(number, &tree).during(Operation::Open)?;
        self.trees = self.trees.max(number.wrapping_add(1));
        Ok(())
    }

    fn root(&self) -> Result<&root::Root, Fault> {
        self.root.as_ref().ok_or(NO_ROOT)
    }

    fn keep(&mut self, path: &core::ffi::CStr, mount: OwnedFd) -> Outcome {
        self.root.as_mut().ok_or(NO_ROOT)?.keep(path, mount);
        Ok(())
    }

    fn join_namespaces(&self, slot: Slot, flags: u32) -> Outcome {
        sys::setns(self.slot(slot), flags).during(Operation::Whole)?;
        sys::close_inherited(self.start.slot(slot), 1);
        Ok(())
    }

    fn join_network(&self, slot: Slot) -> Outcome {
        control::receive(self.slot(slot), |namespace| {
            sys::setns(namespace.as_fd(), sys::CLONE_NEWNET).during(Operation::Whole)
        })?;
        sys::close_inherited(self.start.slot(slot), 1);
        Ok(())
    }

    fn mount_tree(&mut self, index: u32, tree: Slot, target: &core::ffi::CStr) -> Outcome {
        let tree = self.tree(index, tree)?;
        mounts::mount_tree(self.root()?, tree, target)?;
        if !root::is_own(target) {
            return Ok(());
        }
        let mount = rustix::io::fcntl_dupfd_cloexec(tree, 0).during(Operation::Open)?;
        self.keep(target, mount)
    }

    fn mask(&mut self, path: &core::ffi::CStr, null: Slot) -> Outcome {
        let (root, null) = (self.root.as_ref(), self.slot(null));
        let root = root.ok_or(NO_ROOT)?;
        self.masks.mask(root, path, null)
    }

    fn fork(&mut self, index: u32) -> Outcome {
        // Of this pid namespace; whoever may look into the child must not find it there.
        self.proc = None;
        match sys::clone_sibling().during(Operation::Whole)? {
            None => Ok(()),
            Some(child) => {
                self.control.forked(index, child)?;
                sys::exit(0)
            }
        }
    }

    fn attach_root(&mut self, tree: Slot, path: &core::ffi::CStr) -> Outcome {
        let tree = self.slot(tree);
        mounts::attach_root(tree, path)?;
        let directory = rustix::io::fcntl_dupfd_cloexec(tree, 0).during(Operation::Open)?;
        self.root = Some(root::Root::new(directory));
        Ok(())
    }

    fn use_root(&mut self, path: &core::ffi::CStr) -> Outcome {
        use rustix::fs::{CWD, Mode, OFlags, openat};
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, path, flags, Mode::empty()).during(Operation::Open)?;
        self.root = Some(root::Root::new(directory));
        Ok(())
    }

    fn find_program(&mut self, candidates: runtime_init::TextList<'static>) -> Outcome {
        self.program = Some(process::find_program(candidates)?);
        Ok(())
    }

    fn await_start(&mut self, listener: Slot) -> Outcome {
        // Nothing of the host's stays open while the container waits, but the socket that it waits on.
        (self.root, self.proc) = (None, None);
        self.masks = mounts::Masks::default();
        self.stamps = None;
        sys::close_all_but(self.start.plan(), self.slot(listener));
        sys::release_stack();
        let (control, outcome) = control::await_start(self.slot(listener), &mut self.stamps)?;
        self.control = control;
        outcome
    }

    /// The filter may refuse what the init still has to do, so that is as little as can be: what else is due is done now.
    fn load_seccomp(&mut self, index: u32, flags: u32, program: &[u8]) -> Outcome {
        self.close_on_exec()?;
        self.stamps = None;
        if flags & SECCOMP_NEW_LISTENER == 0 {
            sys::seccomp::load(flags, program)
        } else {
            let socket = self.control.as_fd();
            sys::seccomp::load_with_listener(flags, program, socket, index)
        }
    }

    fn close_on_exec(&mut self) -> Outcome {
        if !self.closes_on_exec {
            sys::close_on_exec_from(self.start.plan()).during(Operation::Open)?;
            self.closes_on_exec = true;
        }
        Ok(())
    }

    fn exec(&mut self) -> Outcome {
        let program = self
            .program
            .ok_or(control::fault(Operation::Whole, Errno::NOENT))?;
        self.close_on_exec()?;
        Err(self.start.execve(program)).during(Operation::Whole)
    }
}

const NO_ROOT: Fault = control::fault(Operation::Resolve, Errno::BADF);
