//! Runs compiled programs in an interpreter of eBPF, against a model of what the kernel does for version 1.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType};

use super::*;
use crate::cgroup::interpreter;

fn run(program: &Program, context: [u32; 3]) -> bool {
    interpreter::run(program.instructions(), context)
}

/// What the kernel's devices controller of version 1 answers after the same rules, one by one.
struct Model {
    allow: bool,
    exceptions: Vec<(Match, u32)>,
}

impl Model {
    fn allows(&self, kind: Kind, major: u32, minor: u32, access: u32) -> bool {
        let mut matching = self.exceptions.iter().filter(|(device, _)| {
            device.kind == kind
                && device.major.is_none_or(|number| number == major)
                && device.minor.is_none_or(|number| number == minor)
        });
        if self.allow {
            !matching.any(|(_, bits)| bits & access != 0)
        } else {
            matching.any(|(_, bits)| access & !bits == 0)
        }
    }
}

fn rule(
    allow: bool,
    typ: LinuxDeviceType,
    major: i64,
    minor: i64,
    access: &str,
) -> LinuxDeviceCgroup {
    let rule = LinuxDeviceCgroupBuilder::default()
        .allow(allow)
        .typ(typ)
        .major(major)
        .minor(minor)
        .access(access);
    rule.build().unwrap()
}

fn assert_agrees(rules: &Rules) {
    let program = compile(rules);
    let exceptions = rules
        .exceptions
        .iter()
        .map(|(device, (access, _))| (*device, access.0))
        .collect();
    let model = Model {
        allow: rules.allow,
        exceptions,
    };
    let numbers = [0, 1, 2, 3, 5, 8, 10, 136, 200, 4095, u32::MAX - 1, u32::MAX];
    for (kind, code) in [(Kind::Block, 1), (Kind::Character, 2)] {
        for (major, minor) in numbers
            .iter()
            .flat_map(|major| numbers.map(|minor| (*major, minor)))
        {
            for access in 1..8 {
                let verdict = run(&program, [access << 16 | code, major, minor]);
                let expected = model.allows(kind, major, minor, access);
                assert_eq!(
                    verdict, expected,
                    "{kind:?} {major}:{minor} {access} under {rules:?}"
                );
            }
        }
    }
}

#[test]
fn a_program_answers_as_version_1_does() {
    use LinuxDeviceType::{A, B, C};
    let sets: &[&[LinuxDeviceCgroup]] = &[
        &[],
        &[rule(false, A, -1, -1, "rwm")],
        &[rule(true, A, -1, -1, "rwm")],
        &[
            rule(true, A, -1, -1, "rwm"),
            rule(false, B, 8, -1, "w"),
            rule(false, C, 5, 1, "rw"),
        ],
        &[
            rule(false, A, -1, -1, "rwm"),
            rule(true, B, 8, -1, "r"),
            rule(true, C, -1, 200, "w"),
            rule(true, C, 4095, 4095, "rm"),
        ],
        &[
            rule(true, C, i64::from(u32::MAX - 1), 0, "rwm"),
            rule(true, B, 1, 2, "rw"),
            rule(false, B, 1, 2, "w"),
        ],
    ];
    for rules in sets {
        assert_agrees(&Rules::from_config(rules, &[]).unwrap());
    }
}

#[test]
fn programs_of_random_rules_answer_as_version_1_does() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for _ in 0..200 {
        let mut rules = Rules {
            allow: random(2) == 1,
            ..Rules::default()
        };
        for _ in 0..random(8) {
            let numbers = [None, Some(1), Some(5), Some(10), Some(4095)];
            let kind = if random(2) == 0 {
                Kind::Block
            } else {
                Kind::Character
            };
            let device = Match {
                kind,
                major: numbers[random(5) as usize],
                minor: numbers[random(5) as usize],
            };
            rules
                .exceptions
                .insert(device, (Access(1 + random(7) as u32), "".into()));
        }
        assert_agrees(&rules);
    }
}

#[test]
fn opening_for_reading_and_writing_is_denied_where_writing_is() {
    let rules = [
        rule(true, LinuxDeviceType::A, -1, -1, "rwm"),
        rule(false, LinuxDeviceType::B, 8, 0, "w"),
    ];
    let program = compile(&Rules::from_config(&rules, &[]).unwrap());
    let ask = |access: Access| run(&program, [access.0 << 16 | BLOCK, 8, 0]);
    assert!(ask(Access::READ));
    assert!(!ask(Access::WRITE));
    assert!(!ask(Access(Access::READ.0 | Access::WRITE.0)));
}
