//! The terminal of a container whose /dev is not the runtime's own: /dev/console, /dev/pts, /dev/ptmx.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use conformance::Container;
use conformance::console::ConsoleSocket;
use conformance::process::{Finished, run};
use conformance::runtime::runtime;
use conformance::swap::Swapper;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::json;

use crate::hostile::{Canary, Race, Tripwire, refused};

/// A container with a terminal, whose /dev is the case's `dev`, with a victim that it may only be shown, and the image's
/// own one.
fn with_terminal() -> (Container, Canary) {
    let container = Container::with_path(|config, path| {
        let mounts = config.0["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| {
            mount["destination"] != "/dev/shm" && mount["destination"] != "/dev/mqueue"
        });
        mounts[1] = json!({"destination": "/dev", "type": "bind", "source": path.join("dev"), "options": ["rbind"]});
        config
            .bind(path.join("canary/file"), "/bound/victim", &["bind"])
            .set("/process/terminal", json!(true))
            .shell("cat /bound/victim /etc/victim > /out/seen; sleep 100");
        config.bind(path.join("out"), "/out", &["bind"]);
    });
    for directory in ["dev/pts", "out"] {
        fs::create_dir_all(container.path().join(directory)).unwrap();
    }
    fs::write(container.rootfs().join("etc/victim"), "of the image\n").unwrap();
    let canary = Canary::new(container.path().join("canary"));
    (container, canary)
}

/// Creates it with a console socket, starts it, and says what it saw of the victims.
fn create(container: &Container, number: usize) -> (Finished, Option<String>) {
    let socket = ConsoleSocket::named(container.path(), &format!("socket-{number}"));
    let mut command = container.subcommand(["create", "--console-socket"]);
    command
        .arg(&socket.path)
        .arg("--bundle")
        .arg(container.bundle())
        .arg(&container.id);
    let finished = run(&mut command);
    if finished.code() != 0 {
        return (finished, None);
    }
    let terminal = socket.receive();
    let seen = container.path().join("out/seen");
    drop(fs::remove_file(&seen));
    let _ = container.start().ok();
    let text = conformance::process::until("what the container saw", || {
        let text = fs::read_to_string(&seen).ok()?;
        text.ends_with("image\n").then_some(text)
    });
    let _ = container.delete_force().ok();
    terminal.hang_up();
    (finished, Some(text))
}

fn assert_victims_seen(seen: Option<String>, what: &str) {
    if let Some(seen) = seen {
        assert_eq!(
            seen, "of the host\nof the image\n",
            "{what} was covered or written"
        );
    }
}

#[test]
fn a_console_that_is_a_link_is_not_followed() {
    // CVE-2025-52565, CVE-2026-88264
    let (container, canary) = with_terminal();
    let outside = canary.path.join("file");
    let targets = [
        Path::new("/bound/victim"),
        Path::new("/etc/victim"),
        Path::new("../etc/victim"),
        Path::new("/proc/sys/kernel/ostype"),
        Path::new("/etc/made"),
        Path::new("pts/0"),
        Path::new("/proc/self/fd/0"),
        &outside,
    ];
    for (number, target) in targets.into_iter().enumerate() {
        let console = container.path().join("dev/console");
        drop(fs::remove_file(&console));
        symlink(target, &console).unwrap();
        let (finished, seen) = create(&container, number);
        canary.assert_untouched((target, &finished));
        assert_victims_seen(
            seen,
            &format!("what /dev/console leads to, {}", target.display()),
        );
        assert!(
            !container.rootfs().join("etc/made").exists(),
            "{finished:?}"
        );
        refused(finished, &["/process/terminal"]);
    }
}

#[test]
fn a_console_that_is_swapped_for_a_link_is_not_followed() {
    let (container, canary) = with_terminal();
    let dev = container.path().join("dev");
    fs::write(dev.join("console"), "").unwrap();
    symlink("/bound/victim", dev.join("link")).unwrap();
    let mut race = Race::default();
    for number in 0..25 {
        let swapper = Swapper::start(dev.join("console"), dev.join("link"));
        let (finished, seen) = create(&container, number);
        let _ = swapper.stop();
        canary.assert_untouched(&finished);
        assert_victims_seen(seen, "what /dev/console leads to");
        if finished.code() == 0 {
            race.directory += 1;
        } else {
            race.refused += 1;
        }
    }
    if runtime().is_bareboat() {
        race.assert_both_seen();
    }
}

#[test]
fn a_pty_is_not_opened_in_what_only_looks_like_a_devpts() {
    // Names under /dev/pts, and /dev/ptmx beside it, are the image's where no devpts is mounted.
    for name in ["pts/ptmx", "ptmx"] {
        for kind in ["link", "fifo", "device", "file"] {
            let (container, canary) = with_terminal();
            let mut config = container.config();
            crate::hostile::without_mount(&mut config, "/dev/pts");
            container.write_config(&config);
            let ptmx = container.path().join("dev").join(name);
            let mode = Mode::from_bits_truncate(0o666);
            let mut tripwire = None;
            match kind {
                "link" => symlink("/bound/victim", &ptmx).unwrap(),
                "fifo" => tripwire = Some(Tripwire::new(ptmx, false)),
                "device" => mknod(&ptmx, SFlag::S_IFCHR, mode, makedev(5, 2)).unwrap(),
                _ => fs::write(&ptmx, "").unwrap(),
            }
            let (finished, seen) = create(&container, 0);
            canary.assert_untouched((name, kind, &finished));
            assert_victims_seen(seen, "what /dev/ptmx leads to");
            let opened = tripwire.is_some_and(|tripwire| tripwire.was_opened());
            assert!(!opened, "{name} was opened: {finished:?}");
            refused(finished, &["/process/terminal"]);
        }
    }
}
