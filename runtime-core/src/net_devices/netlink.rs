//! The few requests of rtnetlink(7) that moving an interface takes, one at a time and each with the kernel's answer.
//!
//! netlink-packet-route has the messages; the socket is rustix's.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, ErrorBuffer, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP,
    NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, Parseable,
};
use netlink_packet_route::AddressFamily as Family;
use netlink_packet_route::address::{AddressHeader, AddressMessage};
use netlink_packet_route::link::{LinkFlags, LinkHeader};
use rustix::net::netdevice::{index_to_name, name_to_index};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};

/// More than the kernel puts into one datagram (net/netlink/af_netlink.c, `netlink_dump`: 32 KiB).
const BUFFER: usize = 64 * 1024;

/// How often a dump is asked for again when the addresses changed meanwhile.
const DUMPS: usize = 10;

/// A socket to the kernel's routing of the network namespace in which it was opened, wherever it is used.
pub(super) struct Route {
    socket: OwnedFd,
    sequence: Cell<u32>,
}

/// A request about an interface. The crate's own message can have any attribute there is, which is 160 KB of code;
/// these requests have three.
#[derive(Default)]
struct LinkRequest {
    header: LinkHeader,
    attributes: Vec<DefaultNla>,
}

impl Emitable for LinkRequest {
    fn buffer_len(&self) -> usize {
        self.header.buffer_len() + self.attributes.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        let (header, attributes) = buffer.split_at_mut(self.header.buffer_len());
        self.header.emit(header);
        self.attributes.as_slice().emit(attributes);
    }
}

fn attribute(kind: u16, value: impl Into<Vec<u8>>) -> DefaultNla {
    DefaultNla::new(kind, value.into())
}

/// Messages of an answer, each a type and a payload.
#[derive(Default)]
struct Answer {
    messages: Vec<(u16, Vec<u8>)>,
    /// What a dump tells about changed while it was made.
    interrupted: bool,
}

impl Route {
    /// Opens the socket in the calling thread's network namespace.
    pub(super) fn open() -> io::Result<Route> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            // NETLINK_ROUTE is 0.
            None,
        )?;
        let sequence = Cell::new(0);
        Ok(Route { socket, sequence })
    }

    /// The interface of this name; no such device (ENODEV) when there is none.
    pub(super) fn index(&self, name: &str) -> io::Result<u32> {
        Ok(name_to_index(&self.socket, name)?)
    }

    /// The name of an interface.
    pub(super) fn name(&self, index: u32) -> io::Result<String> {
        Ok(index_to_name(&self.socket, index)?)
    }

    /// Whether the interface is administratively up.
    pub(super) fn is_up(&self, index: u32) -> io::Result<bool> {
        let mut message = LinkRequest::default();
        message.header.index = index;
        let answer = self.ask(libc::RTM_GETLINK, NLM_F_ACK, &message)?;
        let (_, payload) = answer
            .messages
            .first()
            .ok_or_else(|| io::Error::other("the kernel says nothing of the interface"))?;
        let header = LinkHeader::parse(payload).map_err(unintelligible)?;
        Ok(header.flags.contains(LinkFlags::Up))
    }

    /// Brings the interface up.
    pub(super) fn bring_up(&self, index: u32) -> io::Result<()> {
        let mut message = LinkRequest::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.ask(libc::RTM_NEWLINK, NLM_F_ACK, &message).map(drop)
    }

    /// Moves the interface to another network namespace, where it gets this index, and this name if one is given.
    pub(super) fn move_link(
        &self,
        index: u32,
        namespace: BorrowedFd<'_>,
        new_index: u32,
        new_name: Option<&str>,
    ) -> io::Result<()> {
        let mut message = LinkRequest::default();
        message.header.index = index;
        message.attributes = vec![
            attribute(libc::IFLA_NET_NS_FD, namespace.as_raw_fd().to_ne_bytes()),
            attribute(libc::IFLA_NEW_IFINDEX, new_index.to_ne_bytes()),
        ];
        message.attributes.extend(
            new_name.map(|name| attribute(libc::IFLA_IFNAME, [name.as_bytes(), &[0]].concat())),
        );
        self.ask(libc::RTM_NEWLINK, NLM_F_ACK, &message).map(drop)
    }

    /// The IP addresses of an interface, in the kernel's order.
    pub(super) fn addresses(&self, index: u32) -> io::Result<Vec<AddressMessage>> {
        for _ in 0..DUMPS {
            let answer = self.ask(libc::RTM_GETADDR, NLM_F_DUMP, &AddressMessage::default())?;
            if !answer.interrupted {
                return of_interface(&answer.messages, index).map_err(unintelligible);
            }
        }
        Err(io::Error::other("the host's addresses change all the time"))
    }

    /// Adds an address.
    pub(super) fn add_address(&self, address: &AddressMessage) -> io::Result<()> {
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        self.ask(libc::RTM_NEWADDR, flags, address).map(drop)
    }

    /// Sends a request and collects the answer, up to its end or acknowledgement.
    fn ask(&self, kind: u16, flags: u16, payload: &impl Emitable) -> io::Result<Answer> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        let request = encode(kind, NLM_F_REQUEST | flags, sequence, payload);
        let kernel = SocketAddrNetlink::new(0, 0);
        let _ = sendto(&self.socket, &request, SendFlags::empty(), &kernel)?;
        let mut answer = Answer::default();
        let mut buffer = vec![0; BUFFER];
        while !answer.take(self.receive(&mut buffer)?, sequence)? {}
        Ok(answer)
    }

    fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
        let length = loop {
            match recv(self.socket.as_fd(), &mut *buffer, RecvFlags::TRUNC) {
                Err(rustix::io::Errno::INTR) => {}
                answer => break answer?.1,
            }
        };
        buffer
            .get(..length)
            .ok_or_else(|| io::Error::other("the kernel's answer is longer than any"))
    }
}

impl Answer {
    /// Takes a datagram of messages; tells whether the answer is complete.
    fn take(&mut self, datagram: &[u8], sequence: u32) -> io::Result<bool> {
        let mut rest = datagram;
        while !rest.is_empty() {
            let message = NetlinkBuffer::new_checked(rest).map_err(unintelligible)?;
            let aligned = (message.length() as usize).next_multiple_of(4);
            rest = rest.get(aligned..).unwrap_or_default();
            if message.sequence_number() != sequence {
                continue;
            }
            self.interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
            match i32::from(message.message_type()) {
                // Both begin with an errno, negative, or 0.
                libc::NLMSG_ERROR | libc::NLMSG_DONE => {
                    let end =
                        ErrorBuffer::new_checked(message.payload()).map_err(unintelligible)?;
                    return match end.code() {
                        Some(code) => Err(io::Error::from_raw_os_error(-code.get())),
                        None => Ok(true),
                    };
                }
                _ => {
                    let payload = message.payload().to_vec();
                    self.messages.push((message.message_type(), payload));
                }
            }
        }
        Ok(false)
    }
}

fn unintelligible(error: DecodeError) -> io::Error {
    io::Error::other(format!("the kernel's answer is not understood: {error}"))
}

fn encode(kind: u16, flags: u16, sequence: u32, payload: &impl Emitable) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    let length = header.buffer_len() + payload.buffer_len();
    header.length = u32::try_from(length).unwrap_or(u32::MAX);
    header.message_type = kind;
    header.flags = flags;
    header.sequence_number = sequence;
    let mut bytes = vec![0; length];
    let (head, body) = bytes.split_at_mut(header.buffer_len());
    header.emit(head);
    payload.emit(body);
    bytes
}

/// The addresses of one interface among all. Other protocols' than IP have no scope that could be global.
fn of_interface(
    messages: &[(u16, Vec<u8>)],
    index: u32,
) -> Result<Vec<AddressMessage>, DecodeError> {
    let mut addresses = Vec::new();
    for (kind, payload) in messages {
        let header = AddressHeader::parse(payload)?;
        let is_ip = matches!(header.family, Family::Inet | Family::Inet6);
        if *kind == libc::RTM_NEWADDR && header.index == index && is_ip {
            addresses.push(AddressMessage::parse(payload)?);
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_header_a_message_and_padded_attributes() {
        let mut message = LinkRequest::default();
        message.header.index = 7;
        message.attributes = vec![attribute(libc::IFLA_IFNAME, *b"eth0\0")];
        let request = encode(libc::RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, 3, &message);
        let mut expected = vec![44, 0, 0, 0, 16, 0, 5, 0, 3, 0, 0, 0, 0, 0, 0, 0];
        expected.extend([0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([9, 0, 3, 0, b'e', b't', b'h', b'0', 0, 0, 0, 0]);
        assert_eq!(request, expected);
    }

    fn error(sequence: u32, errno: i32) -> Vec<u8> {
        let mut bytes = vec![20, 0, 0, 0, 2, 0, 0, 0];
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend((-errno).to_ne_bytes());
        bytes
    }

    #[test]
    fn an_answer_ends_with_an_acknowledgement_or_an_error_of_its_own_request() {
        let mut answer = Answer::default();
        assert!(!answer.take(&error(1, libc::EPERM), 2).unwrap());
        assert!(answer.take(&error(2, 0), 2).unwrap());
        let refused = answer.take(&error(2, libc::EPERM), 2).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
    }

    #[test]
    fn a_damaged_answer_is_an_error() {
        for length in 1..20 {
            let bytes = error(1, 0);
            let damaged = Answer::default().take(&bytes[..length], 1);
            assert!(damaged.is_err(), "{length} bytes");
        }
        let none = Answer::default().take(&[0; 20], 1);
        assert!(none.is_err(), "a message of length 0 would never end");
    }

    #[test]
    fn the_loopback_interface_has_its_name_and_addresses() {
        let route = Route::open().unwrap();
        let index = route.index("lo").unwrap();
        assert_eq!(route.name(index).unwrap(), "lo");
        let missing = route.index("no-such-device").unwrap_err();
        assert_eq!(missing.raw_os_error(), Some(libc::ENODEV));
        let up = route.is_up(index).unwrap();
        assert!(!up || !route.addresses(index).unwrap().is_empty());
    }
}
