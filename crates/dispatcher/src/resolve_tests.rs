use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig};
use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{RData, Record};
use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

use super::*;

fn found(last: u8, seconds: u64) -> Result<Resolved, ResolveError> {
    Ok(Resolved { addresses: vec![IpAddr::from([192, 0, 2, last])], ttl: Duration::from_secs(seconds) })
}

fn unknown() -> Result<Resolved, ResolveError> {
    Err(ResolveError::NoVerdict("SERVFAIL".to_owned()))
}

#[test]
fn both_families_count_and_the_shorter_life_holds() {
    let both = merge(found(1, 60), found(2, 5)).expect("addresses");
    assert_eq!((both.addresses.len(), both.ttl), (2, Duration::from_secs(5)));
}

#[test]
fn one_family_is_enough() {
    for missing in [Err(ResolveError::NotFound), Err(ResolveError::NoAddress), unknown()] {
        assert_eq!(merge(found(1, 60), missing.clone()), found(1, 60));
        assert_eq!(merge(missing, found(1, 60)), found(1, 60));
    }
}

#[test]
fn a_family_without_a_verdict_leaves_the_host_without_one() {
    assert_eq!(merge(Err(ResolveError::NoAddress), unknown()), unknown());
    assert_eq!(merge(unknown(), Err(ResolveError::NotFound)), unknown());
}

#[test]
fn a_host_does_not_exist_when_neither_family_knows_it() {
    assert_eq!(merge(Err(ResolveError::NotFound), Err(ResolveError::NotFound)), Err(ResolveError::NotFound));
    assert_eq!(merge(Err(ResolveError::NotFound), Err(ResolveError::NoAddress)), Err(ResolveError::NoAddress));
}

#[tokio::test]
async fn the_systems_resolver_knows_localhost_and_no_malformed_name() {
    let resolver = SystemResolver::new().expect("a resolver");
    let localhost = resolver.resolve("localhost").await.expect("addresses");
    assert!(localhost.addresses.iter().all(IpAddr::is_loopback), "{localhost:?}");
    let long = format!("{}.example", "a".repeat(64));
    assert_eq!(resolver.resolve(&long).await, Err(ResolveError::NotFound));
}

/// What a name server says of a name and a family; a name that is not listed does not exist.
#[derive(Clone)]
enum Says {
    Addresses(u32, Vec<IpAddr>),
    Code(ResponseCode),
    Nothing,
}

/// A name server on loopback, and a resolver that asks it alone.
async fn served(
    zone: &[(&str, RecordType, Says)],
    search: &[&str],
    hosts: &str,
) -> (SystemResolver, AbortOnDropHandle<()>) {
    let zone: HashMap<(Name, RecordType), Says> = zone
        .iter()
        .map(|(name, family, says)| ((Name::from_str(name).expect("a name"), *family), says.clone()))
        .collect();
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let port = socket.local_addr().expect("an address").port();
    let server = tokio::spawn(async move {
        let mut buffer = [0; 4_096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let question = Message::from_vec(&buffer[..length]).expect("a message");
            let query = question.queries.first().expect("a question").clone();
            let mut name = query.name().to_lowercase();
            name.set_fqdn(true);
            let mut answer = question.clone().into_response();
            answer.additionals.clear();
            match zone.get(&(name, query.query_type())) {
                Some(Says::Addresses(ttl, addresses)) => {
                    answer.add_answers(addresses.iter().map(|address| {
                        let data = match address {
                            IpAddr::V4(address) => RData::A((*address).into()),
                            IpAddr::V6(address) => RData::AAAA((*address).into()),
                        };
                        Record::from_rdata(query.name().clone(), *ttl, data)
                    }));
                }
                Some(Says::Code(code)) => answer.metadata.response_code = *code,
                Some(Says::Nothing) => continue,
                None => answer.metadata.response_code = ResponseCode::NXDomain,
            }
            socket.send_to(&answer.to_vec().expect("a message"), from).await.expect("an asker");
        }
    });
    let mut connection = ConnectionConfig::udp();
    connection.port = port;
    let server_config = NameServerConfig::new(IpAddr::from([127, 0, 0, 1]), true, vec![connection]);
    let search = search.iter().map(|name| Name::from_str(name).expect("a name")).collect();
    let config = ResolverConfig::from_parts(None, search, vec![server_config]);
    let mut listed = Hosts::default();
    listed.read_hosts_conf(hosts.as_bytes()).expect("a hosts file");
    let resolver = SystemResolver::with(config, ResolverOpts::default(), listed).expect("a resolver");
    (resolver, AbortOnDropHandle::new(server))
}

fn v4(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

fn v6(last: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last))
}

#[tokio::test]
async fn a_name_servers_answers_are_told_apart() {
    use RecordType::{A, AAAA};
    let empty = Says::Code(ResponseCode::NoError);
    let failed = Says::Code(ResponseCode::ServFail);
    let zone = [
        ("both.test.", A, Says::Addresses(60, vec![v4(1), v4(2)])),
        ("both.test.", AAAA, Says::Addresses(20, vec![v6(1)])),
        ("old.test.", A, Says::Addresses(60, vec![v4(3)])),
        ("old.test.", AAAA, empty.clone()),
        ("new.test.", A, failed.clone()),
        ("new.test.", AAAA, Says::Addresses(60, vec![v6(2)])),
        ("empty.test.", A, empty.clone()),
        ("empty.test.", AAAA, empty.clone()),
        ("failed.test.", A, failed.clone()),
        ("failed.test.", AAAA, failed.clone()),
        ("half.test.", A, empty),
        ("half.test.", AAAA, failed),
        ("refused.test.", A, Says::Code(ResponseCode::Refused)),
        ("refused.test.", AAAA, Says::Code(ResponseCode::Refused)),
    ];
    let (resolver, _server) = served(&zone, &[], "").await;
    let both = resolver.resolve("both.test").await.expect("addresses");
    let mut addresses = both.addresses;
    addresses.sort();
    assert_eq!(addresses, [v4(1), v4(2), v6(1)]);
    assert!((15..=20).contains(&both.ttl.as_secs()), "{:?}", both.ttl);
    assert_eq!(resolver.resolve("old.test").await.expect("addresses").addresses, [v4(3)]);
    assert_eq!(resolver.resolve("new.test").await.expect("addresses").addresses, [v6(2)]);
    assert_eq!(resolver.resolve("absent.test").await, Err(ResolveError::NotFound));
    assert_eq!(resolver.resolve("empty.test").await, Err(ResolveError::NoAddress));
    for host in ["failed.test", "half.test", "refused.test"] {
        let verdict = resolver.resolve(host).await;
        assert!(matches!(verdict, Err(ResolveError::NoVerdict(_))), "{host}: {verdict:?}");
    }
}

#[tokio::test]
async fn a_family_that_is_never_answered_delays_the_other_by_half_a_second() {
    let zone = [
        ("hooks.test.", RecordType::A, Says::Addresses(60, vec![v4(1)])),
        ("hooks.test.", RecordType::AAAA, Says::Nothing),
    ];
    let (resolver, _server) = served(&zone, &[], "").await;
    let start = Instant::now();
    assert_eq!(resolver.resolve("hooks.test").await.expect("addresses").addresses, [v4(1)]);
    assert!(start.elapsed() < QUERY_TIMEOUT, "{:?}", start.elapsed());
}

#[tokio::test]
async fn search_domains_come_second_and_hide_no_failure() {
    use RecordType::{A, AAAA};
    let failed = Says::Code(ResponseCode::ServFail);
    let zone = [
        ("public.test.", A, Says::Addresses(60, vec![v4(1)])),
        ("public.test.cluster.", A, Says::Addresses(60, vec![v4(2)])),
        ("service.cluster.", A, Says::Addresses(60, vec![v4(3)])),
        ("failed.test.", A, failed.clone()),
        ("failed.test.", AAAA, failed),
    ];
    let (resolver, _server) = served(&zone, &["cluster."], "").await;
    assert_eq!(resolver.resolve("public.test").await.expect("addresses").addresses, [v4(1)]);
    assert_eq!(resolver.resolve("service").await.expect("addresses").addresses, [v4(3)]);
    assert_eq!(resolver.resolve("service.").await, Err(ResolveError::NotFound), "it is complete");
    assert_eq!(resolver.resolve("absent.test").await, Err(ResolveError::NotFound));
    // Its search domain does not know it: that says nothing of the name itself.
    assert!(matches!(resolver.resolve("failed.test").await, Err(ResolveError::NoVerdict(_))));
}

#[tokio::test]
async fn the_hosts_file_comes_first() {
    let zone = [("hooks.test.", RecordType::A, Says::Addresses(60, vec![v4(1)]))];
    let (resolver, _server) = served(&zone, &[], "192.0.2.9 hooks.test\n2001:db8::9 hooks.test\n").await;
    assert_eq!(resolver.resolve("hooks.test").await.expect("addresses").addresses, [v4(9), v6(9)]);
}
