//! Moves interfaces, and moves them back when the container fails to be created.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;

use netlink_packet_route::address::AddressMessage;
use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::netlink::Route;
use super::{NetDevice, address, is_template};
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::sys;

/// How often somebody else may take an index that was free, before we give up.
const RACES: usize = 16;

/// A network namespace, and a socket in it.
struct Place {
    namespace: OwnedFd,
    route: Route,
}

/// The interfaces that went to a container in the making. The sockets hold the namespaces, so that an interface can be had
/// back when no process is left there.
pub(crate) struct Moves {
    host: Place,
    container: Place,
    moved: Vec<Moved>,
}

/// An interface in the container, and what it was on the host.
struct Moved {
    index: u32,
    was: Link,
}

struct Link {
    name: String,
    index: u32,
    up: bool,
    addresses: Vec<AddressMessage>,
}

/// What became of a request to move: the index that the interface has in the other namespace if it is there.
struct Sent {
    index: u32,
    answer: io::Result<()>,
}

impl Moves {
    /// Prepares to move interfaces to the network namespace of this process.
    pub(crate) fn to(pid: i32) -> Result<Moves> {
        Moves::between(pid).map_err(|error| error.at("/linux/netDevices"))
    }

    fn between(pid: i32) -> Result<Moves> {
        let host = namespace("/proc/thread-self/ns/net")?;
        let container = namespace(&format!("/proc/{pid}/ns/net"))?;
        let attempt = || "compare network namespaces".to_owned();
        let (here, there) = (
            fstat(&host).host(attempt)?,
            fstat(&container).host(attempt)?,
        );
        if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino) {
            let problem = "the network namespace that the container joins is the runtime's own";
            return Err(Error::new(ErrorKind::Setup, problem));
        }
        let attempt = || "open a netlink socket".to_owned();
        let (here, there) = (Route::open(), open_in(&container));
        Ok(Moves {
            host: Place {
                namespace: host,
                route: here.host(attempt)?,
            },
            container: Place {
                namespace: container,
                route: there.host(attempt)?,
            },
            moved: Vec::new(),
        })
    }

    /// Moves one interface, with its permanent addresses of global scope, and brings it up.
    pub(crate) fn take(&mut self, device: &NetDevice) -> Result<()> {
        let origin = device.origin.as_str();
        let NetDevice { name, new_name, .. } = device;
        let setup = |what: String, cause| Error::io(ErrorKind::Setup, what, cause).at(origin);
        let was = Link::of(&self.host.route, name)
            .map_err(|cause| setup(format!("find network device {name}"), cause))?;
        let wanted = device.in_container();
        if !is_template(wanted) && self.container.route.index(wanted).is_ok() {
            let there = "exists already in the container's network namespace";
            let problem = format!("a network device {wanted} {there}");
            return Err(Error::new(ErrorKind::Setup, problem).at(origin));
        }
        let kept = was
            .addresses
            .iter()
            .filter(|address| address::is_kept(address));
        let kept: Vec<_> = kept.cloned().collect();
        let old_name = was.name.clone();
        let sent = send(
            &self.host,
            was.index,
            &self.container,
            was.index,
            new_name.as_deref(),
        );
        // The kernel moves it first and renames it then: when it refuses, it may have done one of the two.
        if self.host.route.name(was.index).is_err() {
            let index = sent.index;
            self.moved.push(Moved { index, was });
        }
        sent.answer
            .map_err(|cause| setup(refused(device, &cause), cause))?;
        let route = &self.container.route;
        add_addresses(route, sent.index, &old_name, &kept)
            .map_err(|(address, cause)| setup(format!("add {address} to {wanted}"), cause))?;
        route
            .bring_up(sent.index)
            .map_err(|cause| setup(format!("bring {wanted} up in the container"), cause))
    }

    /// Takes the interfaces back, with their names, addresses and state: the container is not to be. Routes that somebody
    /// had made through them stay lost.
    pub(crate) fn undo(self) {
        for moved in self.moved.iter().rev() {
            if let Err(cause) = self.take_back(moved) {
                let name = &moved.was.name;
                tracing::warn!("network device {name} did not come back as it was: {cause}");
            }
        }
    }

    fn take_back(&self, moved: &Moved) -> io::Result<()> {
        let was = &moved.was;
        let sent = send(
            &self.container,
            moved.index,
            &self.host,
            was.index,
            Some(&was.name),
        );
        sent.answer?;
        let route = &self.host.route;
        if was.up {
            route.bring_up(sent.index)?;
        }
        // Some of them the kernel makes anew.
        match add_addresses(route, sent.index, &was.name, &was.addresses) {
            Err((_, cause)) if cause.raw_os_error() != Some(libc::EEXIST) => Err(cause),
            _ => Ok(()),
        }
    }
}

impl Link {
    fn of(route: &Route, name: &str) -> io::Result<Link> {
        let index = route.index(name)?;
        Ok(Link {
            // The configuration may have one of its alternative names.
            name: route.name(index)?,
            index,
            up: route.is_up(index)?,
            addresses: route.addresses(index)?,
        })
    }
}

/// Moves an interface. It gets the index that is wanted there or the next that is free; so we know which it is, whatever
/// name the kernel makes of a template (Linux 5.13, eeb85a14ee34).
fn send(from: &Place, index: u32, to: &Place, wanted: u32, new_name: Option<&str>) -> Sent {
    let mut sent = Sent {
        index: wanted,
        answer: Ok(()),
    };
    for _ in 0..RACES {
        while to.route.name(sent.index).is_ok() {
            sent.index += 1;
        }
        let namespace = to.namespace.as_fd();
        sent.answer = from.route.move_link(index, namespace, sent.index, new_name);
        match &sent.answer {
            Err(cause) if cause.raw_os_error() == Some(libc::EBUSY) => {}
            _ => break,
        }
    }
    sent
}

/// Adds addresses that an interface had elsewhere; gives the one that cannot be.
fn add_addresses(
    route: &Route,
    index: u32,
    old_name: &str,
    addresses: &[AddressMessage],
) -> std::result::Result<(), (String, io::Error)> {
    if addresses.is_empty() {
        return Ok(());
    }
    let new_name = route
        .name(index)
        .map_err(|cause| ("addresses".to_owned(), cause))?;
    for address in addresses {
        let moved = address::moved(address, index, old_name, &new_name);
        route
            .add_address(&moved)
            .map_err(|cause| (address::text(address), cause))?;
    }
    Ok(())
}

/// What was refused, and why if the kernel's answer does not tell.
fn refused(device: &NetDevice, cause: &io::Error) -> String {
    let NetDevice { name, .. } = device;
    let wanted = device.in_container();
    let attempt =
        format!("move network device {name} to the container's network namespace as {wanted}");
    match cause.raw_os_error() {
        Some(libc::EINVAL) => {
            format!("{attempt} (a loopback or bridge, for one, cannot leave its namespace)")
        }
        _ => attempt,
    }
}

fn namespace(path: &str) -> Result<OwnedFd> {
    openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .host(|| format!("open network namespace {path}"))
}

/// Opens a socket in another network namespace: in a thread that enters it and ends, as the caller's threads stay where
/// they are.
fn open_in(namespace: &OwnedFd) -> io::Result<Route> {
    let open = || {
        // No handler of the caller's finds itself there.
        let _ = sys::block_signals();
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        Route::open()
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, open)?;
        let failed = |_| io::Error::other("the thread that enters the namespace failed");
        thread.join().map_err(failed)?
    })
}
