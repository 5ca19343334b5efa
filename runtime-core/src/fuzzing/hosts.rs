//! Hosts of many kinds, on which the same configuration is compiled.

use crate::builder::CgroupDriver;
use crate::cgroup::fuzzing::layouts;
use crate::facts::HostFacts;
use crate::plan::Options;

/// Each with what the caller of `create` might say there.
pub(super) fn hosts() -> Vec<(HostFacts, Options)> {
    let mut hosts = Vec::new();
    for layout in layouts() {
        let facts = HostFacts {
            cgroups: layout,
            ..HostFacts::typical()
        };
        hosts.push((facts, options()));
    }
    let [first, second, ..] = &mut hosts[..] else {
        panic!("there are too few layouts");
    };
    // A kernel that knows little, and a caller that may do little.
    first.0.last_capability = 37;
    first.0.bounding_set = 0xa804_25fb;
    first.1.no_pivot = true;
    first.0.kernel_mounts = vec!["/proc".into(), "/sys".into()];
    second.0.apparmor = true;
    second.0.selinux = true;
    second.0.resctrl = Some("/sys/fs/resctrl".into());
    second.1.start_at_once = true;
    second.1.notify_directory = Some("/run/bareboat/web/notify".into());
    second.1.extra_environment = vec!["LISTEN_FDS=1".to_owned()];
    let user = HostFacts {
        uid: 1000,
        gid: 100,
        ..HostFacts::typical()
    };
    let root_of_users_namespace = HostFacts {
        user_namespace: true,
        foreign_mounts: true,
        denies_setgroups: true,
        ..HostFacts::typical()
    };
    hosts.push((user, options()));
    hosts.push((root_of_users_namespace, options()));
    hosts
}

fn options() -> Options {
    Options {
        id: "web".to_owned(),
        bundle: "/srv/bundles/web".into(),
        cgroup_driver: CgroupDriver::default(),
        home: Some("/home/web".to_owned()),
        ..Options::default()
    }
}
