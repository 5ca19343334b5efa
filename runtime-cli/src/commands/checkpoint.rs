//! `bareboat checkpoint` and `bareboat restore`: they come later, and say so.
//!
//! Their options are runc's already, so that a caller's command line is understood and the answer is about checkpoints
//! and not about an option. Podman takes a `checkpoint --help` that succeeds for a runtime that can make checkpoints; it
//! learns otherwise from the first that it asks for. That help fails is no way out: runc's contract is that each command
//! has some.

use std::path::PathBuf;

use clap::Args;

use crate::cli::Globals;
use crate::failure::{Failure, Result};

/// Arguments of `checkpoint`.
#[derive(Debug, Args)]
pub(crate) struct Checkpoint {
    /// Name of the container
    #[arg(value_name = "CONTAINER")]
    id: String,
    #[command(flatten)]
    images: Images,
    /// Directory with the images of an earlier checkpoint, relative to that of this one
    #[arg(long, value_name = "DIR")]
    parent_path: Option<PathBuf>,
    /// Let the container go on afterwards
    #[arg(long)]
    leave_running: bool,
    /// Leave out TCP connections that are being established
    #[arg(long)]
    tcp_skip_in_flight: bool,
    /// Link files that have no name any more to one
    #[arg(long)]
    link_remap: bool,
    /// Descriptor that gets a zero byte when memory can be had lazily
    #[arg(long, value_name = "FD", allow_negative_numbers = true)]
    status_fd: Option<i32>,
    /// Server that memory is sent to
    #[arg(long, value_name = "ADDRESS:PORT")]
    page_server: Option<String>,
    /// Store memory alone, and let the container go on
    #[arg(long)]
    pre_dump: bool,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// Name of the container
    #[arg(value_name = "CONTAINER")]
    id: String,
    #[command(flatten)]
    images: Images,
    /// The bundle: a directory with config.json and the root filesystem
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// Unix socket that receives the master of the container's pseudoterminal
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// Return when the container runs
    #[arg(short, long)]
    detach: bool,
    /// File to write the pid of the container's init process to
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Leave processes that lose their parent to the system's init
    #[arg(long)]
    no_subreaper: bool,
    /// Enter the root filesystem without pivot_root(2), for one on a ramdisk
    #[arg(long)]
    no_pivot: bool,
    /// Security profile of the restored processes
    #[arg(long, value_name = "TYPE:NAME")]
    lsm_profile: Option<String>,
    /// SELinux label of the restored mounts
    #[arg(long, value_name = "LABEL")]
    lsm_mount_context: Option<String>,
}

/// What both take.
#[derive(Debug, Args)]
struct Images {
    /// Directory of the checkpoint's images
    #[arg(long, value_name = "DIR")]
    image_path: Option<PathBuf>,
    /// Directory for work files and logs
    #[arg(long, value_name = "DIR")]
    work_path: Option<PathBuf>,
    /// Allow open TCP connections
    #[arg(long)]
    tcp_established: bool,
    /// Allow connections to unix sockets outside
    #[arg(long)]
    ext_unix_sk: bool,
    /// Allow a terminal that is not the container's own
    #[arg(long)]
    shell_job: bool,
    /// Move memory when it is asked for (userfaultfd(2))
    #[arg(long)]
    lazy_pages: bool,
    /// Allow file locks
    #[arg(long)]
    file_locks: bool,
    /// What becomes of cgroups: soft, full, strict or ignore
    #[arg(long, value_name = "MODE")]
    manage_cgroups_mode: Option<String>,
    /// Kind of namespace whose content is left out
    #[arg(long, value_name = "KIND")]
    empty_ns: Vec<String>,
    /// Keep memory that did not change once
    #[arg(long)]
    auto_dedup: bool,
}

impl Checkpoint {
    pub(crate) fn execute(self, globals: &Globals) -> Result<()> {
        // What is wrong with the container is the better answer, as for runc.
        super::load(globals, &self.id)?;
        Err(not_yet(&format!("checkpoint {}", self.id)))
    }
}

impl Restore {
    pub(crate) fn execute(self) -> Result<()> {
        Err(not_yet(&format!("restore {}", self.id)))
    }
}

fn not_yet(attempt: &str) -> Failure {
    Failure::new(format!(
        "{attempt}: this version of bareboat has no checkpoints: create the container with another runtime, such as \
         runc, to have them"
    ))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use crate::cli::{self, Command, Request};

    fn parsed(arguments: &str) -> Command {
        let words = arguments.split_ascii_whitespace().map(OsString::from);
        match cli::parse(words.collect()) {
            Ok(Request::Command(cli)) => cli.command,
            other => panic!("{arguments}: {other:?}"),
        }
    }

    #[test]
    fn every_option_of_runcs_is_one() {
        let both = "--image-path I --work-path W --tcp-established --ext-unix-sk --shell-job --lazy-pages --file-locks \
                    --manage-cgroups-mode soft --empty-ns network --empty-ns ipc --auto-dedup";
        let checkpoint = "--parent-path ../P --leave-running --tcp-skip-in-flight --link-remap --status-fd -1 \
                          --page-server 10.0.0.1:27 --pre-dump";
        let command = parsed(&format!("bareboat checkpoint {both} {checkpoint} web"));
        assert!(matches!(command, Command::Checkpoint(it) if it.id == "web" && it.leave_running));
        let restore = "--bundle B --console-socket S -d --pid-file P --no-subreaper --no-pivot \
                       --lsm-profile apparmor:web --lsm-mount-context C";
        let command = parsed(&format!("bareboat restore {both} {restore} web"));
        assert!(matches!(command, Command::Restore(it) if it.id == "web" && it.detach));
    }

    #[test]
    fn podman_does_not_take_a_missing_value_for_an_option_that_works() {
        // It looks for these two texts, runc's and crun's, to know whether pods can be restored.
        let words = ["bareboat", "restore", "--lsm-mount-context"].map(OsString::from);
        let error = cli::parse(words.to_vec()).unwrap_err().failure.to_string();
        for text in ["flag needs an argument", "requires an argument"] {
            assert!(!error.contains(text), "{error}");
        }
    }
}
