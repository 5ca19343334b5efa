//! `linux.resources.blockIO`.

use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice, LinuxWeightDevice};

use super::{refuse, set};
use crate::cgroup::CgroupError;
use crate::cgroup::plan::{CgroupPlan, Version};

const BLOCK_IO: &str = "/linux/resources/blockIO";

const CONTROLLER: &str = "blkio";

/// The member of the specification, the file of version 1, and the key in `io.max`.
const THROTTLES: [(&str, &str, &str); 4] = [
    (
        "throttleReadBpsDevice",
        "blkio.throttle.read_bps_device",
        "rbps",
    ),
    (
        "throttleWriteBpsDevice",
        "blkio.throttle.write_bps_device",
        "wbps",
    ),
    (
        "throttleReadIOPSDevice",
        "blkio.throttle.read_iops_device",
        "riops",
    ),
    (
        "throttleWriteIOPSDevice",
        "blkio.throttle.write_iops_device",
        "wiops",
    ),
];

pub(super) fn compile(plan: &mut CgroupPlan, block_io: &LinuxBlockIo) -> Result<(), CgroupError> {
    if let Some(weight) = set(block_io.weight()) {
        write_weight(plan, &format!("{BLOCK_IO}/weight"), None, weight)?;
    }
    if let Some(weight) = set(block_io.leaf_weight()) {
        write_leaf_weight(plan, &format!("{BLOCK_IO}/leafWeight"), None, weight)?;
    }
    for (number, device) in block_io.weight_device().iter().flatten().enumerate() {
        weight_of_device(plan, &format!("{BLOCK_IO}/weightDevice/{number}"), device)?;
    }
    let devices = [
        block_io.throttle_read_bps_device(),
        block_io.throttle_write_bps_device(),
        block_io.throttle_read_iops_device(),
        block_io.throttle_write_iops_device(),
    ];
    for ((member, v1, v2), devices) in THROTTLES.into_iter().zip(devices) {
        for (number, device) in devices.iter().flatten().enumerate() {
            throttle(
                plan,
                format!("{BLOCK_IO}/{member}/{number}"),
                v1,
                v2,
                device,
            )?;
        }
    }
    Ok(())
}

fn weight_of_device(
    plan: &mut CgroupPlan,
    pointer: &str,
    device: &LinuxWeightDevice,
) -> Result<(), CgroupError> {
    let name = device_number(pointer, device.major(), device.minor())?;
    if device.weight().is_none() && device.leaf_weight().is_none() {
        return refuse(pointer, "neither a weight nor a leafWeight is given");
    }
    if let Some(weight) = set(device.weight()) {
        write_weight(plan, &format!("{pointer}/weight"), Some(&name), weight)?;
    }
    if let Some(weight) = set(device.leaf_weight()) {
        write_leaf_weight(plan, &format!("{pointer}/leafWeight"), Some(&name), weight)?;
    }
    Ok(())
}

/// Which file there is depends on the schedulers that the kernel has; BFQ's is the one that takes these weights.
fn write_weight(
    plan: &mut CgroupPlan,
    pointer: &str,
    device: Option<&str>,
    weight: u16,
) -> Result<(), CgroupError> {
    check_weight(pointer, weight)?;
    let value = line(device, u64::from(weight));
    let hierarchy = plan.hierarchy(CONTROLLER, pointer)?;
    match (hierarchy.version(), device) {
        (Version::V1, None) => {
            hierarchy
                .write("blkio.weight", &value, pointer.to_owned())
                .or_else("blkio.bfq.weight", &value);
        }
        (Version::V1, Some(_)) => {
            let write = hierarchy.write("blkio.weight_device", &value, pointer.to_owned());
            write.or_else("blkio.bfq.weight_device", &value);
        }
        (Version::V2, _) => {
            let write = hierarchy.write("io.bfq.weight", value, pointer.to_owned());
            write.or_else("io.weight", line(device, io_weight(weight)));
        }
    }
    Ok(())
}

fn write_leaf_weight(
    plan: &mut CgroupPlan,
    pointer: &str,
    device: Option<&str>,
    weight: u16,
) -> Result<(), CgroupError> {
    check_weight(pointer, weight)?;
    let hierarchy = plan.hierarchy(CONTROLLER, pointer)?;
    if hierarchy.version() == Version::V2 {
        return refuse(pointer, "cgroup v2 has no leaf weights");
    }
    let file = if device.is_some() {
        "blkio.leaf_weight_device"
    } else {
        "blkio.leaf_weight"
    };
    hierarchy.write(file, line(device, u64::from(weight)), pointer.to_owned());
    Ok(())
}

fn throttle(
    plan: &mut CgroupPlan,
    pointer: String,
    v1: &'static str,
    v2: &str,
    device: &LinuxThrottleDevice,
) -> Result<(), CgroupError> {
    let name = device_number(&pointer, device.major(), device.minor())?;
    let hierarchy = plan.hierarchy(CONTROLLER, &pointer)?;
    match (hierarchy.version(), device.rate()) {
        (Version::V1, rate) => hierarchy.write(v1, format!("{name} {rate}"), pointer),
        // What 0 means in version 1.
        (Version::V2, 0) => hierarchy.write("io.max", format!("{name} {v2}=max"), pointer),
        (Version::V2, rate) => hierarchy.write("io.max", format!("{name} {v2}={rate}"), pointer),
    };
    Ok(())
}

/// The range of BFQ, of which that of CFQ, which Linux had before 5.0, was a part.
fn check_weight(pointer: &str, weight: u16) -> Result<(), CgroupError> {
    match weight {
        1..=1000 => Ok(()),
        _ => refuse(
            pointer,
            format!("{weight} is not in the range from 1 to 1000"),
        ),
    }
}

fn device_number(pointer: &str, major: i64, minor: i64) -> Result<String, CgroupError> {
    match (u32::try_from(major), u32::try_from(minor)) {
        (Ok(major), Ok(minor)) => Ok(format!("{major}:{minor}")),
        _ => refuse(pointer, format!("{major}:{minor} is not a device number")),
    }
}

fn line(device: Option<&str>, value: u64) -> String {
    device.map_or_else(|| value.to_string(), |device| format!("{device} {value}"))
}

/// From the range 10 to 1000 to the range 1 to 10000, linearly. The range begins at 1 with BFQ alone, whose files are
/// preferred; what is below 10 is the least here.
fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight).saturating_sub(10)) * 9999 / 990
}
