//! Where RabbitMQ is: a URL with one host or, for the nodes of a cluster, several.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPUri;
use rand::seq::SliceRandom as _;

use crate::ConnectError;

/// The interval of heartbeats, in seconds: a dead connection is noticed after two of them.
const HEARTBEAT: u16 = 10;
/// How long TCP, TLS and the handshake may take, in milliseconds.
const CONNECT: u64 = 10_000;

/// The nodes, in an order drawn by lot, and the next one to try.
pub(crate) struct Hosts {
    nodes: Vec<AMQPUri>,
    next: AtomicUsize,
    /// PEM.
    authorities: Option<String>,
}

fn wrong(why: &str) -> ConnectError {
    ConnectError::Url(why.to_owned())
}

impl Hosts {
    /// Reads a URL.
    pub(crate) fn read(url: &str, ca: Option<&Path>) -> Result<Self, ConnectError> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        let (authority, path) = rest.split_once('/').map_or((rest, String::new()), |(authority, path)| {
            // Without a path it is the default virtual host; a path with nothing in it, everywhere else an empty name,
            // is meant likewise.
            (authority, if path.is_empty() { String::new() } else { format!("/{path}") })
        });
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (format!("{credentials}@"), hosts),
            None => (String::new(), authority),
        };
        let mut nodes = Vec::new();
        for host in hosts.split(',') {
            if host.is_empty() {
                return Err(wrong("a host is missing"));
            }
            // Its error may repeat what was read, and so the password.
            let mut node: AMQPUri = format!("{scheme}://{credentials}{host}{path}").parse().map_err(|_| {
                wrong(
                    "expected `amqp://user:password@host:5672/vhost`, characters of the password and of the virtual \
                       host percent-encoded, several hosts separated by commas",
                )
            })?;
            if node.vhost.is_empty() {
                node.vhost = "/".to_owned();
            }
            node.query.heartbeat = Some(HEARTBEAT);
            node.query.connection_timeout.get_or_insert(CONNECT);
            nodes.push(node);
        }
        nodes.shuffle(&mut rand::rng());
        let authorities = ca.map(std::fs::read_to_string).transpose();
        let authorities = authorities.map_err(|error| wrong(&format!("the file of authorities: {error}")))?;
        Ok(Self { nodes, next: AtomicUsize::new(0), authorities })
    }

    /// The next node to try.
    pub(crate) fn next(&self) -> AMQPUri {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.nodes[next % self.nodes.len()].clone()
    }

    pub(crate) fn tls(&self) -> OwnedTLSConfig {
        OwnedTLSConfig { identity: None, cert_chain: self.authorities.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_or_several_are_read() {
        let hosts = Hosts::read("amqp://u:p%40ss@a:1,b,[::1]:3/%2fmine", None).expect("a URL");
        let mut nodes: Vec<_> =
            hosts.nodes.iter().map(|node| (node.authority.host.as_str(), node.authority.port)).collect();
        nodes.sort_unstable();
        assert_eq!(nodes.len(), 3);
        assert!(nodes.contains(&("a", 1)) && nodes.contains(&("b", 5672)), "{nodes:?}");
        for node in &hosts.nodes {
            assert_eq!((node.vhost.as_str(), node.authority.userinfo.password.as_str()), ("/mine", "p@ss"));
        }
        for url in ["amqps://h", "amqps://h/", "amqps://h/%2f"] {
            let hosts = Hosts::read(url, None).expect("a URL");
            assert_eq!((hosts.nodes[0].vhost.as_str(), hosts.nodes[0].authority.port), ("/", 5671), "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for url in [
            "u:hunter2@h",
            "http://u:hunter2@h",
            "amqp://u:hunter2@",
            "amqp://u:hunter2@h:port",
            "amqp://u:hunter2@a,,b",
        ] {
            let Err(error) = Hosts::read(url, None) else { panic!("{url} was read") };
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
