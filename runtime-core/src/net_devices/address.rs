//! Which addresses of an interface move with it, and as what.

use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};

use super::IFNAMSIZ;

/// Flags that can be set on a new address (net/ipv4/devinet.c, net/ipv6/addrconf.c); the others are the kernel's to set.
const SETTABLE: AddressFlags = AddressFlags::Nodad
    .union(AddressFlags::Homeaddress)
    .union(AddressFlags::Managetempaddr)
    .union(AddressFlags::Noprefixroute)
    .union(AddressFlags::Mcautojoin);

/// Whether the specification has the address move with its interface: permanent (IFA_F_PERMANENT) and of global scope
/// (RT_SCOPE_UNIVERSE).
pub(super) fn is_kept(address: &AddressMessage) -> bool {
    address.header.scope == AddressScope::Universe
        && flags(address).contains(AddressFlags::Permanent)
}

fn flags(address: &AddressMessage) -> AddressFlags {
    let whole = address
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Flags(flags) => Some(*flags),
            _ => None,
        });
    // The header has the lower eight bits.
    whole.unwrap_or(AddressFlags::from_bits_retain(
        address.header.flags.bits().into(),
    ))
}

/// The address as it is added to the interface in its new place, with all else that it has: prefix, peer, broadcast,
/// preferred lifetime, metric.
///
/// An IPv6 address that was found unique already (RFC 4862, 5.4) is not doubted again: it could not be used for a second
/// or two after the container has started.
pub(super) fn moved(
    address: &AddressMessage,
    index: u32,
    old_name: &str,
    new_name: &str,
) -> AddressMessage {
    let flags = flags(address);
    let mut kept = flags & SETTABLE;
    let doubtful = AddressFlags::Tentative | AddressFlags::Dadfailed;
    if address.header.family == AddressFamily::Inet6 && !flags.intersects(doubtful) {
        kept |= AddressFlags::Nodad;
    }
    let mut moved = address.clone();
    moved.header.index = index;
    moved.header.flags = AddressHeaderFlags::empty();
    moved.attributes.retain_mut(|attribute| match attribute {
        AddressAttribute::Flags(_) | AddressAttribute::TargetNetNsId(_) => false,
        AddressAttribute::Label(label) => relabel(label, old_name, new_name),
        _ => true,
    });
    moved.attributes.push(AddressAttribute::Flags(kept));
    moved
}

/// The address with its prefix.
pub(super) fn text(address: &AddressMessage) -> String {
    let own = |local: bool| {
        let mut attributes = address.attributes.iter();
        attributes.find_map(|attribute| match attribute {
            AddressAttribute::Local(address) if local => Some(*address),
            AddressAttribute::Address(address) if !local => Some(*address),
            _ => None,
        })
    };
    // Where there is a peer, that is the other one.
    match own(true).or_else(|| own(false)) {
        Some(ip) => format!("{ip}/{}", address.header.prefix_len),
        None => "an address".to_owned(),
    }
}

/// Changes the label as the kernel does when it renames an interface: `eth0:web` becomes `eth1:web`. Tells whether there
/// is a label to give; without one it is the interface's name.
fn relabel(label: &mut String, old_name: &str, new_name: &str) -> bool {
    match label.strip_prefix(old_name) {
        Some("") => return false,
        Some(alias) if alias.starts_with(':') => *label = format!("{new_name}{alias}"),
        _ => {}
    }
    label.len() < IFNAMSIZ
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use netlink_packet_route::address::CacheInfo;

    use super::*;

    fn address(
        family: AddressFamily,
        flags: AddressFlags,
        more: &[AddressAttribute],
    ) -> AddressMessage {
        let mut address = AddressMessage::default();
        address.header.family = family;
        address.header.prefix_len = 24;
        address.header.index = 3;
        address.header.flags = AddressHeaderFlags::from_bits_retain(flags.bits() as u8);
        address.attributes = more.to_vec();
        address.attributes.push(AddressAttribute::Flags(flags));
        address
    }

    fn v6() -> AddressAttribute {
        AddressAttribute::Address(IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)))
    }

    #[test]
    fn permanent_addresses_of_global_scope_are_kept_and_no_others() {
        let permanent = address(AddressFamily::Inet, AddressFlags::Permanent, &[]);
        assert!(is_kept(&permanent));
        for scope in [AddressScope::Site, AddressScope::Link, AddressScope::Host] {
            let mut other = permanent.clone();
            other.header.scope = scope;
            assert!(!is_kept(&other), "{scope:?}");
        }
        assert!(!is_kept(&address(
            AddressFamily::Inet6,
            AddressFlags::Managetempaddr,
            &[v6()]
        )));
        let mut old_kernel = permanent;
        old_kernel.attributes.clear();
        assert!(is_kept(&old_kernel));
    }

    #[test]
    fn an_address_keeps_what_it_has_and_gets_the_new_index_and_label() {
        let attributes = [
            AddressAttribute::Local(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))),
            AddressAttribute::Address(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9))),
            AddressAttribute::Broadcast(Ipv4Addr::new(10, 0, 0, 255)),
            AddressAttribute::RoutePriority(7),
            AddressAttribute::CacheInfo(CacheInfo::default()),
        ];
        let labelled = [
            &attributes[..],
            &[AddressAttribute::Label("old:web".into())],
        ]
        .concat();
        let flags = AddressFlags::Permanent | AddressFlags::Secondary | AddressFlags::Noprefixroute;
        let moved = moved(
            &address(AddressFamily::Inet, flags, &labelled),
            5,
            "old",
            "new",
        );
        assert_eq!((moved.header.index, moved.header.prefix_len), (5, 24));
        assert_eq!(moved.header.flags.bits(), 0);
        let expected = [
            &attributes[..],
            &[
                AddressAttribute::Label("new:web".into()),
                AddressAttribute::Flags(AddressFlags::Noprefixroute),
            ],
        ];
        assert_eq!(moved.attributes, expected.concat());
    }

    #[test]
    fn an_ipv6_address_is_not_probed_again_unless_it_was_in_doubt() {
        for (flags, expected) in [
            (AddressFlags::Permanent, AddressFlags::Nodad),
            (
                AddressFlags::Permanent | AddressFlags::Tentative,
                AddressFlags::empty(),
            ),
            (
                AddressFlags::Permanent | AddressFlags::Dadfailed,
                AddressFlags::empty(),
            ),
            (
                AddressFlags::Tentative | AddressFlags::Nodad,
                AddressFlags::Nodad,
            ),
        ] {
            let moved = moved(&address(AddressFamily::Inet6, flags, &[v6()]), 5, "a", "b");
            assert_eq!(
                moved.attributes,
                [v6(), AddressAttribute::Flags(expected)],
                "{flags:?}"
            );
        }
    }

    #[test]
    fn a_label_follows_the_name_if_it_can() {
        for (label, expected) in [
            ("eth0", None),
            ("eth0:1", Some("container:1")),
            ("eth0:abcdefghij", None),
            ("web", Some("web")),
            ("eth01", Some("eth01")),
        ] {
            let mut text = label.to_owned();
            let given = relabel(&mut text, "eth0", "container");
            assert_eq!(given.then_some(text.as_str()), expected, "{label}");
        }
    }
}
