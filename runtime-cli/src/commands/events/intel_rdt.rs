//! Caches and memory bandwidth, as runc prints them.

use runtime_core::{BandwidthUsage, IntelRdtStats};
use serde::Serialize;

use super::json::is_zero;

/// The member `intel_rdt`; empty for a container without such shares.
#[derive(Debug, Default, Serialize)]
pub(super) struct IntelRdt<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    l3_cache_info: Option<L3CacheInfo<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    l3_cache_schema_root: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    l3_cache_schema: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_bw_info: Option<MemBwInfo>,
    #[serde(skip_serializing_if = "str::is_empty")]
    mem_bw_schema_root: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    mem_bw_schema: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    schemata: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    mbm_stats: Option<Vec<Bandwidth>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmt_stats: Option<Vec<Occupancy>>,
}

#[derive(Debug, Serialize)]
struct L3CacheInfo<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    cbm_mask: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    min_cbm_bits: u64,
    #[serde(skip_serializing_if = "is_zero")]
    num_closids: u64,
}

#[derive(Debug, Serialize)]
struct MemBwInfo {
    #[serde(skip_serializing_if = "is_zero")]
    bandwidth_gran: u64,
    #[serde(skip_serializing_if = "is_zero")]
    delay_linear: u64,
    #[serde(skip_serializing_if = "is_zero")]
    min_bandwidth: u64,
    #[serde(skip_serializing_if = "is_zero")]
    num_closids: u64,
}

#[derive(Debug, Serialize)]
struct Bandwidth {
    mbm_total_bytes: u64,
    mbm_local_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Occupancy {
    llc_occupancy: u64,
}

impl<'a> IntelRdt<'a> {
    pub(super) fn new(stats: &'a IntelRdtStats) -> Self {
        let bandwidth = |usage: &BandwidthUsage| Bandwidth {
            mbm_total_bytes: usage.total,
            mbm_local_bytes: usage.local,
        };
        let occupancy = |&llc_occupancy: &u64| Occupancy { llc_occupancy };
        IntelRdt {
            l3_cache_info: stats.l3_cache.as_ref().map(|info| L3CacheInfo {
                cbm_mask: &info.cbm_mask,
                min_cbm_bits: info.min_cbm_bits,
                num_closids: info.num_closids,
            }),
            l3_cache_schema_root: &stats.l3_schema_root,
            l3_cache_schema: &stats.l3_schema,
            mem_bw_info: stats.memory_bandwidth.map(|info| MemBwInfo {
                bandwidth_gran: info.bandwidth_gran,
                delay_linear: info.delay_linear,
                min_bandwidth: info.min_bandwidth,
                num_closids: info.num_closids,
            }),
            mem_bw_schema_root: &stats.mb_schema_root,
            mem_bw_schema: &stats.mb_schema,
            schemata: &stats.schemata,
            mbm_stats: list(stats.bandwidth.as_deref(), bandwidth),
            cmt_stats: list(stats.occupancy.as_deref(), occupancy),
        }
    }
}

fn list<T, U>(values: Option<&[T]>, make: impl Fn(&T) -> U) -> Option<Vec<U>> {
    values.map(|values| values.iter().map(make).collect())
}
