//! URLs and addresses: no spelling of an address that is not public passes for a name or for a public one.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use spectrum_webhook_core::address::judge;
use spectrum_webhook_core::webhook_url::{MAX_URL, fault};
use url::{Host, Url};

/// An IPv4 address as the C library reads it: 1 to 4 numbers, decimal, octal or hexadecimal, the last one filling up.
fn as_libc_reads_it(host: &str) -> Option<Ipv4Addr> {
    let parts = host.split('.').map(|part| match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => u64::from_str_radix(hex, 16).ok(),
        None if part.bytes().all(|byte| byte.is_ascii_digit()) => {
            u64::from_str_radix(part, if part.starts_with('0') && part.len() > 1 { 8 } else { 10 }).ok()
        }
        _ => None,
    });
    let parts: Vec<u64> = parts.collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    if first.len() > 3 || first.iter().any(|part| *part > 255) || *last >= 1 << (8 * (4 - first.len())) {
        return None;
    }
    let high = first.iter().enumerate().fold(0, |high, (at, part)| high | part << (24 - 8 * at));
    u32::try_from(high | last).ok().map(Ipv4Addr::from)
}

/// Addresses that the standard library knows not to be public: a part of those that must be refused.
fn is_certainly_not_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => match v6.to_ipv4() {
            Some(v4) if !v6.is_loopback() && !v6.is_unspecified() => is_certainly_not_public(IpAddr::V4(v4)),
            _ => {
                let [first, second, third, ..] = v6.segments();
                let inner = Ipv4Addr::from((u32::from(second) << 16) | u32::from(third));
                v6.is_loopback()
                    || v6.is_unspecified()
                    || v6.is_multicast()
                    || v6.is_unique_local()
                    || v6.is_unicast_link_local()
                    || (first == 0x2001 && second == 0xdb8)
                    || (first == 0x2002 && is_certainly_not_public(IpAddr::V4(inner)))
            }
        },
    }
}

fn judged(address: IpAddr) {
    if is_certainly_not_public(address) {
        assert!(judge(address, &[]).is_err(), "{address}");
    }
    // A network that is allowed opens nothing beside itself.
    let allowed = ["127.0.0.0/8".parse().expect("a network")];
    if judge(address, &allowed).is_ok() && judge(address, &[]).is_err() {
        let canonical = address.to_canonical();
        assert!(canonical.is_loopback() || !address.is_ipv4(), "{address}");
    }
}

/// Host and port as they stand in the text: behind `//` and the last `@`.
fn authority(text: &str) -> Option<&str> {
    let (_, behind) = text.split_once("//")?;
    let end = behind.find(['/', '?', '#']).unwrap_or(behind.len());
    Some(behind[..end].rsplit('@').next().unwrap_or_default())
}

fuzz_target!(|input: &[u8]| {
    if let Some(bytes) = input.first_chunk::<16>() {
        judged(IpAddr::V6(Ipv6Addr::from(*bytes)));
    }
    if let Some(bytes) = input.first_chunk::<4>() {
        judged(IpAddr::V4(Ipv4Addr::from(*bytes)));
        judged(IpAddr::V6(Ipv4Addr::from(*bytes).to_ipv6_mapped()));
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Some(fault) = fault(text) {
        assert!(fault.contains(": "), "{fault}");
        return;
    }
    assert!(text.len() <= MAX_URL && !text.contains(char::is_whitespace));
    // What passes is a URL, and its host is what a reader sees in it.
    let url = Url::parse(text).expect("a URL");
    assert!(matches!(url.scheme(), "http" | "https"));
    let seen = authority(text).expect("an authority");
    match url.host().expect("a host") {
        Host::Ipv4(address) => {
            judged(IpAddr::V4(address));
            let host = seen.split_once(':').map_or(seen, |(host, _)| host);
            if let Some(read) = as_libc_reads_it(host) {
                assert_eq!(read, address, "{text}");
            }
        }
        Host::Ipv6(address) => {
            judged(IpAddr::V6(address));
            let host = seen.strip_prefix('[').and_then(|host| host.split_once(']')).expect("brackets").0;
            assert_eq!(host.parse(), Ok(address), "{text}");
        }
        Host::Domain(name) => {
            // A resolver would take it for an address that nobody judged.
            assert_eq!(as_libc_reads_it(name), None, "{text}");
            assert_eq!(as_libc_reads_it(name.strip_suffix('.').unwrap_or(name)), None, "{text}");
            assert!(name.parse::<IpAddr>().is_err(), "{text}");
            assert!(name.is_ascii() && !name.contains(['@', '/', ':', '%', ' ', '\\']), "{text}");
        }
    }
    // Once more through the parser it is the same URL: what is judged is what is called.
    assert_eq!(Url::parse(url.as_str()).as_ref().map(Url::host), Ok(url.host()));
    // Credentials are taken off before it is called; that moves no host.
    let mut bare = url.clone();
    assert!(bare.set_username("").is_ok() && bare.set_password(None).is_ok());
    bare.set_fragment(None);
    assert_eq!((bare.host(), bare.port()), (url.host(), url.port()));
    assert!(!bare.authority().contains('@'));
});
