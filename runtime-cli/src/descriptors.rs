//! Descriptors that the caller hands through to the container's process: `$LISTEN_FDS` and `--preserve-fds`.

use std::env;

/// What the container's process inherits beside its standard streams: descriptors 3 and on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inherited {
    /// Sockets of socket activation, which come first: sd_listen_fds(3).
    pub(crate) listening: u32,
    /// Those that `--preserve-fds` names, after them.
    pub(crate) preserved: u32,
}

impl Inherited {
    pub(crate) fn count(self) -> u32 {
        self.listening.saturating_add(self.preserved)
    }

    /// The variables that tell the container's process of its sockets. Its init is process 1.
    pub(crate) fn environment(self) -> Vec<String> {
        match self.listening {
            0 => Vec::new(),
            count => vec![format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()],
        }
    }
}

/// How many sockets the service manager passed to this process.
pub(crate) fn listening() -> u32 {
    listening_for(
        std::process::id(),
        env::var("LISTEN_PID").ok().as_deref(),
        env::var("LISTEN_FDS").ok().as_deref(),
    )
}

fn listening_for(own_pid: u32, pid: Option<&str>, count: Option<&str>) -> u32 {
    match (pid.map(str::parse::<u32>), count.map(str::parse::<u32>)) {
        (Some(Ok(pid)), Some(Ok(count))) if pid == own_pid => count,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_meant_for_another_process_are_left_alone() {
        assert_eq!(listening_for(7, Some("7"), Some("2")), 2);
        assert_eq!(listening_for(7, Some("8"), Some("2")), 0);
        assert_eq!(listening_for(7, None, Some("2")), 0);
        assert_eq!(listening_for(7, Some("7"), Some("-2")), 0);
    }

    #[test]
    fn the_container_hears_of_its_sockets_and_of_nothing_else() {
        let inherited = Inherited {
            listening: 2,
            preserved: 1,
        };
        assert_eq!(inherited.count(), 3);
        assert_eq!(inherited.environment(), ["LISTEN_FDS=2", "LISTEN_PID=1"]);
        assert_eq!(
            Inherited {
                listening: 0,
                preserved: 1
            }
            .environment(),
            Vec::<String>::new()
        );
    }
}
