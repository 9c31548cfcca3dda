use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::*;

/// Answers from a list, the last one for ever; counts; waits at a gate when told to.
struct Scripted {
    answers: Mutex<Vec<Result<Resolved, ResolveError>>>,
    asked: AtomicUsize,
    gate: Option<Notify>,
}

impl Scripted {
    fn new(answers: Vec<Result<Resolved, ResolveError>>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers), asked: AtomicUsize::new(0), gate: None })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Resolve for Scripted {
    async fn resolve(&self, _: &str) -> Result<Resolved, ResolveError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        let mut answers = self.answers.lock();
        if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() }
    }
}

fn found(addresses: &[&str], seconds: u64) -> Result<Resolved, ResolveError> {
    let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
    Ok(Resolved { addresses, ttl: Duration::from_secs(seconds) })
}

fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL")
}

async fn verdict(guard: &Guard, text: &str) -> Result<(), Failure> {
    guard.judge(&url(text)).await.map(|_| ())
}

#[tokio::test]
async fn only_https_passes_unless_http_is_allowed() {
    let resolver = Scripted::new(vec![found(&["8.8.8.8"], 60)]);
    let strict = Guard::new(GuardSettings::default(), resolver.clone());
    assert_eq!(verdict(&strict, "https://hooks.example/").await, Ok(()));
    for text in ["http://hooks.example/", "ftp://hooks.example/", "file:///etc/passwd", "data:text/plain,x"] {
        assert_eq!(verdict(&strict, text).await, Err(Failure::UrlRefused), "{text}");
    }
    let open = Guard::new(GuardSettings { allow_http: true, ..GuardSettings::default() }, resolver);
    assert_eq!(verdict(&open, "http://hooks.example/").await, Ok(()));
    assert_eq!(verdict(&open, "ftp://hooks.example/").await, Err(Failure::UrlRefused));
}

#[tokio::test]
async fn every_spelling_of_a_refused_literal_is_refused_without_a_look_up() {
    let resolver = Scripted::new(vec![found(&["8.8.8.8"], 60)]);
    let guard = Guard::new(GuardSettings::default(), resolver.clone());
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0X7F.0.0.0x1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "１２７.０.０.１",
        "127。0。0。1",
        "%31%32%37.0.0.1",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "2852039166",
        "[fd00:ec2::254]",
        "10.0.0.1",
        "[fe80::1]",
    ] {
        assert_eq!(verdict(&guard, &format!("https://{host}/")).await, Err(Failure::AddressRefused), "{host}");
    }
    assert!(Url::parse("https://[fe80::1%25eth0]/").is_err(), "an address with a zone is no URL");
    assert_eq!(resolver.asked(), 0);
}

#[tokio::test]
async fn one_refused_address_refuses_the_host() {
    let resolver = Scripted::new(vec![found(&["8.8.8.8", "2606:4700::1", "10.0.0.1"], 60)]);
    let guard = Guard::new(GuardSettings::default(), resolver);
    assert_eq!(verdict(&guard, "https://hooks.example/").await, Err(Failure::AddressRefused));
}

#[tokio::test]
async fn a_refused_address_passes_when_its_network_is_allowed() {
    let allow_networks = vec!["10.0.0.0/8".parse().expect("a network")];
    let resolver = Scripted::new(vec![found(&["10.0.0.1"], 60)]);
    let guard = Guard::new(GuardSettings { allow_networks, ..GuardSettings::default() }, resolver);
    let judged = guard.judge(&url("https://hooks.example/")).await.expect("allowed");
    assert_eq!(judged.addresses(), ["10.0.0.1".parse::<IpAddr>().expect("an address")]);
}

#[tokio::test]
async fn each_of_the_resolvers_verdicts_is_its_own_failure() {
    for (answer, expected) in [
        (Err(ResolveError::NotFound), Failure::NameNotFound),
        (Err(ResolveError::NoAddress), Failure::NoAddress),
        (Ok(Resolved { addresses: vec![], ttl: Duration::MAX }), Failure::NoAddress),
        (Err(ResolveError::NoVerdict("SERVFAIL".to_owned())), Failure::DnsNoVerdict),
    ] {
        let guard = Guard::new(GuardSettings::default(), Scripted::new(vec![answer]));
        assert_eq!(verdict(&guard, "https://hooks.example/").await, Err(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_hangs_gives_no_verdict() {
    let mut resolver = Scripted::new(vec![found(&["8.8.8.8"], 60)]);
    Arc::get_mut(&mut resolver).expect("unshared").gate = Some(Notify::new());
    let guard = Guard::new(GuardSettings::default(), resolver);
    assert_eq!(verdict(&guard, "https://hooks.example/").await, Err(Failure::DnsNoVerdict));
}

#[tokio::test]
async fn an_answer_is_kept_for_its_ttl_and_a_failure_is_not_kept() {
    let resolver = Scripted::new(vec![Err(ResolveError::NotFound), found(&["8.8.8.8"], 60)]);
    let guard = Guard::new(GuardSettings::default(), resolver.clone());
    assert_eq!(verdict(&guard, "https://hooks.example/").await, Err(Failure::NameNotFound));
    assert_eq!(verdict(&guard, "https://hooks.example/").await, Ok(()));
    assert_eq!(verdict(&guard, "https://HOOKS.example:8443/other").await, Ok(()));
    assert_eq!(resolver.asked(), 2);
}

#[tokio::test]
async fn an_answer_without_a_life_is_asked_for_each_time() {
    let resolver = Scripted::new(vec![found(&["8.8.8.8"], 0), found(&["10.0.0.1"], 0)]);
    let guard = Guard::new(GuardSettings::default(), resolver.clone());
    assert_eq!(verdict(&guard, "https://hooks.example/").await, Ok(()));
    assert_eq!(verdict(&guard, "https://hooks.example/").await, Err(Failure::AddressRefused));
    assert_eq!(resolver.asked(), 2);
}

#[tokio::test]
async fn no_answer_is_kept_longer_than_thirty_seconds() {
    let guard = Guard::new(GuardSettings::default(), Scripted::new(vec![found(&["8.8.8.8"], 86_400)]));
    let known = guard.resolve("hooks.example").await.expect("addresses");
    assert_eq!(known.ttl, Duration::from_secs(30));
}

#[tokio::test]
async fn whoever_asks_during_a_look_up_shares_it() {
    let mut resolver = Scripted::new(vec![Err(ResolveError::NoVerdict("SERVFAIL".to_owned()))]);
    Arc::get_mut(&mut resolver).expect("unshared").gate = Some(Notify::new());
    let guard = Guard::new(GuardSettings::default(), resolver.clone());
    let hooks = url("https://hooks.example/");
    let open = async {
        // All three wait by now: the futures are polled in order.
        resolver.gate.as_ref().expect("a gate").notify_one();
    };
    let (one, two, three, ()) = tokio::join!(guard.judge(&hooks), guard.judge(&hooks), guard.judge(&hooks), open);
    for verdict in [one, two, three] {
        assert_eq!(verdict, Err(Failure::DnsNoVerdict));
    }
    assert_eq!(resolver.asked(), 1);
}
