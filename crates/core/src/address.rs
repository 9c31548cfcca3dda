//! Which addresses are public: the list that the URL guard judges by.
//!
//! The tables are IANA's special-purpose registries for IPv4 and IPv6, refused as a whole: the few entries that are
//! reachable world-wide (anycast helpers of DNS, PCP, TURN and AMT) serve no webhooks. For IPv6 only `2000::/3` is
//! public at all, so that what is not assigned yet is refused as well.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Why an address may not be called.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refused {
    /// `0.0.0.0/8`, `::`.
    Unspecified,
    /// This machine.
    Loopback,
    /// A private network (RFC 1918).
    Private,
    /// A private network of IPv6, `fc00::/7`.
    UniqueLocal,
    /// Behind a carrier's NAT, `100.64.0.0/10`.
    Shared,
    /// The local link, and the old site-local range of IPv6.
    LinkLocal,
    /// A cloud's metadata service or its like.
    Metadata,
    /// Many machines.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// Examples in documents.
    Documentation,
    /// Measurements of network equipment.
    Benchmarking,
    /// A translator's or a tunnel's own addresses.
    Transition,
    /// Kept for protocols, or not assigned.
    Reserved,
}

impl Refused {
    /// The stable word for it, in logs and explanations.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::UniqueLocal => "unique_local",
            Self::Shared => "shared",
            Self::LinkLocal => "link_local",
            Self::Metadata => "metadata",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::Transition => "transition",
            Self::Reserved => "reserved",
        }
    }
}

/// Whether an address may be called: it is public, or inside a network that a setting allows. An IPv4 address inside
/// an IPv6 one is judged in place of it; a network allows an address in both forms.
pub fn judge(address: IpAddr, allowed: &[IpNet]) -> Result<(), Refused> {
    if is_in(allowed, address) {
        return Ok(());
    }
    match address {
        IpAddr::V4(address) => judge_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(inner) => inner.iter().try_for_each(|inner| judge(IpAddr::V4(*inner), allowed)),
            None => judge_v6(address),
        },
    }
}

fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(first: u16, second: u16, third: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0), length)
}

/// The first match counts: metadata services lie inside wider ranges, or in the middle of public ones.
const SPECIAL_V4: [(Ipv4Net, Refused); 25] = [
    (v4(169, 254, 169, 254, 32), Refused::Metadata),
    // Credentials of containers at AWS.
    (v4(169, 254, 170, 2, 32), Refused::Metadata),
    (v4(169, 254, 170, 23, 32), Refused::Metadata),
    // Alibaba Cloud.
    (v4(100, 100, 100, 200, 32), Refused::Metadata),
    // Oracle Cloud.
    (v4(192, 0, 0, 192, 32), Refused::Metadata),
    // Azure's WireServer, in the middle of a public range.
    (v4(168, 63, 129, 16, 32), Refused::Metadata),
    (v4(255, 255, 255, 255, 32), Refused::Broadcast),
    (v4(0, 0, 0, 0, 8), Refused::Unspecified),
    (v4(10, 0, 0, 0, 8), Refused::Private),
    (v4(100, 64, 0, 0, 10), Refused::Shared),
    (v4(127, 0, 0, 0, 8), Refused::Loopback),
    (v4(169, 254, 0, 0, 16), Refused::LinkLocal),
    (v4(172, 16, 0, 0, 12), Refused::Private),
    (v4(192, 0, 0, 0, 24), Refused::Reserved),
    (v4(192, 0, 2, 0, 24), Refused::Documentation),
    (v4(192, 31, 196, 0, 24), Refused::Reserved),
    (v4(192, 52, 193, 0, 24), Refused::Transition),
    (v4(192, 88, 99, 0, 24), Refused::Transition),
    (v4(192, 168, 0, 0, 16), Refused::Private),
    (v4(192, 175, 48, 0, 24), Refused::Reserved),
    (v4(198, 18, 0, 0, 15), Refused::Benchmarking),
    (v4(198, 51, 100, 0, 24), Refused::Documentation),
    (v4(203, 0, 113, 0, 24), Refused::Documentation),
    (v4(224, 0, 0, 0, 4), Refused::Multicast),
    (v4(240, 0, 0, 0, 4), Refused::Reserved),
];

/// The same for IPv6, without what holds an IPv4 address (see [`embedded`]).
const SPECIAL_V6: [(Ipv6Net, Refused); 16] = [
    // AWS, and Google Cloud.
    (Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128), Refused::Metadata),
    (Ipv6Net::new_assert(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128), Refused::Metadata),
    (Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128), Refused::Unspecified),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), Refused::Loopback),
    // NAT64 with prefixes of one's own: where it leads is known to the network alone.
    (v6(0x64, 0xff9b, 1, 48), Refused::Transition),
    (v6(0x100, 0, 0, 64), Refused::Reserved),
    // Benchmarking lies inside the block of IETF protocol assignments (ORCHID, AMT, AS112, …).
    (v6(0x2001, 2, 0, 48), Refused::Benchmarking),
    (v6(0x2001, 0, 0, 23), Refused::Reserved),
    (v6(0x2001, 0xdb8, 0, 32), Refused::Documentation),
    (v6(0x2620, 0x4f, 0x8000, 48), Refused::Reserved),
    (v6(0x3fff, 0, 0, 20), Refused::Documentation),
    (v6(0x5f00, 0, 0, 16), Refused::Reserved),
    (v6(0xfc00, 0, 0, 7), Refused::UniqueLocal),
    (v6(0xfe80, 0, 0, 10), Refused::LinkLocal),
    (v6(0xfec0, 0, 0, 10), Refused::LinkLocal),
    (v6(0xff00, 0, 0, 8), Refused::Multicast),
];

const GLOBAL_UNICAST: Ipv6Net = v6(0x2000, 0, 0, 3);
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);
const SIX_TO_FOUR: Ipv6Net = v6(0x2002, 0, 0, 16);
const TEREDO: Ipv6Net = v6(0x2001, 0, 0, 32);

fn judge_v4(address: Ipv4Addr) -> Result<(), Refused> {
    match SPECIAL_V4.iter().find(|(network, _)| network.contains(&address)) {
        Some((_, refused)) => Err(*refused),
        None => Ok(()),
    }
}

fn judge_v6(address: Ipv6Addr) -> Result<(), Refused> {
    match SPECIAL_V6.iter().find(|(network, _)| network.contains(&address)) {
        Some((_, refused)) => Err(*refused),
        None if GLOBAL_UNICAST.contains(&address) => Ok(()),
        None => Err(Refused::Reserved),
    }
}

/// The IPv4 addresses that a packet to this IPv6 address can end at: all of them must be public.
fn embedded(address: Ipv6Addr) -> Option<[Ipv4Addr; 2]> {
    let one = |inner: Ipv4Addr| Some([inner, inner]);
    let quad = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    let part = address.segments();
    if address.is_unspecified() || address.is_loopback() {
        return None;
    }
    match part {
        // Mapped (::ffff:0:0/96), and the deprecated IPv4-compatible form (::/96).
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] => one(quad(high, low)),
        _ if NAT64.contains(&address) => one(quad(part[6], part[7])),
        _ if SIX_TO_FOUR.contains(&address) => one(quad(part[1], part[2])),
        // Teredo: its server, and the client, whose bits are inverted.
        _ if TEREDO.contains(&address) => Some([quad(part[2], part[3]), quad(!part[6], !part[7])]),
        _ => None,
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
