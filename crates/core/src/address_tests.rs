use proptest::prelude::*;

use super::*;

fn judged(text: &str) -> Result<(), Refused> {
    judge(text.parse().expect("an address"), &[])
}

fn networks(list: &[&str]) -> Vec<IpNet> {
    list.iter().map(|text| text.parse().expect("a network")).collect()
}

/// A range: its first and last address, and those neighbours outside it that are public.
type Range = (&'static str, &'static str, Refused, Option<&'static str>, Option<&'static str>);

#[rustfmt::skip]
const RANGES: &[Range] = &[
    ("0.0.0.0", "0.255.255.255", Refused::Unspecified, None, Some("1.0.0.0")),
    ("10.0.0.0", "10.255.255.255", Refused::Private, Some("9.255.255.255"), Some("11.0.0.0")),
    ("100.64.0.0", "100.127.255.255", Refused::Shared, Some("100.63.255.255"), Some("100.128.0.0")),
    ("127.0.0.0", "127.255.255.255", Refused::Loopback, Some("126.255.255.255"), Some("128.0.0.0")),
    ("169.254.0.0", "169.254.255.255", Refused::LinkLocal, Some("169.253.255.255"), Some("169.255.0.0")),
    ("172.16.0.0", "172.31.255.255", Refused::Private, Some("172.15.255.255"), Some("172.32.0.0")),
    ("192.0.0.0", "192.0.0.255", Refused::Reserved, Some("191.255.255.255"), Some("192.0.1.0")),
    ("192.0.2.0", "192.0.2.255", Refused::Documentation, Some("192.0.1.255"), Some("192.0.3.0")),
    ("192.31.196.0", "192.31.196.255", Refused::Reserved, Some("192.31.195.255"), Some("192.31.197.0")),
    ("192.52.193.0", "192.52.193.255", Refused::Transition, Some("192.52.192.255"), Some("192.52.194.0")),
    ("192.88.99.0", "192.88.99.255", Refused::Transition, Some("192.88.98.255"), Some("192.88.100.0")),
    ("192.168.0.0", "192.168.255.255", Refused::Private, Some("192.167.255.255"), Some("192.169.0.0")),
    ("192.175.48.0", "192.175.48.255", Refused::Reserved, Some("192.175.47.255"), Some("192.175.49.0")),
    ("198.18.0.0", "198.19.255.255", Refused::Benchmarking, Some("198.17.255.255"), Some("198.20.0.0")),
    ("198.51.100.0", "198.51.100.255", Refused::Documentation, Some("198.51.99.255"), Some("198.51.101.0")),
    ("203.0.113.0", "203.0.113.255", Refused::Documentation, Some("203.0.112.255"), Some("203.0.114.0")),
    ("224.0.0.0", "239.255.255.255", Refused::Multicast, Some("223.255.255.255"), None),
    ("240.0.0.0", "255.255.255.254", Refused::Reserved, None, None),
    ("255.255.255.255", "255.255.255.255", Refused::Broadcast, None, None),
    ("168.63.129.16", "168.63.129.16", Refused::Metadata, Some("168.63.129.15"), Some("168.63.129.17")),
    ("169.254.169.254", "169.254.169.254", Refused::Metadata, None, None),
    ("100.100.100.200", "100.100.100.200", Refused::Metadata, None, None),
    ("192.0.0.192", "192.0.0.192", Refused::Metadata, None, None),
    ("::", "::", Refused::Unspecified, None, None),
    ("::1", "::1", Refused::Loopback, None, None),
    ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", Refused::Transition, None, None),
    ("100::", "100::ffff:ffff:ffff:ffff", Refused::Reserved, None, None),
    // Outside 2000::/3 everything is refused; its own edges are open.
    ("400::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Refused::Reserved, None, Some("2000::")),
    ("2001:1::", "2001:1:ffff:ffff:ffff:ffff:ffff:ffff", Refused::Reserved, None, None),
    ("2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", Refused::Benchmarking, None, None),
    ("2001:20::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", Refused::Reserved, None, Some("2001:200::")),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", Refused::Documentation,
        Some("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff"), Some("2001:db9::")),
    ("2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", Refused::Reserved,
        Some("2620:4f:7fff:ffff:ffff:ffff:ffff:ffff"), Some("2620:4f:8001::")),
    ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", Refused::Documentation,
        Some("3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), Some("3fff:1000::")),
    ("4000::", "4000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Refused::Reserved,
        Some("3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), None),
    ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Refused::Reserved, None, None),
    ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Refused::UniqueLocal, None, None),
    ("fd00:ec2::254", "fd00:ec2::254", Refused::Metadata, None, None),
    ("fd20:ce::254", "fd20:ce::254", Refused::Metadata, None, None),
    ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Refused::LinkLocal, None, None),
    ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Refused::LinkLocal, None, None),
    ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Refused::Multicast, None, None),
    // SIIT's translated form and ranges nobody has been given.
    ("::ffff:0:0:0", "::ffff:0:ffff:ffff", Refused::Reserved, None, None),
    ("8000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Refused::Reserved, None, None),
];

#[test]
fn every_special_range_is_refused_from_its_first_to_its_last_address() {
    for (first, last, refused, before, after) in RANGES {
        assert_eq!(judged(first), Err(*refused), "{first}");
        assert_eq!(judged(last), Err(*refused), "{last}");
        for neighbour in [before, after].into_iter().flatten() {
            assert_eq!(judged(neighbour), Ok(()), "{neighbour}");
        }
    }
}

#[test]
fn public_addresses_pass() {
    for text in
        ["1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700:4700::1111", "2a00:1450:4001::200e", "2001:4860::8888"]
    {
        assert_eq!(judged(text), Ok(()), "{text}");
    }
}

#[test]
fn an_ipv4_address_inside_ipv6_is_judged_by_the_ipv4() {
    let inside = |inner: &str| -> Vec<String> {
        let [a, b, c, d] = inner.parse::<Ipv4Addr>().expect("an address").octets();
        let hex = format!("{a:02x}{b:02x}:{c:02x}{d:02x}");
        let inverted = format!("{:02x}{:02x}:{:02x}{:02x}", !a, !b, !c, !d);
        vec![
            format!("::ffff:{inner}"),
            format!("::{inner}"),
            format!("64:ff9b::{inner}"),
            format!("2002:{hex}::1"),
            // A public server with this client, and this server with a public client (8.8.8.8 inverted).
            format!("2001:0:808:808:0:0:{inverted}"),
            format!("2001:0:{hex}:0:0:f7f7:f7f7"),
        ]
    };
    for (inner, expected) in [
        ("8.8.8.8", Ok(())),
        ("127.0.0.1", Err(Refused::Loopback)),
        ("10.1.2.3", Err(Refused::Private)),
        ("169.254.169.254", Err(Refused::Metadata)),
        ("168.63.129.16", Err(Refused::Metadata)),
        ("100.64.0.1", Err(Refused::Shared)),
        ("224.0.0.1", Err(Refused::Multicast)),
    ] {
        for text in inside(inner) {
            assert_eq!(judged(&text), expected, "{text}");
        }
    }
}

#[test]
fn an_allowed_network_opens_both_forms_of_its_addresses_and_nothing_else() {
    let allowed = networks(&["127.0.0.0/8", "fd12:3456::/32"]);
    for text in ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::127.9.9.9", "fd12:3456::1"] {
        assert_eq!(judge(text.parse().expect("an address"), &allowed), Ok(()), "{text}");
    }
    for text in ["10.0.0.1", "::1", "fd12:3457::1", "169.254.169.254", "::ffff:10.0.0.1"] {
        assert!(judge(text.parse().expect("an address"), &allowed).is_err(), "{text}");
    }
}

#[test]
fn a_teredo_address_needs_both_its_ends_allowed() {
    // Server 127.0.0.1, client 10.0.0.1 (inverted).
    let address: IpAddr = "2001:0:7f00:1:0:0:f5ff:fffe".parse().expect("an address");
    assert!(judge(address, &networks(&["127.0.0.0/8"])).is_err());
    assert_eq!(judge(address, &networks(&["127.0.0.0/8", "10.0.0.0/8"])), Ok(()));
}

proptest! {
    #[test]
    fn a_mapped_address_is_judged_as_its_inner_one(bits in any::<u32>()) {
        let inner = Ipv4Addr::from(bits);
        prop_assert_eq!(judge(IpAddr::V6(inner.to_ipv6_mapped()), &[]), judge(IpAddr::V4(inner), &[]));
    }

    #[test]
    fn nothing_outside_the_global_range_passes_unless_it_holds_a_public_ipv4(bits in any::<u128>()) {
        let address = Ipv6Addr::from(bits);
        if judge(IpAddr::V6(address), &[]).is_ok() {
            prop_assert!(address.segments()[0] & 0xe000 == 0x2000 || embedded(address).is_some());
        }
    }

    #[test]
    fn what_the_standard_library_calls_local_is_refused(bits in any::<u32>()) {
        let address = Ipv4Addr::from(bits);
        let local = address.is_private() || address.is_loopback() || address.is_link_local()
            || address.is_multicast() || address.is_broadcast() || address.is_documentation()
            || address.is_unspecified();
        if local {
            prop_assert!(judge(IpAddr::V4(address), &[]).is_err());
        }
    }
}
