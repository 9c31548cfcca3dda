//! Which addresses are public: the list that the URL guard judges by.

use std::net::IpAddr;

use ipnet::IpNet;

/// Whether an address may be called: public, or inside a network that a setting allows.
pub fn is_allowed(address: IpAddr, allowed: &[IpNet]) -> bool {
    let _ = (address, allowed);
    false
}
