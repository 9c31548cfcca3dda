//! The URL guard: which addresses an attempt may go to. It runs before every attempt and fails closed; what it hands
//! out, [`Judged`], is all that the HTTP client can dial.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use moka::Expiry;
use moka::future::Cache;
use spectrum_webhook_core::address::judge;
use spectrum_webhook_core::attempt::Failure;
use tokio::time::timeout;
use url::{Host, Url};

use crate::resolve::{Resolve, ResolveError, Resolved};

/// A look-up may take so long.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest that a look-up is believed, whatever its TTL.
const LONGEST_TTL: Duration = Duration::from_secs(30);

/// Hosts whose look-ups are kept.
const HOSTS_KEPT: u64 = 10_000;

/// The holes that development and tests open. The default has none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GuardSettings {
    /// Allow `http` beside `https`.
    pub allow_http: bool,
    /// Networks whose addresses are allowed although they are not public.
    pub allow_networks: Vec<IpNet>,
}

/// The addresses that a URL may be called at: at least one, and each was judged. Only the guard makes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judged(Arc<[IpAddr]>);

impl Judged {
    /// The addresses, in the resolver's order.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.0
    }
}

/// What is kept of a look-up.
#[derive(Clone, Debug)]
struct Known {
    /// `None`: at least one address is refused.
    addresses: Option<Arc<[IpAddr]>>,
    ttl: Duration,
}

/// A look-up is kept for its TTL, 30 s at most.
struct ByTtl;

impl Expiry<String, Known> for ByTtl {
    fn expire_after_create(&self, _: &String, known: &Known, _: Instant) -> Option<Duration> {
        Some(known.ttl)
    }
}

/// The guard.
pub struct Guard {
    settings: GuardSettings,
    resolver: Arc<dyn Resolve>,
    known: Cache<String, Known>,
}

impl Guard {
    /// A guard that asks this resolver.
    pub fn new(settings: GuardSettings, resolver: Arc<dyn Resolve>) -> Self {
        Self { settings, resolver, known: Cache::builder().max_capacity(HOSTS_KEPT).expire_after(ByTtl).build() }
    }

    /// Whether the URL may be called, and where. When any address of its host is refused, the host is. At most one
    /// look-up of a host is under way; whoever asks meanwhile shares its answer.
    ///
    /// # Errors
    /// `UrlRefused`, `AddressRefused`, `NameNotFound`, `NoAddress`, `DnsNoVerdict`.
    pub async fn judge(&self, url: &Url) -> Result<Judged, Failure> {
        match url.scheme() {
            "https" => {}
            "http" if self.settings.allow_http => {}
            _ => return Err(Failure::UrlRefused),
        }
        // The URL's parser has turned every spelling of an address into an address.
        let allowed = match url.host() {
            None => return Err(Failure::UrlRefused),
            Some(Host::Ipv4(address)) => self.allowed(&[IpAddr::V4(address)]),
            Some(Host::Ipv6(address)) => self.allowed(&[IpAddr::V6(address)]),
            Some(Host::Domain(host)) => self.look_up(host).await?,
        };
        allowed.map(Judged).ok_or(Failure::AddressRefused)
    }

    async fn look_up(&self, host: &str) -> Result<Option<Arc<[IpAddr]>>, Failure> {
        if let Some(known) = self.known.get(host).await {
            return Ok(known.addresses);
        }
        let known = self.known.try_get_with(host.to_owned(), self.resolve(host)).await;
        known.map(|known| known.addresses).map_err(|error| *error)
    }

    async fn resolve(&self, host: &str) -> Result<Known, Failure> {
        let resolved = timeout(RESOLVE_TIMEOUT, self.resolver.resolve(host)).await;
        let resolved = resolved.unwrap_or_else(|_| Err(ResolveError::NoVerdict("time-out".to_owned())));
        match resolved {
            Ok(Resolved { addresses, ttl }) if !addresses.is_empty() => {
                Ok(Known { addresses: self.allowed(&addresses), ttl: ttl.min(LONGEST_TTL) })
            }
            Ok(_) | Err(ResolveError::NoAddress) => Err(Failure::NoAddress),
            Err(ResolveError::NotFound) => Err(Failure::NameNotFound),
            Err(ResolveError::NoVerdict(detail)) => {
                tracing::debug!(host, detail, "no verdict from the resolver");
                Err(Failure::DnsNoVerdict)
            }
        }
    }

    fn allowed(&self, addresses: &[IpAddr]) -> Option<Arc<[IpAddr]>> {
        for address in addresses {
            if let Err(refused) = judge(*address, &self.settings.allow_networks) {
                tracing::debug!(%address, reason = refused.code(), "the URL guard refused an address");
                return None;
            }
        }
        Some(addresses.into())
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
