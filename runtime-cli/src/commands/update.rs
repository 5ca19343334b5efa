//! `bareboat update`

use std::fs;
use std::io::{self, Read};

use clap::Args;
use runtime_core::oci_spec::runtime::{LinuxIntelRdt, LinuxResources};
use serde_json::{Map, Value, json};

use crate::cli::Globals;
use crate::failure::{Failure, Result};
use crate::size;

/// Arguments of `update`.
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// Name of the container
    #[arg(value_name = "CONTAINER")]
    id: String,
    /// File with the resources as JSON, as in linux.resources of config.json, or - for standard input; the options for single
    /// limits are ignored then
    #[arg(short, long, value_name = "FILE", allow_hyphen_values = true)]
    resources: Option<String>,
    /// Share of block device bandwidth, from 10 to 1000
    #[arg(long, value_name = "WEIGHT", allow_hyphen_values = true)]
    blkio_weight: Option<String>,
    /// Period of the CPU quota, in microseconds
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    cpu_period: Option<String>,
    /// CPU time in each period, in microseconds, or -1 for no limit
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    cpu_quota: Option<String>,
    /// CPU time that may be saved up for a burst, in microseconds
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    cpu_burst: Option<String>,
    /// CPU shares (relative weight)
    #[arg(long, value_name = "SHARES", allow_hyphen_values = true)]
    cpu_share: Option<String>,
    /// Period of realtime scheduling, in microseconds
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    cpu_rt_period: Option<String>,
    /// Realtime CPU time in each period, in microseconds
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    cpu_rt_runtime: Option<String>,
    /// CPUs to run on, such as 0-3,7
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    cpuset_mems: Option<String>,
    /// Has no effect: the kernel has no limit of its own memory
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, hide = true)]
    kernel_memory: Option<String>,
    /// Limit of the kernel's TCP buffers
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, hide = true)]
    kernel_memory_tcp: Option<String>,
    /// Memory limit, such as 64M, or -1 for no limit
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory: Option<String>,
    /// Whether all processes are scheduled as SCHED_IDLE: 0 or 1
    #[arg(long, value_name = "0|1", allow_hyphen_values = true)]
    cpu_idle: Option<String>,
    /// Memory that is kept for the container where it gets scarce
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_reservation: Option<String>,
    /// Limit of memory and swap together, or -1 for unlimited swap
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Number of processes and threads, or -1 for no limit
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pids_limit: Option<String>,
    /// Intel RDT: L3 cache schema
    #[arg(long, value_name = "SCHEMA")]
    l3_cache_schema: Option<String>,
    /// Intel RDT: memory bandwidth schema
    #[arg(long, value_name = "SCHEMA")]
    mem_bw_schema: Option<String>,
}

/// How an option's value is read.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Number,
    Unsigned,
    Size,
}

impl Update {
    pub(crate) fn execute(self, globals: &Globals) -> Result<()> {
        let container = super::load(globals, &self.id)?;
        let resources = match given(&self.resources) {
            Some(place) => {
                self.warn_of_ignored();
                runtime_core::parse_resources(&read(place)?)?
            }
            None => self.resources_of_options()?,
        };
        Ok(container.update_with(&resources, self.intel_rdt().as_ref())?)
    }

    /// The option, its value, where it goes, and what it is.
    fn options(&self) -> [(&'static str, Option<&str>, &'static str, Form); 16] {
        use Form::{Number, Size, Text, Unsigned};
        [
            (
                "blkio-weight",
                given(&self.blkio_weight),
                "blockIO/weight",
                Unsigned,
            ),
            (
                "cpu-period",
                given(&self.cpu_period),
                "cpu/period",
                Unsigned,
            ),
            ("cpu-quota", given(&self.cpu_quota), "cpu/quota", Number),
            ("cpu-burst", given(&self.cpu_burst), "cpu/burst", Unsigned),
            ("cpu-share", given(&self.cpu_share), "cpu/shares", Unsigned),
            (
                "cpu-rt-period",
                given(&self.cpu_rt_period),
                "cpu/realtimePeriod",
                Unsigned,
            ),
            (
                "cpu-rt-runtime",
                given(&self.cpu_rt_runtime),
                "cpu/realtimeRuntime",
                Number,
            ),
            ("cpu-idle", given(&self.cpu_idle), "cpu/idle", Number),
            ("cpuset-cpus", given(&self.cpuset_cpus), "cpu/cpus", Text),
            ("cpuset-mems", given(&self.cpuset_mems), "cpu/mems", Text),
            (
                "kernel-memory",
                given(&self.kernel_memory),
                "memory/kernel",
                Size,
            ),
            (
                "kernel-memory-tcp",
                given(&self.kernel_memory_tcp),
                "memory/kernelTCP",
                Size,
            ),
            ("memory", given(&self.memory), "memory/limit", Size),
            (
                "memory-reservation",
                given(&self.memory_reservation),
                "memory/reservation",
                Size,
            ),
            ("memory-swap", given(&self.memory_swap), "memory/swap", Size),
            ("pids-limit", given(&self.pids_limit), "pids/limit", Number),
        ]
    }

    fn resources_of_options(&self) -> Result<LinuxResources> {
        let mut resources = Map::new();
        for (option, value, place, form) in self.options() {
            let (Some(text), Some((parent, member))) = (value, place.split_once('/')) else {
                continue;
            };
            let value = form
                .parse(text)
                .map_err(|cause| Failure::new(format!("invalid value for {option}: {cause}")))?;
            let parent = resources.entry(parent).or_insert_with(|| json!({}));
            if let Some(members) = parent.as_object_mut() {
                members.insert(member.to_owned(), value);
            }
        }
        let text = Value::from(resources).to_string();
        Ok(runtime_core::parse_resources(text.as_bytes())?)
    }

    /// What the options ask for.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn try_out(&self) -> Result<(LinuxResources, Option<LinuxIntelRdt>)> {
        Ok((self.resources_of_options()?, self.intel_rdt()))
    }

    fn warn_of_ignored(&self) {
        for (option, ..) in self
            .options()
            .iter()
            .filter(|(_, value, ..)| value.is_some())
        {
            tracing::warn!("--{option} is ignored: the resources come from --resources");
        }
    }

    fn intel_rdt(&self) -> Option<LinuxIntelRdt> {
        let (cache, bandwidth) = (given(&self.l3_cache_schema), given(&self.mem_bw_schema));
        if cache.is_none() && bandwidth.is_none() {
            return None;
        }
        let mut asked = LinuxIntelRdt::default();
        asked
            .set_l3_cache_schema(cache.map(str::to_owned))
            .set_mem_bw_schema(bandwidth.map(str::to_owned));
        Some(asked)
    }
}

impl Form {
    fn parse(self, text: &str) -> std::result::Result<Value, String> {
        let problem = |cause: std::num::ParseIntError| format!("{text:?}: {cause}");
        match self {
            Form::Text => Ok(json!(text)),
            Form::Number => text.parse::<i64>().map(Value::from).map_err(problem),
            Form::Unsigned => text.parse::<u64>().map(Value::from).map_err(problem),
            Form::Size if text == "-1" => Ok(json!(-1)),
            Form::Size => size::parse(text).map(Value::from),
        }
    }
}

/// An empty value is none, as for runc.
fn given(option: &Option<String>) -> Option<&str> {
    option.as_deref().filter(|value| !value.is_empty())
}

fn read(place: &str) -> Result<Vec<u8>> {
    if place != "-" {
        return fs::read(place).map_err(|cause| Failure::io(format_args!("open {place}"), cause));
    }
    let mut text = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut text)
        .map_err(|cause| Failure::io("read standard input", cause))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        update: Update,
    }

    fn update(arguments: &str) -> Update {
        let words = std::iter::once("update").chain(arguments.split_ascii_whitespace());
        Line::parse_from(words).update
    }

    fn resources(arguments: &str) -> Value {
        let resources = update(arguments).resources_of_options().unwrap();
        serde_json::to_value(resources).unwrap()
    }

    #[test]
    fn every_option_has_its_place() {
        let all = "--blkio-weight 10 --cpu-period 1 --cpu-quota 2 --cpu-burst 3 --cpu-share 4 --cpu-rt-period 5 \
                   --cpu-rt-runtime 6 --cpu-idle 1 --cpuset-cpus 0-1 --cpuset-mems 0 --kernel-memory 1k \
                   --kernel-memory-tcp 2k --memory 3k --memory-reservation 4k --memory-swap 5k --pids-limit 7 web";
        let expected = json!({
            "blockIO": {"weight": 10},
            "cpu": {"period": 1, "quota": 2, "burst": 3, "shares": 4, "realtimePeriod": 5, "realtimeRuntime": 6,
                    "idle": 1, "cpus": "0-1", "mems": "0"},
            "memory": {"kernel": 1024, "kernelTCP": 2048, "limit": 3072, "reservation": 4096, "swap": 5120},
            "pids": {"limit": 7},
        });
        assert_eq!(resources(all), expected);
        assert_eq!(update(all).id, "web");
    }

    #[test]
    fn no_limit_is_minus_one_and_nothing_is_nothing() {
        let unlimited = "web --memory -1 --memory-swap=-1 --cpu-quota -1 --pids-limit -1";
        let expected = json!({
            "cpu": {"quota": -1}, "memory": {"limit": -1, "swap": -1}, "pids": {"limit": -1},
        });
        assert_eq!(resources(unlimited), expected);
        assert_eq!(resources("web --memory= --cpuset-cpus="), json!({}));
        assert_eq!(
            resources("web --pids-limit 0"),
            json!({"pids": {"limit": 0}})
        );
    }

    #[test]
    fn a_value_that_is_none_is_refused_by_its_option() {
        for (arguments, option) in [
            ("web --memory -2", "memory"),
            ("web --memory 5x", "memory"),
            ("web --cpu-share -1", "cpu-share"),
            ("web --cpu-idle yes", "cpu-idle"),
            ("web --pids-limit many", "pids-limit"),
        ] {
            let error = update(arguments)
                .resources_of_options()
                .unwrap_err()
                .to_string();
            let begin = format!("invalid value for {option}: ");
            assert!(error.starts_with(&begin), "{arguments}: {error}");
        }
        let error = update("web --blkio-weight 70000").resources_of_options();
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("/linux/resources/blockIO/weight")
        );
    }

    #[test]
    fn standard_input_has_several_spellings() {
        for arguments in [
            "-r - web",
            "--resources - web",
            "--resources=- web",
            "web -r-",
        ] {
            assert_eq!(
                update(arguments).resources.as_deref(),
                Some("-"),
                "{arguments}"
            );
        }
    }

    #[test]
    fn shares_of_caches_and_bandwidth_are_no_resources() {
        let update = update("web --l3-cache-schema L3:0=f --mem-bw-schema MB:0=20");
        let asked = update.intel_rdt().unwrap();
        assert_eq!(asked.l3_cache_schema().as_deref(), Some("L3:0=f"));
        assert_eq!(asked.mem_bw_schema().as_deref(), Some("MB:0=20"));
        assert_eq!(resources("web --l3-cache-schema L3:0=f"), json!({}));
    }
}
