//! `linux.sysctl`: kernel parameters of the container's own namespaces.

use runtime_init::{Step, Text};

use crate::error::{Error, Result};
use crate::namespaces::{NEWIPC, NEWNET, NEWUSER, NEWUTS, Namespaces};
use crate::plan::{Builder, c_string};

/// Parameters of the IPC namespace that are not under `fs.mqueue.`.
const IPC: &[&str] = &[
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Writes the parameters, in the order of their names.
pub(crate) fn all(plan: &mut Builder<'_>) -> Result<()> {
    let Some(parameters) = plan.linux().and_then(|linux| linux.sysctl().as_ref()) else {
        return Ok(());
    };
    let namespaces = Namespaces::of(plan)?;
    let mut sorted: Vec<_> = parameters.iter().collect();
    sorted.sort();
    for (name, value) in sorted {
        let pointer = format!(
            "/linux/sysctl/{}",
            name.replace('~', "~0").replace('/', "~1")
        );
        check(name, &namespaces).map_err(|problem| Error::config(&pointer, problem))?;
        let path = c_string(&pointer, format!("sys/{}", path(name)))?;
        let value = c_string(&pointer, value.as_str())?;
        plan.step(
            pointer,
            &Step::WriteProc {
                path: Text(&path),
                value: Text(&value),
            },
        );
    }
    Ok(())
}

/// A name's separator is its first `.` or `/`; the other one is then part of a component, such as an interface `eth0.1`
/// (sysctl.d(5)).
fn path(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(first) if name[first..].starts_with('/') => name.to_owned(),
        _ => name
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
    }
}

/// Only what a namespace of the container has for itself may be changed.
fn check(name: &str, namespaces: &Namespaces<'_>) -> std::result::Result<(), String> {
    let path = path(name);
    if path
        .split('/')
        .any(|component| matches!(component, "" | "." | ".."))
    {
        return Err(format!("{name:?} does not name a kernel parameter"));
    }
    let dotted = path.replace('/', ".");
    let needed = match dotted.as_str() {
        "kernel.domainname" | "kernel.hostname" => (NEWUTS, "uts"),
        parameter if IPC.contains(&parameter) || parameter.starts_with("fs.mqueue.") => {
            (NEWIPC, "ipc")
        }
        parameter if parameter.starts_with("net.") => (NEWNET, "network"),
        parameter if parameter.starts_with("user.") => (NEWUSER, "user"),
        _ => {
            return Err(format!(
                "{name} belongs to no namespace: it would change the host's"
            ));
        }
    };
    if namespaces.has(needed.0) {
        return Ok(());
    }
    Err(format!(
        "{name} needs a {} namespace of the container's own",
        needed.1
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_separator_of_a_name_decides_what_the_other_one_is() {
        assert_eq!(
            path("net.ipv4.conf.eth0/1.forwarding"),
            "net/ipv4/conf/eth0.1/forwarding"
        );
        assert_eq!(
            path("net/ipv4/conf/eth0.1/forwarding"),
            "net/ipv4/conf/eth0.1/forwarding"
        );
    }

    #[test]
    fn a_parameter_of_the_host_is_refused() {
        let namespaces = Namespaces {
            new: NEWNET | NEWIPC,
            joined: Vec::new(),
        };
        assert!(check("kernel.core_pattern", &namespaces).is_err());
        assert!(check("net.ipv4.ip_forward", &namespaces).is_ok());
        assert!(check("net.../kernel", &namespaces).is_err());
        assert!(check("kernel.hostname", &namespaces).is_err());
    }
}
