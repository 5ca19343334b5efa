//! config.md, "Linux mount options": each option of the table.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::json;

use super::{inside, refuses};
use crate::container::probe;
use crate::mountinfo::Mount;
use crate::suite::skip;
use crate::{Container, Report};

cases! {
    Must "config.md#linux-mount-options" ["1.1.0"] "async" option_async => || absent(&["sync", "async"], "sync");
    Must "config.md#linux-mount-options" ["1.1.0"] "atime" option_atime => || absent(&["noatime", "atime"], "noatime");
    Must "config.md#linux-mount-options" ["1.1.0"] "bind: Bind mount" option_bind => || binds("bind", false);
    Must "config.md#linux-mount-options" ["1.1.0"] "defaults" option_defaults => || present(&["defaults"], "rw");
    Must "config.md#linux-mount-options" ["1.1.0"] "dev" option_dev => || absent(&["nodev", "dev"], "nodev");
    Must "config.md#linux-mount-options" ["1.1.0"] "diratime" option_diratime => || absent(&["nodiratime", "diratime"], "nodiratime");
    Must "config.md#linux-mount-options" ["1.1.0"] "dirsync" option_dirsync => || present(&["dirsync"], "dirsync");
    Must "config.md#linux-mount-options" ["1.1.0"] "exec" option_exec => || absent(&["noexec", "exec"], "noexec");
    Must "config.md#linux-mount-options" ["1.1.0"] "iversion" option_iversion => || present(&["iversion"], "rw");
    Must "config.md#linux-mount-options" ["1.1.0"] "lazytime" option_lazytime => || present(&["lazytime"], "lazytime");
    Must "config.md#linux-mount-options" ["1.1.0"] "loud" option_loud => || present(&["loud"], "rw");
    Must "config.md#linux-mount-options" ["1.1.0"] "noatime" option_noatime => || present(&["noatime"], "noatime");
    Must "config.md#linux-mount-options" ["1.1.0"] "nodev" option_nodev => || present(&["nodev"], "nodev");
    Must "config.md#linux-mount-options" ["1.1.0"] "nodiratime" option_nodiratime => || present(&["nodiratime"], "nodiratime");
    Must "config.md#linux-mount-options" ["1.1.0"] "noexec" option_noexec => || present(&["noexec"], "noexec");
    Must "config.md#linux-mount-options" ["1.1.0"] "noiversion" option_noiversion => || present(&["iversion", "noiversion"], "rw");
    Must "config.md#linux-mount-options" ["1.1.0"] "nolazytime" option_nolazytime => || absent(&["lazytime", "nolazytime"], "lazytime");
    Must "config.md#linux-mount-options" ["1.1.0"] "norelatime" option_norelatime => || present(&["norelatime"], "rw");
    Must "config.md#linux-mount-options" ["1.1.0"] "nostrictatime" option_nostrictatime => || present(&["strictatime", "nostrictatime"], "relatime");
    Must "config.md#linux-mount-options" ["1.1.0"] "nosuid" option_nosuid => || present(&["nosuid"], "nosuid");
    Should "config.md#linux-mount-options" ["1.1.0"] "nosymfollow" option_nosymfollow => || present(&["nosymfollow"], "nosymfollow");
    Must "config.md#linux-mount-options" ["1.1.0"] "private: Bind mount propagation" option_private => || propagation("private", "", false);
    Should "config.md#linux-mount-options" ["1.1.0"] "ratime: Recursive atime" option_ratime => || recursive("ratime", MsFlags::MS_NOATIME, "noatime", false);
    Must "config.md#linux-mount-options" ["1.1.0"] "rbind: Recursive bind mount" option_rbind => || binds("rbind", true);
    Should "config.md#linux-mount-options" ["1.1.0"] "rdev: Recursive dev" option_rdev => || recursive("rdev", MsFlags::MS_NODEV, "nodev", false);
    Should "config.md#linux-mount-options" ["1.1.0"] "rdiratime: Recursive diratime" option_rdiratime => || recursive("rdiratime", MsFlags::MS_NODIRATIME, "nodiratime", false);
    Must "config.md#linux-mount-options" ["1.1.0"] "relatime" option_relatime => || present(&["relatime"], "relatime");
    Must "config.md#linux-mount-options" ["1.1.0"] "remount" option_remount;
    Should "config.md#linux-mount-options" ["1.1.0"] "rexec" option_rexec => || recursive("rexec", MsFlags::MS_NOEXEC, "noexec", false);
    Should "config.md#linux-mount-options" ["1.1.0"] "rnoatime: Recursive noatime" option_rnoatime => || recursive("rnoatime", MsFlags::empty(), "noatime", true);
    Should "config.md#linux-mount-options" ["1.1.0"] "rnodiratime: Recursive nodiratime" option_rnodiratime => || recursive("rnodiratime", MsFlags::empty(), "nodiratime", true);
    Should "config.md#linux-mount-options" ["1.1.0"] "rnoexec: Recursive noexec" option_rnoexec => || recursive("rnoexec", MsFlags::empty(), "noexec", true);
    Should "config.md#linux-mount-options" ["1.1.0"] "rnorelatime: Recursive norelatime" option_rnorelatime => || recursive("rnorelatime", MsFlags::empty(), "noatime", false);
    Should "config.md#linux-mount-options" ["1.1.0"] "rnostrictatime: Recursive nostrictatime" option_rnostrictatime => || recursive("rnostrictatime", MsFlags::MS_STRICTATIME, "relatime", true);
    Should "config.md#linux-mount-options" ["1.1.0"] "rnosuid: Recursive nosuid" option_rnosuid => || recursive("rnosuid", MsFlags::empty(), "nosuid", true);
    Should "config.md#linux-mount-options" ["1.1.0"] "(rnodev, of mount_setattr(2): the opposite of rdev)" option_rnodev => || recursive("rnodev", MsFlags::empty(), "nodev", true);
    Should "config.md#linux-mount-options" ["1.1.0"] "rnosymfollow: Recursive nosymfollow" option_rnosymfollow => || recursive("rnosymfollow", MsFlags::empty(), "nosymfollow", true);
    Must "config.md#linux-mount-options" ["1.1.0"] "ro" option_ro => || present(&["ro"], "ro");
    Must "config.md#linux-mount-options" ["1.1.0"] "rprivate: Bind mount propagation" option_rprivate => || propagation("rprivate", "", true);
    Should "config.md#linux-mount-options" ["1.1.0"] "rrelatime: Recursive relatime" option_rrelatime => || recursive("rrelatime", MsFlags::MS_STRICTATIME, "relatime", true);
    Should "config.md#linux-mount-options" ["1.1.0"] "rro: Recursive ro" option_rro => || recursive("rro", MsFlags::empty(), "ro", true);
    Should "config.md#linux-mount-options" ["1.1.0"] "rrw: Recursive rw" option_rrw => || recursive("rrw", MsFlags::MS_RDONLY, "rw", true);
    Must "config.md#linux-mount-options" ["1.1.0"] "rshared: Bind mount propagation" option_rshared => || propagation("rshared", "shared", true);
    Must "config.md#linux-mount-options" ["1.1.0"] "rslave: Bind mount propagation" option_rslave => || propagation("rslave", "master", true);
    Should "config.md#linux-mount-options" ["1.1.0"] "rstrictatime: Recursive strictatime" option_rstrictatime => || recursive("rstrictatime", MsFlags::empty(), "relatime", false);
    Should "config.md#linux-mount-options" ["1.1.0"] "rsuid: Recursive suid" option_rsuid => || recursive("rsuid", MsFlags::MS_NOSUID, "nosuid", false);
    Should "config.md#linux-mount-options" ["1.1.0"] "rsymfollow: Recursive symfollow" option_rsymfollow => || recursive("rsymfollow", MS_NOSYMFOLLOW, "nosymfollow", false);
    Must "config.md#linux-mount-options" ["1.1.0"] "runbindable: Bind mount propagation" option_runbindable => || propagation("runbindable", "unbindable", true);
    Must "config.md#linux-mount-options" ["1.1.0"] "rw" option_rw => || present(&["ro", "rw"], "rw");
    Must "config.md#linux-mount-options" ["1.1.0"] "shared" option_shared => || propagation("shared", "shared", false);
    Must "config.md#linux-mount-options" ["1.1.0"] "silent" option_silent => || present(&["silent"], "rw");
    Must "config.md#linux-mount-options" ["1.1.0"] "slave: Bind mount propagation" option_slave => || propagation("slave", "master", false);
    Must "config.md#linux-mount-options" ["1.1.0"] "strictatime" option_strictatime => || absent(&["strictatime"], "relatime");
    Must "config.md#linux-mount-options" ["1.1.0"] "suid" option_suid => || absent(&["nosuid", "suid"], "nosuid");
    Should "config.md#linux-mount-options" ["1.1.0"] "symfollow: Opposite of nosymfollow" option_symfollow => || absent(&["nosymfollow", "symfollow"], "nosymfollow");
    Must "config.md#linux-mount-options" ["1.1.0"] "sync" option_sync => || present(&["sync"], "sync");
    Must "config.md#linux-mount-options" ["1.1.0"] "unbindable: Bind mount propagation" option_unbindable => || propagation("unbindable", "unbindable", false);
    Should "config.md#linux-mount-options" ["1.2.0"] "idmap: … If uidMappings or gidMappings are specified for the mount, the runtime MUST use those values for the mount's mapping."
        option_idmap_uses_the_mappings_of_the_mount => || idmapped("idmap", false);
    Should "config.md#linux-mount-options" ["1.2.0"] "ridmap: Indicates that the mount MUST have an idmapping applied, and the mapping is applied recursively."
        option_ridmap_uses_the_mappings_of_the_mount_recursively => || idmapped("ridmap", true);
    Must "config.md#linux-mount-options" ["1.2.0"] "idmap: If there are no uidMappings and gidMappings specified and the container isn't using user namespaces, an error MUST be returned."
        option_idmap_without_mappings_or_user_namespace_is_an_error => || idmap_without_mappings("idmap");
    Must "config.md#linux-mount-options" ["1.2.0"] "ridmap: If there are no uidMappings and gidMappings specified and the container isn't using user namespaces, an error MUST be returned."
        option_ridmap_without_mappings_or_user_namespace_is_an_error => || idmap_without_mappings("ridmap");
    Should "config.md#linux-mount-options" ["1.1.0"] "Runtimes SHOULD treat unknown options as filesystem-specific ones and pass those as a comma-separated string …"
        unknown_options_are_the_file_systems;
    Must "config.md#valid-values" ["1.1.0"] "Runtimes MUST generate an error when invalid or unsupported values are encountered (an option that the file system does not know)"
        an_option_that_nobody_knows_is_an_error => || refuses(|config| { config.mount("/tmp", "tmpfs", "tmpfs", &["no-such-option"]); });
    Must "config.md#posix-platform-mounts" ["1.2.0"] "If [uidMappings is] specified, it MUST be specified along with gidMappings."
        uid_mappings_without_gid_mappings_are_an_error => || lone_mappings("uidMappings");
    Must "config.md#posix-platform-mounts" ["1.2.0"] "If [gidMappings is] specified, it MUST be specified along with uidMappings."
        gid_mappings_without_uid_mappings_are_an_error => || lone_mappings("gidMappings");
}

/// `MS_NOSYMFOLLOW` of linux/mount.h.
const MS_NOSYMFOLLOW: MsFlags = MsFlags::from_bits_retain(256);

fn tmpfs(options: &[&str]) -> Mount {
    let report = probe(|config| {
        config
            .version("1.1.0")
            .mount("/tmp", "tmpfs", "tmpfs", options);
    });
    report.mount("/tmp").clone()
}

fn present(options: &[&str], expected: &str) {
    let mount = tmpfs(options);
    assert!(mount.has(expected), "{options:?}: {mount:?}");
}

fn absent(options: &[&str], unexpected: &str) {
    let mount = tmpfs(options);
    assert!(!mount.has(unexpected), "{options:?}: {mount:?}");
}

/// Mounts on the host that a case needs: a tmpfs, and another one in its directory `sub`. Undone with the case.
struct Source(PathBuf);

impl Source {
    fn new(container: &Container, flags: MsFlags) -> Self {
        let source = Self(container.path().join("source"));
        fs::create_dir(&source.0).unwrap();
        let top = source.0.clone();
        make(&top, MsFlags::empty());
        fs::create_dir(top.join("sub")).unwrap();
        make(&top.join("sub"), MsFlags::empty());
        for path in [top.join("sub"), top] {
            fs::write(path.join("file"), "").unwrap();
            let again = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags;
            mount(None::<&str>, &path, None::<&str>, again, None::<&str>).unwrap();
        }
        source
    }

    fn propagate(&self, flags: MsFlags) {
        let flags = flags | MsFlags::MS_REC;
        mount(None::<&str>, &self.0, None::<&str>, flags, None::<&str>).unwrap();
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

fn make(target: &Path, flags: MsFlags) {
    if let Err(error) = mount(Some("tmpfs"), target, Some("tmpfs"), flags, None::<&str>) {
        skip(format!("a tmpfs cannot be mounted here: {error}"));
    }
    let private = MsFlags::MS_PRIVATE;
    mount(None::<&str>, target, None::<&str>, private, None::<&str>).unwrap();
}

/// What a container sees that has the source bound on `/tmp`.
fn bound(options: &[&str], flags: MsFlags, propagation: MsFlags) -> Report {
    let container = Container::with_path(|config, path| {
        config
            .version("1.1.0")
            .bind(path.join("source"), "/tmp", options);
    });
    let source = Source::new(&container, flags);
    source.propagate(propagation);
    let report = container.report();
    drop(source);
    report
}

fn binds(option: &str, with_submounts: bool) {
    let report = bound(&[option], MsFlags::empty(), MsFlags::MS_PRIVATE);
    assert!(report.is_mounted("/tmp"));
    assert_eq!(report.is_mounted("/tmp/sub"), with_submounts);
}

fn propagation(option: &str, tag: &str, recursively: bool) {
    // What is to be seen must not be what it was before.
    let before = match tag {
        "shared" => MsFlags::MS_PRIVATE,
        _ => MsFlags::MS_SHARED,
    };
    let report = bound(&["rbind", option], MsFlags::empty(), before);
    let targets: &[_] = if recursively {
        &["/tmp", "/tmp/sub"]
    } else {
        &["/tmp"]
    };
    for target in targets {
        let mount = report.mount(target);
        let holds = match tag {
            "" => mount.propagation.is_empty(),
            tag => mount.propagates(tag),
        };
        assert!(holds, "{option}: {mount:?}");
    }
}

fn recursive(option: &str, before: MsFlags, word: &str, expected: bool) {
    let report = bound(&["rbind", option], before, MsFlags::MS_PRIVATE);
    for target in ["/tmp", "/tmp/sub"] {
        let mount = report.mount(target);
        let holds = mount.options.iter().any(|option| option == word);
        assert_eq!(holds, expected, "{option}, {word}: {mount:?}");
    }
}

fn option_remount() {
    let report = probe(|config| {
        config
            .version("1.1.0")
            .mount("/tmp", "tmpfs", "tmpfs", &["rw"])
            .mount("/tmp", "tmpfs", "tmpfs", &["remount", "ro"]);
    });
    let mounts: Vec<_> = report
        .mounts
        .iter()
        .filter(|mount| mount.target == "/tmp")
        .collect();
    assert_eq!(mounts.len(), 1, "{mounts:#?}");
    assert!(mounts[0].has("ro"), "{mounts:#?}");
}

const MAPPINGS: &str = r#"[{"containerID": 0, "hostID": 100000, "size": 65536}]"#;

/// The files are root's, and are seen as those of 100000.
fn idmapped(option: &str, recursively: bool) {
    if crate::runtime::kernel() < (6, 3) {
        skip("the ids of a tmpfs can be mapped from Linux 6.3 on");
    }
    let container = Container::with_path(|config, path| {
        let mappings: serde_json::Value = serde_json::from_str(MAPPINGS).unwrap();
        let source = path.join("source");
        let script = "stat -c %u:%g /tmp/file /tmp/sub/file";
        config.version("1.2.0").shell(script).push(
            "/mounts",
            json!({"destination": "/tmp", "type": "none", "source": source, "options": ["rbind", option],
                "uidMappings": mappings, "gidMappings": mappings}),
        );
    });
    let source = Source::new(&container, MsFlags::empty());
    let finished = container.run();
    drop(source);
    let owners = finished.ok().stdout;
    let inner = if recursively { "100000:100000" } else { "0:0" };
    assert_eq!(owners, format!("100000:100000\n{inner}\n"));
}

fn idmap_without_mappings(option: &str) {
    refuses(|config| {
        config
            .version("1.2.0")
            .bind("/usr", "/tmp", &["rbind", option]);
    });
}

fn lone_mappings(field: &str) {
    let mappings: serde_json::Value = serde_json::from_str(MAPPINGS).unwrap();
    refuses(|config| {
        let mount = json!({"destination": "/tmp", "type": "none", "source": "/usr", "options": ["rbind", "idmap"], field: mappings});
        config.version("1.2.0").push("/mounts", mount);
    });
}

fn unknown_options_are_the_file_systems() {
    let text = inside("grep ' /tmp ' /proc/self/mountinfo", |config| {
        config.version("1.1.0").mount(
            "/tmp",
            "tmpfs",
            "tmpfs",
            &["nosuid", "size=4m", "nr_inodes=77"],
        );
    });
    assert!(
        text.contains("size=4096k") && text.contains("nr_inodes=77"),
        "{text}"
    );
}
