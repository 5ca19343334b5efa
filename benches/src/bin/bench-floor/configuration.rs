//! The two configurations, as far as they differ.

use std::ffi::CStr;

/// The capabilities by their numbers (linux/capability.h).
const DEFAULT_CAPABILITIES: &[u32] = &[29, 5, 10];
const DOCKER_CAPABILITIES: &[u32] = &[0, 1, 4, 3, 27, 13, 6, 7, 31, 8, 10, 18, 5, 29];

/// What the calls for a container depend on.
pub(crate) struct Configuration<'a> {
    pub(crate) hostname: &'static str,
    pub(crate) read_only_root: bool,
    /// Flags of the mount at /proc.
    pub(crate) proc_flags: u64,
    /// Files of the host, by their name in this directory, that are mounted over those in /etc.
    pub(crate) files: Option<&'a str>,
    /// Files below /proc/sys, with what is written to them.
    pub(crate) sysctl: &'static [(&'static CStr, &'static [u8])],
    /// Whether `/dev/console` may be used.
    pub(crate) console: bool,
    pub(crate) oom_score_adjust: bool,
    pub(crate) open_files: Option<u64>,
    pub(crate) groups: &'static [u32],
    pub(crate) capabilities: u64,
    /// Classic BPF for seccomp(2), eight bytes an instruction.
    pub(crate) filter: Option<Vec<u64>>,
    pub(crate) no_new_privileges: bool,
    pub(crate) environment: [&'static CStr; 3],
}

const PATH: &CStr = c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl<'a> Configuration<'a> {
    /// What `runc spec` writes.
    pub(crate) fn default_of_runc() -> Self {
        Self {
            hostname: "runc",
            read_only_root: true,
            proc_flags: 0,
            files: None,
            sysctl: &[],
            console: false,
            oom_score_adjust: false,
            open_files: Some(1024),
            groups: &[],
            capabilities: set(DEFAULT_CAPABILITIES),
            filter: None,
            no_new_privileges: true,
            environment: [PATH, c"TERM=xterm", c"HOME=/root"],
        }
    }

    /// What dockerd writes: `fixtures/docker.json`. Nothing if the filter is not in hexadecimal.
    pub(crate) fn docker(files: &'a str, filter: &str) -> Option<Self> {
        Some(Self {
            hostname: "docker",
            read_only_root: false,
            proc_flags: libc::MS_NOSUID | libc::MS_NOEXEC | libc::MS_NODEV,
            files: Some(files),
            sysctl: &[
                (c"proc/sys/net/ipv4/ip_unprivileged_port_start", b"0"),
                (c"proc/sys/net/ipv4/ping_group_range", b"0 2147483647"),
            ],
            console: true,
            oom_score_adjust: true,
            open_files: None,
            groups: &[0],
            capabilities: set(DOCKER_CAPABILITIES),
            filter: Some(instructions(filter)?),
            no_new_privileges: false,
            environment: [PATH, c"HOSTNAME=docker", c"HOME=/root"],
        })
    }
}

fn set(capabilities: &[u32]) -> u64 {
    capabilities
        .iter()
        .fold(0, |set, capability| set | 1 << capability)
}

/// Sixteen digits an instruction, which is a number in the byte order of this machine.
fn instructions(digits: &str) -> Option<Vec<u64>> {
    let chunks = digits.as_bytes().chunks(16);
    chunks
        .map(|chunk| u64::from_str_radix(str::from_utf8(chunk).ok()?, 16).ok())
        .collect()
}
