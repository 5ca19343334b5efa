use proptest::prelude::*;

use super::*;

/// The devices controller of the kernel: security/device_cgroup.c.
#[derive(Clone, Debug)]
struct Kernel {
    allow: bool,
    exceptions: Vec<(Match, u32)>,
}

impl Kernel {
    fn write(&mut self, file: &str, value: &str) {
        let allow = file == ALLOW;
        if value == "a" {
            *self = Kernel {
                allow,
                exceptions: vec![],
            };
            return;
        }
        let (device, access) = parse_line(value).unwrap();
        let listed = self
            .exceptions
            .iter_mut()
            .find(|(there, _)| *there == device);
        match (listed, allow == self.allow) {
            (Some((_, there)), true) => *there &= !access.0,
            (Some((_, there)), false) => *there |= access.0,
            (None, true) => {}
            (None, false) => self.exceptions.push((device, access.0)),
        }
        self.exceptions.retain(|(_, access)| *access != 0);
    }

    fn list(&self) -> String {
        if self.allow {
            return "a *:* rwm\n".to_owned();
        }
        let lines = self.exceptions.iter();
        lines
            .map(|(device, access)| format!("{device} {}\n", Access(*access)))
            .collect()
    }

    /// All of a use is in one exception of a list that allows; any part of it in one of a list that denies.
    fn allows(&self, &(kind, major, minor, access): &Use) -> bool {
        let mut exceptions = self.exceptions.iter().filter(|(device, _)| {
            device.kind == kind
                && device.major.is_none_or(|number| number == major)
                && device.minor.is_none_or(|number| number == minor)
        });
        match self.allow {
            true => exceptions.all(|(_, denied)| denied & access == 0),
            false => exceptions.any(|(_, allowed)| access & !allowed == 0),
        }
    }

    fn of(rules: &Rules) -> Kernel {
        let exceptions = rules.exceptions.iter();
        Kernel {
            allow: rules.allow,
            exceptions: exceptions
                .map(|(device, (access, _))| (*device, access.0))
                .collect(),
        }
    }
}

type Use = (Kind, u32, u32, u32);

fn uses() -> impl Iterator<Item = Use> {
    let kinds = [Kind::Block, Kind::Character].into_iter();
    kinds.flat_map(|kind| {
        (0..3).flat_map(move |major| {
            (0..3).flat_map(move |minor| (1..8).map(move |access| (kind, major, minor, access)))
        })
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    let number = || prop_oneof![Just(None), (0u32..3).prop_map(Some)];
    let device = (any::<bool>(), number(), number()).prop_map(|(block, major, minor)| Match {
        kind: if block { Kind::Block } else { Kind::Character },
        major,
        minor,
    });
    let exceptions = prop::collection::btree_map(device, 1u32..8, 0..6);
    (any::<bool>(), exceptions).prop_map(|(allow, exceptions)| Rules {
        allow,
        order: exceptions.keys().copied().collect(),
        exceptions: exceptions
            .into_iter()
            .map(|(device, access)| (device, (Access(access), "".into())))
            .collect(),
    })
}

proptest! {
    #[test]
    fn any_rules_are_reached_from_any_others(before in rules(), after in rules()) {
        let (before, wanted) = (Kernel::of(&before), Kernel::of(&after));
        let steps = transition(&Current::parse(&before.list()).unwrap(), &after);
        let mut kernel = before.clone();
        for (file, value) in &steps.writes {
            kernel.write(file, value);
            for one in uses() {
                let (old, now, new) = (before.allows(&one), kernel.allows(&one), wanted.allows(&one));
                if !steps.disruptive {
                    prop_assert!(now || !(old && new), "{one:?} is denied meanwhile: {steps:?}");
                }
                if !steps.disruptive || !wanted.allow {
                    prop_assert!(old || new || !now, "{one:?} is allowed meanwhile: {steps:?}");
                }
            }
        }
        for one in uses() {
            prop_assert_eq!(kernel.allows(&one), wanted.allows(&one), "{:?}: {:?}", one, steps);
        }
        prop_assert!(Current::parse(&kernel.list()).unwrap().is(&after));
    }

    #[test]
    fn what_holds_already_is_not_written(rules in rules()) {
        prop_assume!(!rules.allow);
        let current = Current::parse(&Kernel::of(&rules).list()).unwrap();
        prop_assert_eq!(transition(&current, &rules), Transition::default());
    }
}

fn list(text: &str) -> Current {
    Current::parse(text).unwrap()
}

fn rules_of(text: &str) -> Rules {
    let mut rules = Rules::default();
    for line in text.lines() {
        let (device, access) = parse_line(line).unwrap();
        rules.exceptions.insert(device, (access, "".into()));
    }
    rules
}

#[test]
fn what_is_new_is_allowed_before_what_is_old_is_denied() {
    let steps = transition(
        &list("c 1:3 rwm\nc 1:5 rw\nb 8:* r\n"),
        &rules_of("c 1:3 rw\nc 1:* rw\nb 8:* r"),
    );
    let writes: Vec<_> = steps
        .writes
        .iter()
        .map(|(file, value)| format!("{file} {value}"))
        .collect();
    assert_eq!(
        writes,
        [
            "devices.allow c 1:* rw",
            "devices.deny c 1:3 m",
            "devices.deny c 1:5 rw"
        ]
    );
    assert!(!steps.disruptive);
}

#[test]
fn another_default_or_another_access_needs_the_processes_to_stand_still() {
    assert!(transition(&list("a *:* rwm\n"), &rules_of("c 1:3 rw")).disruptive);
    assert!(transition(&list("c 1:3 r\n"), &rules_of("c 1:3 w")).disruptive);
    let all = Rules {
        allow: true,
        ..Rules::default()
    };
    let steps = transition(&list("c 1:3 r\n"), &all);
    assert_eq!(steps.writes, [(ALLOW, "a".to_owned())]);
    assert!(!steps.disruptive);
}

#[test]
fn what_is_no_list_is_not_read_as_one() {
    for text in [
        "x 1:3 rw\n",
        "c 1 rw\n",
        "c 1:3\n",
        "c 1:3 x\n",
        "c one:3 r\n",
    ] {
        assert_eq!(Current::parse(text), None, "{text:?}");
    }
    assert_eq!(Current::parse(""), Some(Current::Only(BTreeMap::new())));
}
