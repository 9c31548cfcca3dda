//! From a host's name to its addresses: the system's resolver, with the verdicts that the contract tells apart.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::future::{Either, select};
use hickory_resolver::config::{ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};
use tokio::time::timeout;

/// How long one query to one name server may take; the resolver asks twice.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// Once one address family is known, the other has so long: a server that drops AAAA queries delays nothing.
const OTHER_FAMILY: Duration = Duration::from_millis(500);

/// Queries under way on one connection to a name server.
const QUERIES_UNDER_WAY: usize = 1_024;

/// A host's addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolved {
    /// At least one.
    pub addresses: Vec<IpAddr>,
    /// How long they may be believed.
    pub ttl: Duration,
}

/// Why a host has no addresses.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ResolveError {
    /// NXDOMAIN, or a name that DNS cannot hold.
    #[error("the host does not exist")]
    NotFound,
    /// The name exists, without an address.
    #[error("the host has no address")]
    NoAddress,
    /// SERVFAIL, a refusal, a time-out: it may be known later.
    #[error("the resolver gave no verdict: {0}")]
    NoVerdict(String),
}

/// Whoever turns names into addresses.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// All addresses of a host (A and AAAA).
    async fn resolve(&self, host: &str) -> Result<Resolved, ResolveError>;
}

/// The system's resolver configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the system's resolver configuration cannot be used: {0}")]
pub struct UnusableConfiguration(#[from] NetError);

/// The system's resolver: `/etc/hosts`, then the name servers of `/etc/resolv.conf`. A name is looked up as it stands
/// first; its search domains are tried only when that does not exist, so that they cannot capture public names.
pub struct SystemResolver {
    resolver: TokioResolver,
    hosts: Hosts,
    search: Vec<Name>,
}

impl SystemResolver {
    /// Reads the system's configuration, once.
    pub fn new() -> Result<Self, UnusableConfiguration> {
        let (config, options) = read_system_conf()?;
        Self::with(config, options, Hosts::from_system().unwrap_or_default())
    }

    fn with(config: ResolverConfig, options: ResolverOpts, hosts: Hosts) -> Result<Self, UnusableConfiguration> {
        let search = config.domain().into_iter().chain(config.search()).cloned().collect();
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let chosen = builder.options_mut();
        *chosen = options;
        chosen.timeout = QUERY_TIMEOUT;
        chosen.max_active_requests = QUERIES_UNDER_WAY;
        // The guard caches, so that an answer is believed for 30 s at most.
        chosen.cache_size = 0;
        chosen.use_hosts_file = ResolveHosts::Never;
        Ok(Self { resolver: builder.build()?, hosts, search })
    }

    async fn absolute(&self, name: Name) -> Result<Resolved, ResolveError> {
        if let Some(listed) = self.listed(&name) {
            return Ok(listed);
        }
        let ipv4 = Box::pin(self.resolver.lookup(name.clone(), RecordType::A));
        let ipv6 = Box::pin(self.resolver.lookup(name, RecordType::AAAA));
        let (first, rest) = match select(ipv4, ipv6).await {
            Either::Left((first, rest)) => (read(first), Either::Left(rest)),
            Either::Right((first, rest)) => (read(first), Either::Right(rest)),
        };
        let second = if first.is_ok() {
            match timeout(OTHER_FAMILY, rest).await {
                Ok(second) => read(second),
                Err(_) => Err(ResolveError::NoVerdict("no answer for the other address family".to_owned())),
            }
        } else {
            read(rest.await)
        };
        merge(first, second)
    }

    fn listed(&self, name: &Name) -> Option<Resolved> {
        let addresses: Vec<IpAddr> = [RecordType::A, RecordType::AAAA]
            .into_iter()
            .filter_map(|family| self.hosts.lookup_static_host(&Query::query(name.clone(), family)))
            .flat_map(|lookup| addresses(&lookup))
            .collect();
        (!addresses.is_empty()).then_some(Resolved { addresses, ttl: Duration::MAX })
    }
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str) -> Result<Resolved, ResolveError> {
        let Ok(mut name) = Name::from_ascii(host) else { return Err(ResolveError::NotFound) };
        let complete = name.is_fqdn();
        let relative = name.clone();
        name.set_fqdn(true);
        let mut verdict = self.absolute(name).await;
        if complete {
            return verdict;
        }
        for domain in &self.search {
            if !matches!(verdict, Err(ResolveError::NotFound | ResolveError::NoAddress)) {
                break;
            }
            let Ok(mut longer) = relative.clone().append_domain(domain) else { continue };
            longer.set_fqdn(true);
            match self.absolute(longer).await {
                Err(ResolveError::NotFound) => {}
                other => verdict = other,
            }
        }
        verdict
    }
}

fn addresses(lookup: &Lookup) -> Vec<IpAddr> {
    lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect()
}

fn read(answer: Result<Lookup, NetError>) -> Result<Resolved, ResolveError> {
    match answer {
        Ok(lookup) => {
            let addresses = addresses(&lookup);
            if addresses.is_empty() {
                return Err(ResolveError::NoAddress);
            }
            Ok(Resolved { addresses, ttl: lookup.valid_until().saturating_duration_since(Instant::now()) })
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => Err(match none.response_code {
            ResponseCode::NXDomain => ResolveError::NotFound,
            ResponseCode::NoError => ResolveError::NoAddress,
            other => ResolveError::NoVerdict(other.to_string()),
        }),
        Err(other) => Err(ResolveError::NoVerdict(other.to_string())),
    }
}

/// What both families say together. Only a verdict on both is a verdict that there is nothing.
fn merge(
    first: Result<Resolved, ResolveError>,
    second: Result<Resolved, ResolveError>,
) -> Result<Resolved, ResolveError> {
    match (first, second) {
        (Ok(mut first), Ok(second)) => {
            first.addresses.extend(second.addresses);
            first.ttl = first.ttl.min(second.ttl);
            Ok(first)
        }
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
        (Err(unknown @ ResolveError::NoVerdict(_)), Err(_)) | (Err(_), Err(unknown @ ResolveError::NoVerdict(_))) => {
            Err(unknown)
        }
        (Err(ResolveError::NotFound), Err(ResolveError::NotFound)) => Err(ResolveError::NotFound),
        (Err(_), Err(_)) => Err(ResolveError::NoAddress),
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
