//! linux.resources.devices: config-linux.md, "Allowed Device list". Devices are tried by a process of the cgroup.

use conformance::Container;
use conformance::agreement::device_rules;
use conformance::cgroup::directory;
use conformance::device_probe::{self, NODES, Verdicts};
use conformance::runtime::runtime;
use serde_json::Value;

/// What the kernel's devices controller of version 1 makes of rules: a default, and exceptions from it.
#[derive(Default)]
struct Model {
    allow: bool,
    exceptions: Vec<(Which, String)>,
}

/// Kind, major and minor number; nothing for all.
type Which = (char, Option<u64>, Option<u64>);

impl Model {
    /// None when a part of an exception is to be taken out, which is refused.
    fn of(rules: &[Value]) -> Option<Self> {
        let mut model = Self::default();
        for rule in rules {
            let allow = rule["allow"] == true;
            match rule["type"].as_str() {
                None | Some("a") => {
                    model = Self {
                        allow,
                        exceptions: vec![],
                    }
                }
                Some(kind) => {
                    let which = (
                        kind.chars().next()?,
                        rule["major"].as_u64(),
                        rule["minor"].as_u64(),
                    );
                    model.apply(allow, which, rule["access"].as_str()?)?;
                }
            }
        }
        let always: [(char, Option<u64>, Option<u64>, &str); 11] = [
            ('c', None, None, "m"),
            ('b', None, None, "m"),
            ('c', Some(1), Some(3), "rwm"),
            ('c', Some(1), Some(5), "rwm"),
            ('c', Some(1), Some(7), "rwm"),
            ('c', Some(1), Some(8), "rwm"),
            ('c', Some(1), Some(9), "rwm"),
            ('c', Some(5), Some(0), "rwm"),
            ('c', Some(5), Some(2), "rwm"),
            ('c', Some(136), None, "rwm"),
            ('c', Some(10), Some(200), "rwm"),
        ];
        for (kind, major, minor, access) in always {
            model.apply(true, (kind, major, minor), access)?;
        }
        Some(model)
    }

    fn apply(&mut self, allow: bool, which: Which, access: &str) -> Option<()> {
        let place = self
            .exceptions
            .iter()
            .position(|(known, _)| *known == which);
        if allow != self.allow {
            match place {
                Some(place) => self.exceptions[place].1.push_str(access),
                None => self.exceptions.push((which, access.to_owned())),
            }
            return Some(());
        }
        let (kind, major, minor) = which;
        let wider = [(kind, None, minor), (kind, major, None), (kind, None, None)];
        let is_hole = |(known, letters): &(Which, String)| {
            *known != which
                && wider.contains(known)
                && letters.contains(|letter| access.contains(letter))
        };
        if self.exceptions.iter().any(is_hole) {
            return None;
        }
        if let Some(place) = place {
            self.exceptions[place]
                .1
                .retain(|letter| !access.contains(letter));
        }
        Some(())
    }

    fn allows(&self, (kind, major, minor): (char, u64, u64), access: &str) -> bool {
        let mut matching =
            self.exceptions
                .iter()
                .filter(|((known, known_major, known_minor), _)| {
                    *known == kind
                        && known_major.is_none_or(|number| number == major)
                        && known_minor.is_none_or(|number| number == minor)
                });
        if self.allow {
            !matching.any(|(_, letters)| letters.contains(|letter| access.contains(letter)))
        } else {
            matching.any(|(_, letters)| access.chars().all(|letter| letters.contains(letter)))
        }
    }

    fn verdicts(&self) -> Verdicts {
        let ways = [('m', "m"), ('r', "r"), ('w', "w"), ('+', "rw")];
        let of = |node: (char, u64, u64)| {
            let allowed = ways
                .into_iter()
                .filter(|(_, access)| self.allows(node, access));
            let (kind, major, minor) = node;
            (
                format!("{kind} {major}:{minor}"),
                allowed.map(|(letter, _)| letter).collect(),
            )
        };
        NODES.into_iter().map(of).collect()
    }
}

#[test]
fn device_rules_do_what_the_model_of_version_1_says_on_both_versions() {
    if !runtime().is_bareboat() {
        eprintln!("skipped: runc's filter of version 2 departs from version 1");
        return;
    }
    let container = Container::new(|_| {});
    let (mut refused, mut judged) = (0, 0);
    for seed in 0..50 {
        let rules = device_rules(seed);
        let mut config = container.config();
        config.set("/linux/resources/devices", rules.clone());
        container.write_config(&config);
        let created = container.create();
        let Some(model) = Model::of(rules.as_array().unwrap()) else {
            let _ = created.refused(&[
                "cannot be taken out of the wider",
                "/linux/resources/devices/",
            ]);
            refused += 1;
            continue;
        };
        let _ = created.ok();
        let cgroup = directory("devices", &container.cgroup);
        let verdicts = device_probe::ask(&container.rootfs().join("probe"), &cgroup);
        assert_eq!(verdicts, model.verdicts(), "{rules}");
        let _ = container.delete_force().ok();
        judged += 1;
    }
    assert!(judged > 25 && refused > 0, "{judged} {refused}");
}
