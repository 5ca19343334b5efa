//! `process.cwd` below a link of the image, and one that is swapped.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use conformance::Container;
use conformance::runtime::runtime;
use conformance::swap::Swapper;
use serde_json::json;

use crate::hostile::{Canary, Seen, link, race, refused, ways_out};

const WHERE: &str = "readlink /proc/self/cwd; cat file 2>/dev/null; cat ../file 2>/dev/null; true";

#[test]
fn a_working_directory_that_is_a_link_out_of_the_root_is_in_it() {
    for way in 0..4 {
        let container = Container::new(|config| {
            config
                .set("/process/cwd", json!("/work/made"))
                .set("/root/readonly", json!(false))
                .shell(WHERE);
        });
        let canary = Canary::new(container.path().join("canary"));
        let target = &ways_out(&canary.path)[way];
        link(&container, "work", target);
        let finished = container.run();
        canary.assert_untouched((target, &finished));
        assert!(!finished.stdout.contains("of the host"), "{finished:?}");
    }
}

#[test]
fn a_working_directory_that_is_a_link_to_a_descriptor_is_refused() {
    // CVE-2024-21626, by way of the image and of /proc. With a sysctl there is a directory of nobody's root among them.
    for target in ["/proc/self/fd", "../../proc/1/fd"] {
        let container = Container::new(|config| {
            config.set("/linux/sysctl", json!({"kernel.shm_rmid_forced": "1"}));
            config.shell(WHERE);
        });
        link(&container, "work", target);
        for number in 3..15 {
            let mut config = container.config();
            config.set("/process/cwd", json!(format!("/work/{number}")));
            container.write_config(&config);
            let finished = container.run();
            assert!(
                finished.stdout.is_empty() || finished.stdout.starts_with("/\n"),
                "a working directory outside of the root: {finished:?}"
            );
            refused(finished, &["/process/cwd"]);
        }
    }
}

#[test]
fn a_working_directory_that_is_swapped_for_a_link_is_inside_or_refused() {
    let place = Container::empty();
    let canary = Canary::new(place.path().join("canary"));
    for target in [
        canary.path.as_path(),
        Path::new("/proc/self/fd"),
        Path::new("/proc/1/root/.."),
    ] {
        let volume = place
            .path()
            .join(format!("volume{}", target.display()).replace('/', "-"));
        for number in 3..15 {
            fs::create_dir_all(volume.join(format!("t/{number}"))).unwrap();
        }
        symlink(target, volume.join("l")).unwrap();
        let victims: Vec<_> = (0..2)
            .map(|_| {
                Container::new(|config| {
                    config.bind(&volume, "/volume", &["rbind"]).shell(WHERE);
                })
            })
            .collect();
        let swapper = Swapper::start(volume.join("t"), volume.join("l"));
        let seen = race(
            &victims,
            25,
            |config, number| {
                let cwd = format!("/volume/t/{}", 3 + number % 12);
                config.set("/process/cwd", json!(cwd));
            },
            |finished, number| {
                canary.assert_untouched((number, &finished));
                assert!(!finished.stdout.contains("of the host"), "{finished:?}");
                match finished.stdout.lines().next() {
                    None => Seen::Refused,
                    Some(cwd) if cwd.starts_with("/volume/") => Seen::Directory,
                    Some(cwd) => {
                        assert!(
                            cwd.starts_with('/'),
                            "a working directory outside of the root: {finished:?}"
                        );
                        Seen::Link
                    }
                }
            },
        );
        drop(swapper);
        seen.assert_both_seen();
        if target.starts_with("/proc") && runtime().is_bareboat() {
            assert_eq!(seen.link, 0, "{}: {seen:?}", target.display());
        }
    }
}
