//! Combinations of values.

use serde_json::{Value, json};

use super::configurations::{MIB, block_device};
use super::random::Random;
use crate::device_probe::NODES;

/// Several values at once. Most are valid, so that most combinations come to be written.
pub(super) fn combine(random: &mut Random) -> Value {
    let mut resources = json!({});
    if random.chance(50) {
        resources["memory"] = combine_memory(random);
    }
    if random.chance(60) {
        resources["cpu"] = combine_cpu(random);
    }
    if random.chance(30) {
        resources["pids"] = json!({"limit": random.pick(&[-1, 50, 777, 100_000])});
    }
    if random.chance(30) {
        resources["blockIO"] = combine_block_io(random);
    }
    if random.chance(50) {
        resources["devices"] = combine_devices(random);
    }
    if random.chance(10) {
        resources["hugepageLimits"] = json!([{"pageSize": "2MB", "limit": random.below(64) << 21}]);
    }
    if random.chance(10) {
        resources["unified"] =
            json!({"memory.high": (random.below(64) << 20).to_string(), "pids.max": "60"});
    }
    resources
}

fn combine_block_io(random: &mut Random) -> Value {
    let (major, minor) = block_device();
    let mut io = json!({});
    if random.chance(50) {
        io["weight"] = json!(10 + random.below(991));
    }
    for kind in ["ReadBps", "WriteBps", "ReadIOPS", "WriteIOPS"] {
        if random.chance(25) {
            let rate = 1 + random.below(1 << 24);
            io[format!("throttle{kind}Device")] =
                json!([{"major": major, "minor": minor, "rate": rate}]);
        }
    }
    io
}

fn combine_memory(random: &mut Random) -> Value {
    let mut memory = json!({});
    let limit = *random.pick(&[-1, 0, 48, 64, 100, 512]) * MIB;
    let limit = if limit < 0 { -1 } else { limit };
    if random.chance(80) {
        memory["limit"] = json!(limit);
    }
    if random.chance(50) {
        let swaps = [-1, 0, limit, limit.max(0) + 32 * MIB, 96 * MIB];
        memory["swap"] = json!(random.pick(&swaps));
    }
    if random.chance(40) {
        memory["reservation"] = json!(random.pick(&[-1, 0, 20 * MIB, 33 * MIB + 1, 64 * MIB]));
    }
    if random.chance(15) {
        memory["swappiness"] = json!(random.pick(&[0, 35, 100]));
    }
    if random.chance(15) {
        memory["disableOOMKiller"] = json!(random.chance(50));
    }
    if random.chance(15) {
        memory["checkBeforeUpdate"] = json!(random.chance(50));
    }
    memory
}

fn combine_cpu(random: &mut Random) -> Value {
    let mut cpu = json!({});
    if random.chance(60) {
        cpu["shares"] = json!(2 + random.below(262_143));
    }
    if random.chance(20) {
        cpu["shares"] = json!(2 + random.below(3000));
    }
    let quota = 1000 * i64::try_from(1 + random.below(400)).unwrap_or(1);
    if random.chance(40) {
        cpu["quota"] = json!(quota);
    }
    if random.chance(40) {
        cpu["period"] = json!(1000 * (1 + random.below(1000)));
    }
    if random.chance(20) {
        cpu["burst"] = json!(quota / i64::try_from(1 + random.below(3)).unwrap_or(1));
    }
    if random.chance(10) {
        cpu["idle"] = json!(random.below(2));
    }
    if random.chance(20) {
        cpu["cpus"] = json!(random.pick(&["0", "1", "0-1", "0,1"]));
    }
    if random.chance(10) {
        cpu["mems"] = json!("0");
    }
    cpu
}

/// Rules for the devices that are tried.
pub(super) fn combine_devices(random: &mut Random) -> Value {
    let mut rules = Vec::new();
    if random.chance(80) {
        rules.push(json!({"allow": random.chance(25), "access": "rwm"}));
    }
    for _ in 0..=random.below(5) {
        let &(kind, major, minor) = random.pick(&NODES);
        let mut rule = json!({"allow": random.chance(70), "type": kind.to_string()});
        rule["access"] = json!(random.pick(&["r", "w", "m", "rw", "rm", "wm", "rwm", "rwm"]));
        if random.chance(85) {
            rule["major"] = json!(major);
        }
        if random.chance(75) {
            rule["minor"] = json!(minor);
        }
        rules.push(rule);
    }
    json!(rules)
}
