//! What has to be written to a cgroup's file for a write to be taken back: pure.

/// Files that hold processes or enable controllers: what was written there cannot be taken back by writing.
const ONE_WAY: [&str; 3] = ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"];

/// The line that undoes `value`, when the file's content was `before`.
pub(super) fn line(file: &str, value: &str, before: &str) -> Option<String> {
    if ONE_WAY.contains(&file) {
        return None;
    }
    if file == "memory.oom_control" {
        let disabled = before.lines().next()?.split_whitespace().nth(1)?;
        return Some(disabled.to_owned());
    }
    if let Some(key) = key_of(value) {
        let has_key = |line: &&str| line.split_whitespace().next() == Some(key);
        return match before.lines().find(has_key) {
            Some(line) => Some(line.trim().to_owned()),
            None => unset(file).map(|unset| format!("{key} {unset}")),
        };
    }
    // The value of a file that has others for single devices.
    let default = before.lines().find(|line| line.starts_with("default "));
    match (default, before.trim()) {
        (Some(line), _) => Some(line.to_owned()),
        (None, text) if text.contains('\n') => None,
        // A list that was empty; no bytes at all would write nothing.
        (None, "") => Some("\n".to_owned()),
        (None, text) => Some(text.to_owned()),
    }
}

/// A device, interface or resource, when the value is for one of several.
fn key_of(value: &str) -> Option<&str> {
    let mut words = value.split_whitespace();
    let key = words.next()?;
    let is_key = key.contains(':') || key.starts_with(|first: char| first.is_ascii_alphabetic());
    (words.next().is_some() && is_key && key != "max" && key != "default").then_some(key)
}

/// What a key without a line has, where the kernel lists those alone that were set.
fn unset(file: &str) -> Option<&'static str> {
    match file {
        "io.max" => Some("rbps=max wbps=max riops=max wiops=max"),
        "io.weight" | "io.bfq.weight" | "blkio.bfq.weight_device" => Some("default"),
        "blkio.weight_device" | "blkio.leaf_weight_device" => Some("0"),
        _ if file.starts_with("blkio.throttle.") => Some("0"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_value_is_what_it_was() {
        for before in ["33554432", "max", "max 100000", "50000 100000", "0-1"] {
            let shown = format!("{before}\n");
            assert_eq!(line("x", "1", &shown).as_deref(), Some(before));
        }
        assert_eq!(
            line("cpu.max", "9 100", "max 100000\n").as_deref(),
            Some("max 100000")
        );
        assert_eq!(
            line("cpu.max", "max 100", "5 10\n").as_deref(),
            Some("5 10")
        );
        assert_eq!(line("cpuset.cpus", "0", "\n").as_deref(), Some("\n"));
    }

    #[test]
    fn an_entry_is_what_it_was_or_none() {
        let throttles = "8:0 600\n8:16 7\n";
        let file = "blkio.throttle.read_bps_device";
        assert_eq!(line(file, "8:16 9", throttles).as_deref(), Some("8:16 7"));
        assert_eq!(line(file, "8:32 9", throttles).as_deref(), Some("8:32 0"));
        assert_eq!(
            line("io.max", "8:0 rbps=1", "").as_deref(),
            Some("8:0 rbps=max wbps=max riops=max wiops=max")
        );
        let weights = "default 100\n8:0 50\n";
        assert_eq!(
            line("io.weight", "300", weights).as_deref(),
            Some("default 100")
        );
        assert_eq!(
            line("io.weight", "8:0 300", weights).as_deref(),
            Some("8:0 50")
        );
        assert_eq!(
            line("io.weight", "8:16 300", weights).as_deref(),
            Some("8:16 default")
        );
        let rdma = "mlx5_0 hca_handle=max hca_object=max\n";
        assert_eq!(
            line("rdma.max", "mlx5_0 hca_handle=2", rdma).as_deref(),
            Some("mlx5_0 hca_handle=max hca_object=max")
        );
        assert_eq!(
            line("net_prio.ifpriomap", "eth0 5", "lo 0\neth0 2\n").as_deref(),
            Some("eth0 2")
        );
    }

    #[test]
    fn what_no_write_takes_back_is_left() {
        assert_eq!(line("cgroup.procs", "7", "1\n2\n"), None);
        assert_eq!(line("x", "1", "a 1\nb 2\n"), None);
        let oom = "oom_kill_disable 0\nunder_oom 0\n";
        assert_eq!(line("memory.oom_control", "1", oom).as_deref(), Some("0"));
    }
}
