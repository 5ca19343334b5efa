//! A neighbour that swaps a directory of a shared volume for a link, over and over, while containers start that mount
//! something there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use conformance::process::Finished;
use conformance::runtime::runtime;
use conformance::swap::Swapper;
use conformance::{Config, Container};

use crate::hostile::{Canary, Race, Seen, race};

/// A volume with a directory `t` and a link `l` to this target.
fn volume(container: &Container, target: &Path) -> std::path::PathBuf {
    let volume = container.path().join("volume");
    fs::create_dir_all(volume.join("t/directory")).unwrap();
    symlink(target, volume.join("l")).unwrap();
    volume
}

/// Containers that have the volume, and show their mounts.
fn victims(count: usize, volume: &Path) -> Vec<Container> {
    let victim = |_| {
        Container::new(|config| {
            config
                .bind(volume, "/volume", &["rbind"])
                .args(&["cat", "/proc/self/mountinfo"]);
        })
    };
    (0..count).map(victim).collect()
}

/// A mount of this kind that is known by its source.
fn payload(config: &mut Config, target: &str) {
    config.mount(target, "tmpfs", "payload", &["nosuid", "size=64k"]);
}

/// Where the payload is in the container's root: in the directory of the volume, whatever its name was then, or where the
/// link leads inside the root. A start that was refused mounted it nowhere.
fn judge(finished: Finished) -> Seen {
    if finished.code() != 0 {
        return Seen::Refused;
    }
    let targets: Vec<_> = finished
        .stdout
        .lines()
        .filter(|line| line.contains(" - tmpfs payload "))
        .filter_map(|line| line.split(' ').nth(4))
        .collect();
    match targets[..] {
        [target] if target.starts_with("/volume/") => Seen::Directory,
        [_] => Seen::Link,
        _ => panic!("what was to be mounted in the root is not there: {finished:#?}"),
    }
}

#[test]
fn a_neighbour_that_swaps_links_during_500_starts_leads_nothing_out_of_the_root() {
    // CVE-2021-30465, CVE-2024-45310: mounts, and directories that are made for them.
    let neighbour = Container::with_path(|config, path| {
        config
            .bind(path.join("volume"), "/volume", &["rbind"])
            .args(&["/probe", "swap", "/volume/t", "/volume/l"]);
    });
    let canary = Canary::new(neighbour.path().join("canary"));
    let volume = volume(&neighbour, &canary.path);
    let victims = victims(2, &volume);
    for victim in &victims {
        fs::create_dir(canary.alias(victim).join("directory")).unwrap();
    }
    let _ = neighbour.run_detached();
    let seen = race(
        &victims,
        250,
        |config, number| match number % 2 {
            0 => payload(config, &format!("/volume/t/made-{number}/deep")),
            _ => payload(config, "/volume/t/directory"),
        },
        |finished, number| {
            canary.assert_untouched((number, &finished));
            judge(finished)
        },
    );
    assert_eq!(
        neighbour.status(),
        "running",
        "the neighbour swaps to the end"
    );
    seen.assert_both_seen();
    if runtime().is_bareboat() {
        assert_eq!(seen.refused, 0, "a start failed: {seen:?}");
    }
    for victim in &victims {
        victim.assert_nothing_left();
    }
}

/// Starts of a container whose mount goes to the swapped directory itself.
fn swapped_for(target: &Path, starts: usize) -> Race {
    let place = Container::empty();
    let canary = Canary::new(place.path().join("canary"));
    let volume = volume(&place, target);
    let victims = victims(2, &volume);
    let swapper = Swapper::start(volume.join("t"), volume.join("l"));
    let seen = race(
        &victims,
        starts,
        |config, _| payload(config, "/volume/t"),
        |finished, number| {
            canary.assert_untouched((number, &finished));
            judge(finished)
        },
    );
    let swaps = swapper.stop();
    assert!(swaps > 1000, "the swapper did not run: {swaps}");
    seen.assert_both_seen();
    seen
}

#[test]
fn a_directory_that_is_swapped_for_a_link_to_the_root_is_mounted_on_or_refused() {
    let seen = swapped_for(Path::new("/"), 30);
    if runtime().is_bareboat() {
        assert_eq!(seen.link, 0, "a mount lies over the root: {seen:?}");
    }
}

#[test]
fn a_directory_that_is_swapped_for_a_link_into_proc_is_mounted_on_or_refused() {
    // CVE-2025-52881: what is written there then, labels and sysctls, is written elsewhere.
    for target in ["/proc/self/attr", "/proc/1/root", "/proc/sys/kernel"] {
        let seen = swapped_for(Path::new(target), 20);
        assert_eq!(seen.link, 0, "a mount lies over {target}: {seen:?}");
    }
}

#[test]
fn a_directory_that_is_swapped_for_a_link_to_dev_makes_no_devices_in_a_volume() {
    let place = Container::empty();
    let volume = volume(&place, Path::new("/dev"));
    let payload = Canary::new(place.path().join("payload"));
    let victims = victims(2, &volume);
    let swapper = Swapper::start(volume.join("t"), volume.join("l"));
    let seen = race(
        &victims,
        30,
        |config, _| {
            config.bind(&payload.path, "/volume/t", &["rbind"]);
        },
        |finished, number| {
            payload.assert_untouched((number, &finished));
            if finished.code() == 0 {
                Seen::Directory
            } else {
                Seen::Refused
            }
        },
    );
    assert!(swapper.stop() > 1000, "the swapper did not run");
    seen.assert_both_seen();
}
