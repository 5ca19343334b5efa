//! The differences from runc that are intended, each with its reason. `docs/cgroups.md` has the same list.

use serde_json::Value;

use super::Difference;
use super::Difference::{Device, File, OnlyOursRefused, OnlyTheirsRefused};
use crate::runtime::Runtime;

/// What there is to know of a case.
#[derive(Debug)]
pub struct Context<'a> {
    /// The configuration.
    pub resources: &'a Value,
    /// Whether the controllers are in cgroup v1.
    pub v1: bool,
    /// The other runtime.
    pub reference: &'a Runtime,
    /// Whether systemd makes the cgroups.
    pub systemd: bool,
}

impl Context<'_> {
    fn number(&self, pointer: &str) -> Option<i64> {
        self.resources.pointer(pointer)?.as_i64()
    }

    fn has(&self, pointer: &str) -> bool {
        self.resources.pointer(pointer).is_some()
    }

    fn rules(&self) -> &[Value] {
        let rules = self.resources.pointer("/devices").and_then(Value::as_array);
        rules.map(Vec::as_slice).unwrap_or_default()
    }

    fn is_crun(&self) -> bool {
        self.reference.name == "crun"
    }

    fn is_runc_before(&self, version: [u32; 3]) -> bool {
        self.reference.name == "runc" && self.reference.version < version
    }
}

/// A difference that is meant to be.
#[derive(Debug)]
pub struct Intended {
    /// What differs.
    pub what: &'static str,
    /// Why.
    pub reason: &'static str,
    applies: fn(&Context<'_>, &Difference) -> bool,
}

/// The intended difference that this one is.
#[must_use]
pub fn find(context: &Context<'_>, difference: &Difference) -> Option<&'static Intended> {
    TABLE
        .iter()
        .find(|intended| (intended.applies)(context, difference))
}

fn we_refuse(difference: &Difference, pointer: &str) -> bool {
    matches!(difference, OnlyOursRefused(message) if message.contains(pointer))
}

fn they_refuse(difference: &Difference, phrase: &str) -> bool {
    matches!(difference, OnlyTheirsRefused(message) if message.contains(phrase))
}

fn is_of(difference: &Difference, file: &str) -> bool {
    matches!(difference, File { name, .. } if name == file)
}

/// All of them.
pub static TABLE: &[Intended] = &[
    Intended {
        what: "`memory.swappiness` is refused on v2",
        reason: "v2 has no swappiness of a cgroup, and nothing is ignored silently; runc ignores it",
        applies: |context, difference| !context.v1 && we_refuse(difference, "/memory/swappiness"),
    },
    Intended {
        what: "`memory.disableOOMKiller: true` is refused on v2",
        reason: "v2 cannot disable the OOM killer; runc ignores it. `false` is what v2 does, and is taken",
        applies: |context, difference| {
            !context.v1 && we_refuse(difference, "/memory/disableOOMKiller")
        },
    },
    Intended {
        what: "`memory.useHierarchy: false` is refused",
        reason: "since Linux 5.11 there is no other accounting than the hierarchical one; runc ignores it",
        applies: |_, difference| we_refuse(difference, "/memory/useHierarchy"),
    },
    Intended {
        what: "`memory.kernelTCP` is set on v1",
        reason: "the kernel still has memory.kmem.tcp.limit_in_bytes; runc ignores it",
        applies: |_, difference| is_of(difference, "memory/memory.kmem.tcp.limit_in_bytes"),
    },
    Intended {
        what: "`cpu.realtimeRuntime` and `cpu.realtimePeriod` are refused on v2",
        reason: "v2 does not divide realtime; runc ignores them",
        applies: |context, difference| !context.v1 && we_refuse(difference, "/cpu/realtime"),
    },
    Intended {
        what: "`cpu.idle: 1` and `cpu.shares` go together on v2",
        reason: "the weight is written before idle, after which the kernel refuses it; runc writes idle first, and fails",
        applies: |context, difference| {
            let both = context.number("/cpu/idle") == Some(1) && context.has("/cpu/shares");
            !context.v1 && both && they_refuse(difference, "cpu.weight")
        },
    },
    Intended {
        what: "`network` is refused on v2",
        reason: "v2 has no network controllers; runc ignores it",
        applies: |context, difference| !context.v1 && we_refuse(difference, "/network/"),
    },
    Intended {
        what: "`blockIO.leafWeight` is refused on v2",
        reason: "v2 has no leaf weights; runc ignores them",
        applies: |context, difference| !context.v1 && we_refuse(difference, "eafWeight"),
    },
    Intended {
        what: "`blockIO.weightDevice` without BFQ is written to io.weight on v2",
        reason: "it is the same setting for io.cost; the kernel refuses it for a device that has neither, and runc ignores it",
        applies: |context, difference| {
            let is_weight = is_of(difference, "unified/io.weight")
                || we_refuse(difference, "io.weight")
                || we_refuse(difference, "is not in the range from 1 to 1000");
            !context.v1 && context.has("/blockIO/weightDevice") && is_weight
        },
    },
    Intended {
        what: "an entry of `blockIO.weightDevice` without any weight is refused",
        reason: "the specification says that one MUST be given; runc ignores the entry",
        applies: |_, difference| we_refuse(difference, "neither a weight nor a leafWeight"),
    },
    Intended {
        what: "an entry of `blockIO.weightDevice` that is no device number is refused",
        reason: "runc writes nothing without BFQ",
        applies: |_, difference| {
            we_refuse(difference, "/blockIO/weightDevice")
                && we_refuse(difference, "is not a device number")
        },
    },
    Intended {
        what: "a `blockIO` rate of 0 is no limit on v2",
        reason: "it is that on v1; runc writes the 0, which the kernel refuses",
        applies: |context, difference| {
            !context.v1 && context.has("/blockIO") && they_refuse(difference, "io.max")
        },
    },
    Intended {
        what: "a `blockIO.weight` below 10 without BFQ is the least on v2",
        reason: "runc's conversion gives a number beyond the range, which the kernel refuses",
        applies: |context, difference| {
            let is_small = context
                .number("/blockIO/weight")
                .is_some_and(|weight| (1..10).contains(&weight));
            !context.v1 && is_small && they_refuse(difference, "io.weight")
        },
    },
    Intended {
        what: "`hugepageLimits` are set on a hybrid host",
        reason: "each controller is looked for in v1, then in v2; runc looks in v1 alone",
        applies: |context, difference| {
            context.v1
                && context.has("/hugepageLimits")
                && they_refuse(difference, "cannot set hugetlb limit")
        },
    },
    Intended {
        what: "a `hugepageLimits` limit above 2^63-1 is refused",
        reason: "no machine has as many bytes, and the configuration's parser keeps no greater number",
        applies: |_, difference| we_refuse(difference, "/hugepageLimits/0/limit: invalid value"),
    },
    Intended {
        what: "a device rule without `access` is for all access",
        reason: "the specification has it OPTIONAL; runc refuses it",
        applies: |_, difference| they_refuse(difference, "device access at"),
    },
    Intended {
        what: "a device rule whose `type` is an empty string is refused",
        reason: "it is no type; runc takes it for `a`",
        applies: |context, difference| {
            let is_empty = |rule: &Value| rule["type"] == "";
            context.rules().iter().any(is_empty) && we_refuse(difference, "/devices/")
        },
    },
    Intended {
        what: "a device rule with a number below -1 or above 2^32-2 is refused",
        reason: "it is no device; runc takes a negative one for a wildcard on v2, and for the kernel's v1 lists 2^32-1 is one",
        applies: |_, difference| {
            we_refuse(difference, "/resources/devices/")
                && we_refuse(difference, "is not a device number")
        },
    },
    Intended {
        what: "a device rule with an unknown letter in `access` is refused, unless it denies what nothing allows",
        reason: "it is no access; runc's v2 filter leaves it out",
        applies: |_, difference| we_refuse(difference, "is not made of r, w and m"),
    },
    Intended {
        what: "what a device rule denies is denied in every combination on v2",
        reason: "opening for reading and writing is denied where writing is, as on v1; runc's v2 filter allows it",
        applies: |context, difference| match difference {
            Device { ours, theirs, .. } => {
                let denies = context.rules().iter().any(|rule| rule["allow"] == false);
                !context.v1 && denies && theirs.replace('+', "") == *ours
            }
            _ => false,
        },
    },
    Intended {
        what: "a memory limit that runc's own first process does not fit into",
        reason: "bareboat's is smaller than a mebibyte, and the limit is in force before it runs",
        applies: |context, difference| {
            let is_small = context
                .number("/memory/limit")
                .is_some_and(|limit| (1..16 << 20).contains(&limit));
            is_small && matches!(difference, OnlyTheirsRefused(_))
        },
    },
    Intended {
        what: "a pids limit that runc's own threads do not fit into",
        reason: "bareboat's first process has one thread",
        applies: |context, difference| {
            let is_small = context
                .number("/pids/limit")
                .is_some_and(|limit| (0..12).contains(&limit));
            is_small && matches!(difference, OnlyTheirsRefused(_))
        },
    },
    Intended {
        what: "runc before 1.3.2: the earlier conversion of `cpu.shares`",
        reason: "runc's own changed; bareboat has the current one",
        applies: |context, difference| {
            context.is_runc_before([1, 3, 2]) && is_of(difference, "unified/cpu.weight")
        },
    },
    Intended {
        what: "runc before 1.2: `cpu.burst` and `cpu.idle` are ignored",
        reason: "it did not know the fields",
        applies: |context, difference| {
            let unknown = ["/cpu/burst", "/cpu/idle"];
            let is_refused = unknown.iter().any(|pointer| we_refuse(difference, pointer));
            let is_file = match difference {
                File { name, .. } if context.has("/cpu/burst") && name.contains("burst") => true,
                File { name, .. } => {
                    context.has("/cpu/idle")
                        && ["cpu.idle", "cpu.shares", "cpu.weight"]
                            .iter()
                            .any(|file| name.contains(file))
                }
                _ => false,
            };
            let is_given = unknown.iter().any(|pointer| context.has(pointer));
            context.is_runc_before([1, 2, 0]) && is_given && (is_refused || is_file)
        },
    },
    Intended {
        what: "runc before 1.1.10: reservations of huge pages are not limited",
        reason: "the specification has it so where the kernel can",
        applies: |context, difference| {
            let is_reservation = matches!(difference, File { name, .. } if name.contains(".rsvd."));
            context.is_runc_before([1, 1, 10]) && is_reservation
        },
    },
    Intended {
        what: "runc before 1.2: several lines in a `unified` value are refused",
        reason: "the files take a line a write; current runc does the same as bareboat",
        applies: |context, difference| {
            let is_lines =
                they_refuse(difference, "unified resource") && they_refuse(difference, "\\n");
            context.is_runc_before([1, 2, 0]) && is_lines
        },
    },
    Intended {
        what: "runc before 1.4: a pids limit of 0 is none",
        reason: "the specification has made it a limit since 1.3",
        applies: |context, difference| {
            let is_zero = context.number("/pids/limit") == Some(0);
            let is_pids = ["pids/pids.max", "unified/pids.max"]
                .iter()
                .any(|file| is_of(difference, file));
            context.is_runc_before([1, 4, 0]) && is_zero && is_pids
        },
    },
    Intended {
        what: "crun: other devices",
        reason: "its default devices have the console and not the tunnels, and it restricts nothing without a rule that does",
        applies: |context, difference| {
            let is_devices =
                matches!(difference, Device { .. }) || is_of(difference, "devices/devices.list");
            context.is_crun() && is_devices
        },
    },
    Intended {
        what: "crun: values that are refused by it alone",
        reason: "it writes 0 and -1 where they are not set or no limit, and weights to files that the kernel has not",
        applies: |context, difference| {
            context.is_crun() && matches!(difference, OnlyTheirsRefused(_))
        },
    },
    Intended {
        what: "crun: values that are not refused by it",
        reason: "it ignores what the version of cgroups does not have, and leaves values beyond their range to the kernel",
        applies: |context, difference| {
            context.is_crun() && matches!(difference, OnlyOursRefused(_))
        },
    },
    Intended {
        what: "crun before 1.11: `cpu.burst` is ignored, and zeros are written",
        reason: "it did not know the field; 0 is not set for bareboat and runc",
        applies: |context, difference| {
            let is_one =
                |file: &&str| matches!(difference, File { name, .. } if name.contains(*file));
            let zeros = ["burst", "pids.max", "memory.soft_limit", "memory.low"];
            context.is_crun() && zeros.iter().any(is_one)
        },
    },
    Intended {
        what: "crun before 1.23: the earlier conversion of `cpu.shares`",
        reason: "crun's own changed; bareboat has runc's current one",
        applies: |context, difference| context.is_crun() && is_of(difference, "unified/cpu.weight"),
    },
];
