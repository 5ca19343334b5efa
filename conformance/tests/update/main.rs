//! `update`: limits of a running container, as runc's command changes them. Values are read from the host's files.
#![allow(clippy::unwrap_used)]

mod devices;
mod meanwhile;

use std::fs;
use std::process::Stdio;

use conformance::cgroup::{directory, is_v1, read};
use conformance::driver::{Driver, driver};
use conformance::process::Finished;
use conformance::runtime::runtime;
use conformance::{Config, Container};
use serde_json::{Value, json};

const MEGABYTE: u64 = 1 << 20;

fn running(change: impl FnOnce(&mut Config)) -> Container {
    let container = Container::new(|config| {
        config.waits();
        config
            .set(
                "/linux/resources/memory",
                json!({"limit": 32 * MEGABYTE, "reservation": 24 * MEGABYTE}),
            )
            .set(
                "/linux/resources/cpu",
                json!({"shares": 100, "quota": 500_000, "period": 1_000_000}),
            )
            .set("/linux/resources/pids", json!({"limit": 20}));
        change(config);
    });
    let _ = container.run_detached();
    container
}

fn update(container: &Container, options: &[&str]) -> Finished {
    container.call(&[&["update"], options].concat())
}

/// `update --resources FILE`.
fn update_from_file(container: &Container, resources: &Value) -> Finished {
    let file = container.file("resources.json", &resources.to_string());
    update(container, &["--resources", file.to_str().unwrap()])
}

fn memory(container: &Container) -> String {
    read(
        &container.cgroup,
        "memory",
        "memory.limit_in_bytes",
        "memory.max",
    )
}

/// Memory and swap together, as version 1 has it; nothing where swap is not accounted.
fn memory_and_swap(container: &Container) -> Option<String> {
    let path = directory("memory", &container.cgroup);
    if is_v1("memory") {
        let file = path.join("memory.memsw.limit_in_bytes");
        return Some(fs::read_to_string(file).ok()?.trim().to_owned());
    }
    let swap = fs::read_to_string(path.join("memory.swap.max")).ok()?;
    let sum = |swap: u64| {
        memory(container)
            .parse::<u64>()
            .ok()
            .map(|memory| memory + swap)
    };
    let together = swap.trim().parse().ok().and_then(sum);
    Some(together.map_or("max".to_owned(), |bytes| bytes.to_string()))
}

fn pids(container: &Container) -> String {
    read(&container.cgroup, "pids", "pids.max", "pids.max")
}

/// Quota and period, with -1 for no quota.
fn quota(container: &Container) -> (i64, i64) {
    let value = |file| read(&container.cgroup, "cpu", file, "cpu.max");
    if is_v1("cpu") {
        let number = |file| value(file).parse().unwrap();
        return (number("cpu.cfs_quota_us"), number("cpu.cfs_period_us"));
    }
    let text = value("");
    let (quota, period) = text.split_once(' ').unwrap();
    (quota.parse().unwrap_or(-1), period.parse().unwrap())
}

fn shares(container: &Container) -> String {
    read(&container.cgroup, "cpu", "cpu.shares", "cpu.weight")
}

/// Shares by their number, as the version has them.
fn weight(v1: &str, v2: &str) -> String {
    if is_v1("cpu") { v1 } else { v2 }.to_owned()
}

#[test]
fn limits_change_by_options_and_what_is_not_given_stays() {
    // One that does not fork survives a limit of one process; systemd removes the cgroup of one that ends.
    let container = running(|config| {
        config.args(&["sleep", "100"]);
    });
    let _ = update(&container, &["--memory", "64M"]).ok();
    assert_eq!(memory(&container), (64 * MEGABYTE).to_string());
    assert_eq!(pids(&container), "20");
    assert_eq!(quota(&container), (500_000, 1_000_000));
    let _ = update(
        &container,
        &["--memory-reservation=33554432", "--pids-limit", "10"],
    )
    .ok();
    let reservation = read(
        &container.cgroup,
        "memory",
        "memory.soft_limit_in_bytes",
        "memory.low",
    );
    assert_eq!(reservation, "33554432");
    assert_eq!(pids(&container), "10");
    let _ = update(&container, &["--cpu-share", "1024", "--cpuset-cpus", "0"]).ok();
    assert_eq!(shares(&container), weight("1024", "100"));
    let cpus = read(&container.cgroup, "cpuset", "cpuset.cpus", "cpuset.cpus");
    assert_eq!(cpus, "0");
    assert_eq!(memory(&container), (64 * MEGABYTE).to_string());
    for (limit, value) in [("-1", "max"), ("0", "1")] {
        let _ = update(&container, &["--pids-limit", limit]).ok();
        assert_eq!(pids(&container), value, "{limit}");
    }
}

#[test]
fn limits_change_by_json_from_a_file_and_from_standard_input() {
    let container = running(|_| {});
    let resources =
        json!({"memory": {"limit": 50 * MEGABYTE}, "PIDs": {"Limit": 30}, "unknown": 1});
    let file = container.file("resources.json", &resources.to_string());
    let _ = update(&container, &["-r", file.to_str().unwrap()]).ok();
    assert_eq!(memory(&container), (50 * MEGABYTE).to_string());
    assert_eq!(pids(&container), "30");
    let spellings: [&[&str]; 3] = [&["--resources", "-"], &["--resources=-"], &["-r", "-"]];
    for (number, spelling) in spellings.iter().enumerate() {
        let limit = 40 + number;
        let text = json!({"pids": {"limit": limit}}).to_string();
        let file = container.file("stdin.json", &text);
        let arguments = [&["update"], *spelling, &[container.id.as_str()]].concat();
        let mut command = container.subcommand(arguments);
        command.stdin(Stdio::from(fs::File::open(file).unwrap()));
        let _ = conformance::process::spawn(&mut command).wait().ok();
        assert_eq!(pids(&container), limit.to_string(), "{spelling:?}");
    }
}

#[test]
fn quota_and_period_change_one_by_one_and_together() {
    let container = running(|_| {});
    // Whole percents, which is what systemd can say.
    for (options, expected) in [
        (&["--cpu-period", "500000"][..], (500_000, 500_000)),
        (&["--cpu-quota", "600000"], (600_000, 500_000)),
        (&["--memory", "40M"], (600_000, 500_000)),
        (&["--cpu-quota", "-1"], (-1, 500_000)),
        (
            &["--cpu-quota", "3000", "--cpu-period", "10000"],
            (3000, 10_000),
        ),
        (
            &["--cpu-quota", "300000", "--cpu-period", "1000000"],
            (300_000, 1_000_000),
        ),
    ] {
        let _ = update(&container, options).ok();
        assert_eq!(quota(&container), expected, "{options:?}");
    }
}

#[test]
fn a_container_without_limits_gets_them() {
    let container = Container::new(|config| {
        config.waits();
    });
    let _ = container.run_detached();
    let _ = update(&container, &["--cpu-period", "50000"]).ok();
    assert_eq!(quota(&container), (-1, 50_000));
    let _ = update(&container, &["--cpu-quota", "30000", "--memory", "64m"]).ok();
    assert_eq!(quota(&container), (30_000, 50_000));
    assert_eq!(memory(&container), (64 * MEGABYTE).to_string());
}

#[test]
fn memory_and_swap_are_raised_and_lowered_in_an_order_that_the_kernel_takes() {
    let container = running(|_| {});
    if memory_and_swap(&container).is_none() {
        eprintln!("skipped: this kernel does not account swap");
        return;
    }
    for (memory_limit, swap_limit) in [(30, 50), (60, 80), (20, 40), (40, 40), (90, 91)] {
        let options = [
            format!("--memory={memory_limit}M"),
            format!("--memory-swap={swap_limit}M"),
        ];
        let _ = update(&container, &options.each_ref().map(String::as_str)).ok();
        assert_eq!(memory(&container), (memory_limit * MEGABYTE).to_string());
        let together = (swap_limit * MEGABYTE).to_string();
        assert_eq!(memory_and_swap(&container), Some(together));
    }
    // The sum stays, whichever of the two is given.
    let _ = update(&container, &["--memory", "70M"]).ok();
    assert_eq!(
        memory_and_swap(&container),
        Some((91 * MEGABYTE).to_string())
    );
    if is_v1("memory") || runtime().is_bareboat() {
        let _ = update(&container, &["--memory-swap", "95M"]).ok();
        assert_eq!(memory(&container), (70 * MEGABYTE).to_string());
        assert_eq!(
            memory_and_swap(&container),
            Some((95 * MEGABYTE).to_string())
        );
    }
    let _ = update(&container, &["--memory-swap", "100M", "--memory", "90M"]).ok();
    let _ = update(&container, &["--memory", "110M"]).refused(&["memory"]);
    assert_eq!(memory(&container), (90 * MEGABYTE).to_string());
    let _ = update(&container, &["--memory", "-1"]).ok();
    let unlimited = if is_v1("memory") {
        "9223372036854771712"
    } else {
        "max"
    };
    assert_eq!(memory(&container), unlimited);
    assert_eq!(memory_and_swap(&container).as_deref(), Some(unlimited));
}

#[test]
fn a_limit_below_what_is_used_is_refused_where_that_is_to_be_checked() {
    let container = running(|_| {});
    if is_v1("memory") && !runtime().is_bareboat() {
        eprintln!("skipped: checkBeforeUpdate has an effect on cgroup v2 alone");
        return;
    }
    let check = |memory: Value| {
        let mut memory = memory;
        memory["checkBeforeUpdate"] = json!(true);
        update_from_file(&container, &json!({"memory": memory}))
    };
    let _ = check(json!({"limit": 1024})).refused(&["rejecting memory limit 1024", "usage"]);
    let swap = json!({"limit": 1024, "swap": 2048});
    let _ = check(swap).refused(&["rejecting memory+swap limit 2048", "usage"]);
    assert_eq!(container.status(), "running");
    assert_eq!(memory(&container), (32 * MEGABYTE).to_string());
    let _ = check(json!({"limit": 48 * MEGABYTE})).ok();
    assert_eq!(memory(&container), (48 * MEGABYTE).to_string());
}

/// All values that the tests here change.
fn all(container: &Container) -> Vec<String> {
    let list = |file: &str, other: &str| {
        let path = directory("blkio", &container.cgroup);
        let name = if is_v1("blkio") { file } else { other };
        fs::read_to_string(path.join(name)).unwrap_or_default()
    };
    vec![
        memory(container),
        pids(container),
        format!("{:?}", quota(container)),
        shares(container),
        read(&container.cgroup, "cpuset", "cpuset.cpus", "cpuset.cpus"),
        list("blkio.throttle.read_bps_device", "io.max"),
        format!("{:?}", memory_and_swap(container)),
    ]
}

#[test]
fn an_update_that_the_kernel_refuses_in_part_changes_nothing() {
    if !runtime().is_bareboat() {
        eprintln!(
            "skipped: other runtimes write the values of their configuration again, which may be none"
        );
        return;
    }
    let container = running(|_| {});
    let before = all(&container);
    let with = |member: &str, value: Value| {
        let mut resources = json!({
            "cpu": {"shares": 300, "quota": 70_000, "period": 90_000},
            "memory": {"limit": 50 * MEGABYTE, "swap": 60 * MEGABYTE},
            "pids": {"limit": 50},
        });
        match member.split_once('/') {
            Some((parent, member)) => resources[parent][member] = value,
            None => resources[member] = value,
        }
        resources
    };
    let nowhere = json!({"throttleReadBpsDevice": [{"major": 4000, "minor": 0, "rate": 1}]});
    for (resources, place) in [
        (with("cpu/cpus", json!("4000")), "cpuset.cpus"),
        (with("blockIO", nowhere), "throttleReadBpsDevice"),
        (with("cpu/quota", json!(5)), "cpu"),
        (
            with("devices", json!([{"allow": true, "type": "x"}])),
            "devices/0",
        ),
    ] {
        let _ = update_from_file(&container, &resources).refused(&[place]);
        assert_eq!(all(&container), before, "{place}");
    }
    // It is not kept either.
    let _ = update(&container, &["--cpu-period", "500000"]).ok();
    assert_eq!(quota(&container), (500_000, 500_000));
}

#[test]
fn idle_containers_get_no_weight_until_they_are_not() {
    let container = running(|_| {});
    let file = directory("cpu", &container.cgroup).join("cpu.idle");
    if !file.exists() {
        eprintln!("skipped: this kernel has no cpu.idle (Linux 5.15)");
        return;
    }
    let idle = || fs::read_to_string(&file).unwrap().trim().to_owned();
    for value in ["1", "0", "1"] {
        let _ = update(&container, &["--cpu-idle", value]).ok();
        assert_eq!(idle(), value);
    }
    for value in ["-1", "2", "yes"] {
        let _ = update(&container, &["--cpu-idle", value]).refused(&["idle"]);
        assert_eq!(idle(), "1");
    }
    if runtime().is_bareboat() {
        let shares_alone = update(&container, &["--cpu-share", "512"]);
        match driver() {
            Driver::Cgroupfs => drop(shares_alone.refused(&["idle", "shares"])),
            // As systemd has it: whoever has a weight is not idle.
            Driver::Systemd => {
                let _ = shares_alone.ok();
                assert_eq!(idle(), "0");
            }
        }
        let _ = update(&container, &["--cpu-share", "512", "--cpu-idle", "0"]).ok();
        assert_eq!(shares(&container), weight("512", "59"));
    }
}

#[test]
fn a_burst_changes_with_its_quota() {
    let container = running(|_| {});
    let burst = directory("cpu", &container.cgroup);
    let burst = burst.join(if is_v1("cpu") {
        "cpu.cfs_burst_us"
    } else {
        "cpu.max.burst"
    });
    if !burst.exists() {
        eprintln!("skipped: this kernel has no burst (Linux 5.14)");
        return;
    }
    let all = |period: &str, quota: &str, value: &str| {
        let options = [
            "--cpu-period",
            period,
            "--cpu-quota",
            quota,
            "--cpu-burst",
            value,
        ];
        let _ = update(&container, &options).ok();
        assert_eq!(fs::read_to_string(&burst).unwrap().trim(), value);
    };
    all("900000", "600000", "500000");
    all("100000", "50000", "40000");
    all("900000", "600000", "600000");
    let _ = update(&container, &["--memory", "64M"]).ok();
    assert_eq!(fs::read_to_string(&burst).unwrap().trim(), "600000");
}

#[test]
fn what_cannot_be_is_refused_by_its_option_or_pointer() {
    let container = running(|_| {});
    for (options, phrase) in [
        (&["--memory", "64Q"][..], "invalid value for memory"),
        (&["--cpu-quota", "x"], "invalid value for cpu-quota"),
        (&["--l3-cache-schema", "L3:0=f"], "Intel RDT"),
        (&["--resources", "/no/such/file"], "/no/such/file"),
    ] {
        let _ = update(&container, options).refused(&[phrase]);
    }
    if runtime().is_bareboat() {
        let wrong = json!({"memory": {"limit": "64M"}});
        let _ = update_from_file(&container, &wrong).refused(&["/linux/resources/memory/limit"]);
        let _ = update(&container, &["--blkio-weight", "70000"]).refused(&["blockIO/weight"]);
    }
    assert_eq!(memory(&container), (32 * MEGABYTE).to_string());
}

#[test]
fn huge_pages_are_limited_in_a_container_that_had_no_limit() {
    let container = running(|_| {});
    let hierarchy = directory("hugetlb", "/");
    let controllers = fs::read_to_string(hierarchy.join("cgroup.controllers")).unwrap_or_default();
    if !is_v1("hugetlb") && !controllers.contains("hugetlb") {
        eprintln!("skipped: this machine has no hugetlb controller");
        return;
    }
    if !runtime().is_bareboat() {
        eprintln!("skipped: runc's update does not know hugepageLimits");
        return;
    }
    let limits = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MEGABYTE}]});
    let _ = update_from_file(&container, &limits).ok();
    let value = read(
        &container.cgroup,
        "hugetlb",
        "hugetlb.2MB.limit_in_bytes",
        "hugetlb.2MB.max",
    );
    assert_eq!(value, (4 * MEGABYTE).to_string());
}

#[test]
fn files_of_version_2_change_by_their_names() {
    let container = running(|_| {});
    let unified = json!({"unified": {"pids.max": "11", "memory.high": "33554432"}});
    if is_v1("memory") {
        let _ = update_from_file(&container, &unified).refused(&["unified"]);
        assert_eq!(pids(&container), "20");
        return;
    }
    let _ = update_from_file(&container, &unified).ok();
    assert_eq!(pids(&container), "11");
    assert_eq!(
        read(&container.cgroup, "memory", "", "memory.high"),
        "33554432"
    );
    // What unified has changed is in force for what is written with it.
    let quota_by_name = json!({"unified": {"cpu.max": "72000 80000"}});
    let _ = update_from_file(&container, &quota_by_name).ok();
    assert_eq!(quota(&container), (72_000, 80_000));
    if runtime().is_bareboat() {
        let _ = update(&container, &["--cpu-period", "90000"]).ok();
        assert_eq!(quota(&container), (72_000, 90_000));
    }
}
