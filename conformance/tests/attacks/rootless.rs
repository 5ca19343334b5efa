//! A user's container without a cgroup namespace: what of the host's cgroups it sees is not its to change.

use std::fs;
use std::path::{Path, PathBuf};

use conformance::cgroup;
use conformance::driver::is_systemd_and;
use serde_json::json;

use crate::hostile::without_mount;
use crate::user::User;

#[test]
fn a_users_container_without_a_cgroup_namespace_cannot_write_to_his_cgroups() {
    // CVE-2023-25809: with /sys bound recursively, as `spec --rootless` has it, alone and with what covers its cgroups.
    if is_systemd_and("the user's cgroup is made by hand") {
        return;
    }
    let cgroups = ("/sys/fs/cgroup", "rbind");
    for (has_mount, bound) in [(false, None), (true, None), (false, Some(cgroups))] {
        let Some(mut user) = User::new() else { return };
        let delegated = user.delegate_cgroup();
        let name = delegated.trim_start_matches('/').to_owned();
        let script = format!(
            "find /sys/fs/cgroup -maxdepth 4 -name {name} -type d 2>/dev/null > /tmp/found
            ls -d /sys/fs/cgroup/ /sys/fs/cgroup/*/ >> /tmp/found
            while read d; do mkdir $d/escaped 2>/dev/null && echo made $d/escaped
            (echo 0 > $d/cgroup.procs) 2>/dev/null && echo moved to $d; done < /tmp/found
            grep -q {name} /tmp/found && echo seen; echo end"
        );
        user.config(|config| {
            config
                .share("cgroup")
                .mount("/tmp", "tmpfs", "tmpfs", &[])
                .shell(&script);
            config.set("/linux/cgroupsPath", json!(format!("{delegated}/inner")));
            if !has_mount {
                without_mount(config, "/sys/fs/cgroup");
            }
            if let Some((path, option)) = bound {
                config.bind(path, path, &[option, "ro"]);
            }
        });
        let finished = user.run(&[]);
        let seen = if has_mount { "" } else { "seen\n" };
        assert_eq!(
            finished.stdout,
            format!("{seen}end\n"),
            "{has_mount} {bound:?}: {finished:?}"
        );
        for (_, mount) in cgroup::hierarchies() {
            let found = escaped(&mount.join(&name));
            assert!(found.is_none(), "{found:?}: {finished:?}");
        }
        cgroup::remove(&delegated);
    }
}

fn escaped(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?.flatten();
    let mut below = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    below.find_map(|path| match path.ends_with("escaped") {
        true => Some(path),
        false => escaped(&path),
    })
}
