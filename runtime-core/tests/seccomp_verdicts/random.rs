//! Pseudo-random profiles, the same in every run.

use serde_json::{Value, json};

/// splitmix64 (Steele, Lea and Flood, 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// A value near those where comparisons change.
    pub(crate) fn value(&mut self) -> u64 {
        let bases = [
            0,
            1,
            2,
            5,
            0xff,
            0x7e02_0000,
            0xffff_ffff,
            1 << 32,
            (1 << 32) + 5,
            5 << 32,
            1 << 63,
            u64::MAX,
        ];
        let base = *self.pick(&bases);
        match self.below(4) {
            0 => base.wrapping_add(1),
            1 => base.wrapping_sub(1),
            _ => base,
        }
    }

    fn mask(&mut self) -> u64 {
        *self.pick(&[
            0,
            1,
            0xff,
            0x7e02_0000,
            0xffff_ffff,
            0xffff_ffff_0000_0000,
            0xff_0000_00ff,
            u64::MAX,
        ])
    }

    pub(crate) fn argument(&mut self, index: usize, operators: &[&str]) -> Value {
        match *self.pick(operators) {
            "SCMP_CMP_MASKED_EQ" => {
                json!({"index": index, "op": "SCMP_CMP_MASKED_EQ", "value": self.mask(), "valueTwo": self.value()})
            }
            operator => json!({"index": index, "op": operator, "value": self.value()}),
        }
    }
}

pub(crate) const OPERATORS: [&str; 7] = [
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];

/// Operators that compare for equality in one place of the tree of tests.
pub(crate) const EQUALITIES: [&str; 2] = ["SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ"];

/// `(action, errnoRet)`
pub(crate) const ACTIONS: [(&str, Option<u32>); 9] = [
    ("SCMP_ACT_ALLOW", None),
    ("SCMP_ACT_ERRNO", None),
    ("SCMP_ACT_ERRNO", Some(38)),
    ("SCMP_ACT_ERRNO", Some(13)),
    ("SCMP_ACT_KILL", None),
    ("SCMP_ACT_KILL_PROCESS", None),
    ("SCMP_ACT_TRAP", None),
    ("SCMP_ACT_TRACE", Some(7)),
    ("SCMP_ACT_LOG", None),
];

/// A profile in which all rules of a call have the same action, so that their order does not matter.
pub(crate) fn peaceful(random: &mut Random, names: &[String], archs: &[&str]) -> Value {
    let often = [
        "socket",
        "bind",
        "sendto",
        "accept4",
        "shmat",
        "semop",
        "clone",
        "ioctl",
        "prctl",
        "socketcall",
    ];
    let mut rules = Vec::new();
    for salt in 0..random.below(12) {
        let (action, errno) = *random.pick(&ACTIONS);
        // Each call belongs to one action.
        let belongs = |name: &str| name.len() % 12 == salt;
        let all: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|name| belongs(name))
            .collect();
        let dear: Vec<&str> = often.into_iter().filter(|name| belongs(name)).collect();
        for _ in 0..1 + random.below(4) {
            let from = if dear.is_empty() || random.chance(60) {
                &all
            } else {
                &dear
            };
            if from.is_empty() {
                continue;
            }
            let listed: Vec<&str> = (0..1 + random.below(20))
                .map(|_| *random.pick(from))
                .collect();
            let mut rule = json!({"names": listed, "action": action});
            if let Some(errno) = errno {
                rule["errnoRet"] = json!(errno);
            }
            if random.chance(60) {
                rule["args"] = conjunction(random);
            }
            rules.push(rule);
        }
    }
    let archs: Vec<_> = archs.iter().filter(|_| random.chance(60)).collect();
    json!({"defaultAction": random.pick(&ACTIONS).0, "architectures": archs, "syscalls": rules})
}

/// Comparisons of different arguments, within what libseccomp 2.5 and 2.6 compile without a mistake: only the
/// last one may be an inequality, and of 32 bits. Behind an inequality they share nodes between rules and so
/// mix their conditions up, and behind an inequality of 64 bits they compare the low half where they mean the
/// high one. `a_verdict_is_what_the_rules_say` covers the rest.
pub(crate) fn conjunction(random: &mut Random) -> Value {
    let mut indices: Vec<usize> = (0..6).filter(|_| random.chance(30)).collect();
    let last = indices.pop().unwrap_or(0);
    let mut args: Vec<_> = indices
        .iter()
        .map(|index| random.argument(*index, &EQUALITIES))
        .collect();
    for _ in 0..if random.chance(10) { 2 } else { 1 } {
        let mut arg = random.argument(last, &OPERATORS);
        if !EQUALITIES.iter().any(|equality| arg["op"] == *equality) {
            arg["value"] = json!(arg["value"].as_u64().unwrap() & 0xffff_ffff);
        }
        args.push(arg);
    }
    args.into()
}
