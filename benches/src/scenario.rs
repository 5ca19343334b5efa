//! What can be measured.

use crate::bundle::Origin;

/// What a container's user does, or what is asked of the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// The spawn of a small static program that does nothing, without a container.
    Spawn,
    /// `run` of /bin/true.
    Run,
    /// The same with Docker's configuration.
    Docker,
    /// `create`, `start`, `state`, `kill` and, after its end, `delete` of a container.
    Lifecycle,
    /// `exec` of /bin/true in a container that runs `sleep`.
    Exec,
    /// `run` of /bin/true after its files left the page cache.
    Cold,
    /// `create` by the library from a small process and from a large one.
    Heap,
    /// What a container takes that was created and not started, and the peak of `run`.
    Memory,
    /// The lowest memory limit under which /bin/true starts.
    Limit,
    /// Many containers, made and deleted by several callers.
    Density,
    /// The system calls of each command.
    Calls,
    /// Docker's seccomp profile, compiled by the library.
    Seccomp,
}

impl Scenario {
    pub(crate) const ALL: [Self; 12] = [
        Self::Spawn,
        Self::Run,
        Self::Docker,
        Self::Lifecycle,
        Self::Exec,
        Self::Cold,
        Self::Heap,
        Self::Memory,
        Self::Limit,
        Self::Density,
        Self::Calls,
        Self::Seccomp,
    ];

    /// Those of `startup`.
    pub(crate) const STARTUP: [Self; 5] = [
        Self::Spawn,
        Self::Run,
        Self::Docker,
        Self::Lifecycle,
        Self::Exec,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Spawn => "spawn",
            Self::Run => "run",
            Self::Docker => "docker",
            Self::Lifecycle => "lifecycle",
            Self::Exec => "exec",
            Self::Cold => "cold",
            Self::Heap => "heap",
            Self::Memory => "memory",
            Self::Limit => "limit",
            Self::Density => "density",
            Self::Calls => "calls",
            Self::Seccomp => "seccomp",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|scenario| scenario.name() == name)
    }

    /// All names, as a list for people.
    pub(crate) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    pub(crate) fn origin(self) -> Origin {
        match self {
            Self::Docker => Origin::Docker,
            _ => Origin::RuncSpec,
        }
    }

    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Lifecycle | Self::Exec | Self::Density | Self::Memory | Self::Heap => {
                &["/bin/sleep", "1000000"]
            }
            _ => &["/bin/true"],
        }
    }
}
