//! What attacks by paths have in common: something of the test's own that stands for the host, links that lead there, and
//! what was seen of a race.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use conformance::process::{Finished, run};
use conformance::runtime::runtime;
use conformance::{Config, Container};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

/// A directory that no container may write to, delete from or make anything in.
#[derive(Debug)]
pub(crate) struct Canary {
    pub(crate) path: PathBuf,
    before: Vec<String>,
}

impl Canary {
    /// Makes it, with a file and a directory in it.
    pub(crate) fn new(path: PathBuf) -> Self {
        fs::create_dir_all(path.join("directory")).unwrap();
        fs::write(path.join("file"), "of the host\n").unwrap();
        Self {
            before: inodes(&path),
            path,
        }
    }

    /// Nothing of it has another inode, owner, mode, size or time than before.
    pub(crate) fn assert_untouched(&self, after: impl std::fmt::Debug) {
        assert_eq!(
            self.before,
            inodes(&self.path),
            "the runtime changed what is outside of the root: {after:?}"
        );
    }

    /// The directory that its path names inside the container's root, made there too.
    pub(crate) fn alias(&self, container: &Container) -> PathBuf {
        let alias = container
            .rootfs()
            .join(self.path.strip_prefix("/").unwrap());
        fs::create_dir_all(&alias).unwrap();
        alias
    }
}

fn inodes(path: &Path) -> Vec<String> {
    let found = fs::symlink_metadata(path).unwrap();
    let line = format!(
        "{} {} {:o} {}:{} {} {} {}.{} {}.{}",
        path.display(),
        found.ino(),
        found.mode(),
        found.uid(),
        found.gid(),
        found.nlink(),
        found.size(),
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec()
    );
    let mut lines = vec![line];
    if found.is_dir() {
        let mut below: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        below.sort();
        lines.extend(below.iter().flat_map(|path| inodes(path)));
    }
    lines
}

/// A fifo that nobody may open: there are devices that act when they are opened.
#[derive(Debug)]
pub(crate) struct Tripwire {
    path: PathBuf,
    opened: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tripwire {
    /// Makes it, and waits at its other end.
    pub(crate) fn new(path: PathBuf, is_for_readers: bool) -> Self {
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let opened = Arc::<AtomicBool>::default();
        let (end, seen) = (path.clone(), Arc::clone(&opened));
        let thread = thread::spawn(move || {
            let mut options = File::options();
            let file = options
                .read(!is_for_readers)
                .write(is_for_readers)
                .open(end);
            seen.store(true, Ordering::SeqCst);
            drop(file);
        });
        thread::sleep(Duration::from_millis(50));
        Self {
            path,
            opened,
            thread: Some(thread),
        }
    }

    pub(crate) fn was_opened(&self) -> bool {
        thread::sleep(Duration::from_millis(50));
        self.opened.load(Ordering::SeqCst)
    }
}

impl Drop for Tripwire {
    fn drop(&mut self) {
        // Whoever opens both ends has no need to wait, and lets the other go.
        drop(File::options().read(true).write(true).open(&self.path));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Links that lead to a path of the host if they are followed there: from its root, upwards, by another link, and through
/// the root of a process.
pub(crate) fn ways_out(path: &Path) -> [PathBuf; 4] {
    let up = format!("{}{}", "../".repeat(30), path.display());
    let again = format!("/proc/self/root{}", path.display());
    let detour = format!("/tmp/../../..{}/./directory/..", path.display());
    [path.to_owned(), up.into(), again.into(), detour.into()]
}

/// Puts a link of the image in the place of whatever the root file system has there.
pub(crate) fn link(container: &Container, name: &str, target: impl AsRef<Path>) {
    let path = container.rootfs().join(name);
    if fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
        fs::remove_dir(&path).unwrap();
    } else {
        drop(fs::remove_file(&path));
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(target, path).unwrap();
}

/// Takes mounts out of the configuration: those at this path.
pub(crate) fn without_mount(config: &mut Config, destination: &str) {
    let mounts = config.0["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] != destination);
}

/// A refusal, if bareboat is what is put to the test: another runtime may find another way not to fall.
pub(crate) fn refused(finished: Finished, phrases: &[&str]) {
    if runtime().is_bareboat() {
        let _ = finished.refused(phrases);
    }
}

/// What the racing starts found, one entry each.
#[derive(Debug, Default)]
pub(crate) struct Race {
    pub(crate) directory: usize,
    pub(crate) link: usize,
    pub(crate) refused: usize,
}

/// What one racing start found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen {
    Directory,
    Link,
    Refused,
}

impl Race {
    fn count(&mut self, seen: Seen) {
        match seen {
            Seen::Directory => self.directory += 1,
            Seen::Link => self.link += 1,
            Seen::Refused => self.refused += 1,
        }
    }

    /// Without both a race has shown nothing. What has to be refused counts as the link.
    pub(crate) fn assert_both_seen(&self) {
        println!("{self:?}");
        assert!(
            self.directory > 0 && self.link + self.refused > 0,
            "there was no race: {self:?}"
        );
    }
}

/// Runs each of the containers so often, all at the same time, with a configuration of each start's own.
pub(crate) fn race(
    containers: &[Container],
    starts: usize,
    change: impl Fn(&mut Config, usize) + Sync,
    judge: impl Fn(Finished, usize) -> Seen + Sync,
) -> Race {
    let race = Mutex::new(Race::default());
    thread::scope(|scope| {
        for container in containers {
            scope.spawn(|| {
                let config = container.config();
                for number in 0..starts {
                    let mut config = config.clone();
                    change(&mut config, number);
                    container.write_config(&config);
                    let finished = run(&mut container.run_command(&[]));
                    race.lock().unwrap().count(judge(finished, number));
                }
            });
        }
    });
    race.into_inner().unwrap()
}
