//! Block devices: blkio of version 1, io of version 2.

use std::io;

use super::files::Files;
use super::parse::{self, Malformed};
use super::psi::Psi;
use crate::cgroup::plan::Version;

/// What a cgroup and those below it did with block devices. Version 2 has the first two tables; which ones version 1 has
/// depends on the I/O scheduler.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Blkio {
    /// Bytes transferred.
    pub service_bytes: Vec<BlkioEntry>,
    /// Operations done.
    pub serviced: Vec<BlkioEntry>,
    /// Operations waiting.
    pub queued: Vec<BlkioEntry>,
    /// Nanoseconds between dispatch and end of operations.
    pub service_time: Vec<BlkioEntry>,
    /// Nanoseconds that operations waited in queues.
    pub wait_time: Vec<BlkioEntry>,
    /// Operations merged with others.
    pub merged: Vec<BlkioEntry>,
    /// Milliseconds of a device's time.
    pub time: Vec<BlkioEntry>,
    /// Sectors transferred.
    pub sectors: Vec<BlkioEntry>,
    /// Who waited for input or output.
    pub psi: Option<Psi>,
}

/// A number for one device and, in most tables, one kind of operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlkioEntry {
    /// The device's major number.
    pub major: u64,
    /// The device's minor number.
    pub minor: u64,
    /// `Read`, `Write`, `Sync`, `Async`, `Discard` or `Total`; empty where a table tells no kinds apart.
    pub operation: String,
    /// The number.
    pub value: u64,
}

/// A table and the name of its file after the I/O scheduler's prefix.
type Table = (&'static str, fn(&mut Blkio) -> &mut Vec<BlkioEntry>);

/// Each kind of I/O accounting in version 1, best first: a prefix, a suffix, and the tables that it has. Which of them a
/// kernel has depends on its configuration and version (BFQ 4.12 and later, CFQ before 5.0), so the first whose first
/// table is there and not empty of devices is taken.
const ACCOUNTS: [(&str, &str, &[Table]); 5] = [
    ("blkio.bfq.", "_recursive", ALL),
    ("blkio.bfq.", "_recursive", BASIC),
    ("blkio.", "_recursive", ALL),
    ("blkio.throttle.", "_recursive", BASIC),
    ("blkio.throttle.", "", BASIC),
];

const ALL: &[Table] = &[
    ("sectors", |blkio| &mut blkio.sectors),
    ("io_service_time", |blkio| &mut blkio.service_time),
    ("io_wait_time", |blkio| &mut blkio.wait_time),
    ("io_merged", |blkio| &mut blkio.merged),
    ("io_queued", |blkio| &mut blkio.queued),
    ("time", |blkio| &mut blkio.time),
    ("io_serviced", |blkio| &mut blkio.serviced),
    ("io_service_bytes", |blkio| &mut blkio.service_bytes),
];

const BASIC: &[Table] = &[
    ("io_serviced", |blkio| &mut blkio.serviced),
    ("io_service_bytes", |blkio| &mut blkio.service_bytes),
];

pub(super) fn read(files: &Files, version: Version) -> io::Result<Blkio> {
    if version == Version::V2 {
        return Ok(files.read("io.stat", v2)?.unwrap_or_default());
    }
    for (prefix, suffix, tables) in ACCOUNTS {
        let mut blkio = Blkio::default();
        for (name, table) in tables {
            let entries = files.read(&format!("{prefix}{name}{suffix}"), v1)?;
            *table(&mut blkio) = entries.unwrap_or_default();
        }
        let first = tables.first().map(|(_, table)| table(&mut blkio));
        if first.is_some_and(|entries| !entries.is_empty()) {
            return Ok(blkio);
        }
    }
    Ok(Blkio::default())
}

/// Lines such as `8:0 Read 4096`, or `8:0 4096` in tables without kinds, and last `Total 4096`.
pub(super) fn v1(text: &str) -> Result<Vec<BlkioEntry>, Malformed> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let malformed = || Malformed::new(format!("{line:?} is no line of a device's"));
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (device, operation, value) = match *fields.as_slice() {
            ["Total", _] | [] => continue,
            [device, value] => (device, "", value),
            [device, operation, value] => (device, operation, value),
            _ => return Err(malformed()),
        };
        let (major, minor) = parse::device(device).ok_or_else(malformed)?;
        entries.push(BlkioEntry {
            major,
            minor,
            operation: operation.to_owned(),
            value: parse::number(value)?,
        });
    }
    Ok(entries)
}

/// Lines such as `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`. A device that was not used has its number alone.
pub(super) fn v2(text: &str) -> Result<Blkio, Malformed> {
    let mut blkio = Blkio::default();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        // A kernel has shown a device without a number (`(unknown)`).
        let Some((major, minor)) = fields.next().and_then(parse::device) else {
            continue;
        };
        for (name, value) in fields.filter_map(|field| field.split_once('=')) {
            let (table, operation) = match name {
                "rbytes" => (&mut blkio.service_bytes, "Read"),
                "wbytes" => (&mut blkio.service_bytes, "Write"),
                "rios" => (&mut blkio.serviced, "Read"),
                "wios" => (&mut blkio.serviced, "Write"),
                _ => continue,
            };
            table.push(BlkioEntry {
                major,
                minor,
                operation: operation.to_owned(),
                value: parse::number(value)?,
            });
        }
    }
    Ok(blkio)
}
