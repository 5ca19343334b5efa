//! Pressure: who waited for a resource (Documentation/accounting/psi.rst of the kernel).

use std::io;

use super::files::Files;
use super::parse::Malformed;

/// Pressure on one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Psi {
    /// While some process of the cgroup waited.
    pub some: Pressure,
    /// While all of them waited at once.
    pub full: Pressure,
}

/// Shares of time in percent over the last while, and a sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Pressure {
    /// Percent of the last 10 seconds.
    pub avg10: f64,
    /// Percent of the last minute.
    pub avg60: f64,
    /// Percent of the last five minutes.
    pub avg300: f64,
    /// Microseconds in all.
    pub total: u64,
}

pub(super) fn read(files: &Files, file: &str) -> io::Result<Option<Psi>> {
    files.read(file, parse)
}

/// Two lines such as `some avg10=0.00 avg60=0.00 avg300=0.00 total=24552`.
pub(super) fn parse(text: &str) -> Result<Psi, Malformed> {
    let mut psi = Psi::default();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let pressure = match fields.next() {
            Some("some") => &mut psi.some,
            Some("full") => &mut psi.full,
            _ => continue,
        };
        for field in fields {
            set(pressure, field)
                .ok_or_else(|| Malformed::new(format!("{field:?} is no measure of pressure")))?;
        }
    }
    Ok(psi)
}

fn set(pressure: &mut Pressure, field: &str) -> Option<()> {
    let (name, value) = field.split_once('=')?;
    let percent = || {
        value
            .parse()
            .ok()
            .filter(|percent: &f64| percent.is_finite())
    };
    match name {
        "avg10" => pressure.avg10 = percent()?,
        "avg60" => pressure.avg60 = percent()?,
        "avg300" => pressure.avg300 = percent()?,
        "total" => pressure.total = value.parse().ok()?,
        _ => {}
    }
    Some(())
}
