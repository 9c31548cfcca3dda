use super::*;

fn mistakes(environment: &[(&str, &str)]) -> Vec<String> {
    read(&Sources::of(environment)).expect_err("mistakes").0
}

#[test]
fn the_defaults_are_sound_and_those_of_the_contract() {
    let settings = read(&Sources::of(&[])).expect("the defaults");
    assert_eq!(settings.api_listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.ops_listen.to_string(), "127.0.0.1:9090");
    assert_eq!(settings.retry, Policy::default());
    assert_eq!(settings.max_event_size, 1 << 20);
    assert_eq!(settings.archive_keep, Duration::from_secs(3 * 86_400));
    assert_eq!(read(&Sources::of(&[("SPECTRUM_ARCHIVE_KEEP", "0s")])).expect("none").archive_keep, Duration::ZERO);
    assert_eq!(settings.outage.budget, Duration::from_secs(72 * 3_600));
    assert_eq!(settings.outage.keep, Duration::from_secs(30 * 86_400));
    assert!(!settings.allow_http && settings.allow_networks.is_empty());
    assert!(settings.master_key.is_none() && settings.operator_token.is_none());
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let found = mistakes(&[
        ("SPECTRUM_API_LISTEN", "localhost"),
        ("SPECTRUM_ALLOW_HTTP", "yes"),
        ("SPECTRUM_ALLOW_NETWORKS", "10.0.0.0/8,here"),
        ("SPECTRUM_RETRY_INITIAL", "200"),
        ("SPECTRUM_RETRY_ATTEMPTS", "0"),
        ("SPECTRUM_RETRY_FACTOR", "NaN"),
        ("SPECTRUM_MAX_EVENT_SIZE", "1MB"),
        ("SPECTRUM_MEMORY_BUDGET", "-1B"),
        ("SPECTRUM_LOG_FORMAT", "xml"),
        ("SPECTRUM_EXTRA_CA_FILE", "/nowhere/ca.pem"),
        ("SPECTRUM_ALOW_HTTP", "true"),
    ]);
    assert_eq!(found.len(), 11, "{found:#?}");
    assert!(found.iter().any(|mistake| mistake.starts_with("SPECTRUM_RETRY_INITIAL: `200`: expected a duration")));
    assert!(found.iter().any(|mistake| mistake == "SPECTRUM_ALOW_HTTP: there is no such setting"));
}

#[test]
fn only_true_and_false_are_booleans() {
    for text in ["1", "0", "TRUE", "True", "on", " true"] {
        assert_eq!(mistakes(&[("SPECTRUM_ALLOW_HTTP", text)]).len(), 1, "{text}");
    }
    assert!(read(&Sources::of(&[("SPECTRUM_ALLOW_HTTP", "true")])).expect("sound").allow_http);
}

#[test]
fn relations_that_cannot_hold_are_refused() {
    for (environment, named) in [
        ([("SPECTRUM_RETRY_INITIAL", "20s"), ("SPECTRUM_RETRY_CAP", "10s")], "20s is above 10s"),
        ([("SPECTRUM_OUTAGE_PROBE_INITIAL", "1h"), ("SPECTRUM_OUTAGE_PROBE_CAP", "1m")], "1h is above 1m"),
        ([("SPECTRUM_OUTAGE_BUDGET", "40d"), ("SPECTRUM_BACKLOG_KEEP", "30days")], "40d is above 30days"),
        ([("SPECTRUM_MAX_EVENT_SIZE", "2MiB"), ("SPECTRUM_MEMORY_BUDGET", "7MiB")], "four of the largest"),
        ([("SPECTRUM_API_LISTEN", "127.0.0.1:1"), ("SPECTRUM_OPS_LISTEN", "127.0.0.1:1")], "the same address"),
        ([("SPECTRUM_AMQP_URL", "amqp://u:pass@h"), ("SPECTRUM_REDIS_URL", "redis://h")], "DATABASE_URL is not set"),
    ] {
        let found = mistakes(&environment);
        assert!(found.len() == 1 && found[0].contains(named), "{found:#?}");
        assert!(!found[0].contains("pass"), "{found:#?}");
    }
}

#[test]
fn every_missing_part_of_a_cluster_is_named() {
    let found = mistakes(&[("SPECTRUM_DATABASE_URL", "postgres://u:pass@h/d")]);
    assert!(
        found.len() == 1 && found[0].ends_with("SPECTRUM_AMQP_URL and SPECTRUM_REDIS_URL are not set"),
        "{found:#?}"
    );
}

#[test]
fn free_ports_may_both_be_zero() {
    let both = [("SPECTRUM_API_LISTEN", "127.0.0.1:0"), ("SPECTRUM_OPS_LISTEN", "127.0.0.1:0")];
    assert!(read(&Sources::of(&both)).is_ok());
}

const CLUSTER: [(&str, &str); 3] = [
    ("SPECTRUM_DATABASE_URL", "postgres://u:hunter2@h/d"),
    ("SPECTRUM_AMQP_URL", "amqps://u:hunter2@h1,h2/v"),
    ("SPECTRUM_REDIS_URL", "redis+sentinel://:hunter2@h1,h2/master"),
];

#[test]
fn three_urls_and_a_master_key_make_a_cluster() {
    let key = "ab".repeat(32);
    let whole: Vec<_> = CLUSTER.into_iter().chain([("SPECTRUM_MASTER_KEY", key.as_str())]).collect();
    let settings = read(&Sources::of(&whole)).expect("sound");
    assert!(settings.cluster.is_some());
    assert!(!format!("{settings:?}").contains("hunter2"), "{settings:?}");
    let found = mistakes(&CLUSTER);
    assert!(found.len() == 1 && found[0].starts_with("SPECTRUM_MASTER_KEY: a cluster needs it"), "{found:#?}");
}

#[test]
fn a_url_of_another_service_is_refused_without_being_shown() {
    let found = mistakes(&[
        ("SPECTRUM_DATABASE_URL", "mysql://u:hunter2@h/d"),
        ("SPECTRUM_AMQP_URL", "hunter2"),
        ("SPECTRUM_REDIS_URL", "redis://"),
        ("SPECTRUM_NAMESPACE", "a b"),
        ("SPECTRUM_LEASE", "1s"),
        ("SPECTRUM_MASTER_KEY", "hunter2"),
    ]);
    assert_eq!(found.len(), 6, "{found:#?}");
    assert!(!found.join("").contains("hunter2"), "{found:#?}");
    assert!(found.iter().any(|mistake| mistake.contains("`postgres://` or `postgresql://`")), "{found:#?}");
}

#[test]
fn secrets_are_in_no_mistake_and_no_debug_output() {
    let found = mistakes(&[("SPECTRUM_MASTER_KEY", "hunter2"), ("SPECTRUM_OPERATOR_TOKEN", "hunter2")]);
    assert_eq!(found.len(), 2);
    assert!(!found.join("").contains("hunter2"), "{found:#?}");
    let key = "0123456789abcdef".repeat(4);
    let other = "fedcba9876543210".repeat(4);
    let sound = [
        ("SPECTRUM_MASTER_KEY", key.as_str()),
        ("SPECTRUM_MASTER_KEY_OTHERS", other.as_str()),
        ("SPECTRUM_OPERATOR_TOKEN", "hunter2hunter2hunter2hunter2hunter2"),
    ];
    let settings = format!("{:?} {:?}", Sources::of(&sound), read(&Sources::of(&sound)).expect("sound"));
    for secret in ["hunter2", "0123456789abcdef", "fedcba9876543210"] {
        assert!(!settings.contains(secret), "{settings}");
    }
}

#[test]
fn a_master_key_is_hex_or_base64() {
    for key in ["ab".repeat(32), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned()] {
        assert!(read(&Sources::of(&[("SPECTRUM_MASTER_KEY", &key)])).is_ok());
    }
}

#[test]
fn other_master_keys_are_keys_none_of_them_twice_and_four_at_most() {
    let key = |byte: u8| hex::encode([byte; 32]);
    let set = |master: &str, others: &str| {
        let set = [("SPECTRUM_MASTER_KEY", master), ("SPECTRUM_MASTER_KEY_OTHERS", others)];
        read(&Sources::of(&set)).map(|settings| settings.master_key_others.len()).map_err(|Mistakes(found)| found)
    };
    let four = [2, 3, 4, 5].map(key).join(", ");
    assert_eq!(set(&key(1), &four), Ok(4));
    // Without a key of its own, the one in the data folder encrypts.
    assert_eq!(set("", &key(2)), Ok(1));
    let base64 = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    for (master, others, said) in [
        (key(1), format!("{four},{}", key(6)), "expected 4 keys at most"),
        (key(1), format!("{},hunter2", key(2)), "expected keys of 32 bytes"),
        (key(1), format!("{},", key(2)), "expected keys of 32 bytes"),
        (key(2), format!("{},{base64}", key(1)), "a key is named twice"),
        (key(1), base64.to_owned(), "the same key is in both"),
    ] {
        let found = set(&master, &others).expect_err("a mistake");
        assert!(found.len() == 1 && found[0].contains(said), "{found:#?}");
        assert!(
            !found[0].contains("hunter2") && !found[0].contains(&key(2)) && !found[0].contains(base64),
            "{found:#?}"
        );
    }
}

#[test]
fn an_empty_value_is_none() {
    let settings = read(&Sources::of(&[("SPECTRUM_API_LISTEN", ""), ("SPECTRUM_MASTER_KEY", "")])).expect("sound");
    assert_eq!(settings.api_listen.port(), 8080);
    assert!(settings.master_key.is_none());
}

#[test]
fn what_kubernetes_sets_for_a_service_is_no_mistake() {
    let set = [("SPECTRUM_WEBHOOK_SERVICE_HOST", "10.0.0.1"), ("SPECTRUM_WEBHOOK_PORT", "tcp://10.0.0.1:80")];
    assert!(read(&Sources::of(&set)).is_ok());
}

#[test]
fn the_readme_has_the_table_of_settings() {
    let readme = include_str!("../../../../README.md");
    assert!(
        readme.contains(&table::markdown()),
        "the table of README.md is not that of defaults.env: `spectrum-webhook check-config --table` prints it"
    );
}

#[test]
fn traces_go_nowhere_unless_a_collector_is_named() {
    assert!(read(&Sources::of(&[])).expect("the defaults").tracing.is_none());
    let tracing = read(&Sources::of(&[
        ("SPECTRUM_OTLP_ENDPOINT", "https://collector.example/base/"),
        ("SPECTRUM_OTLP_HEADERS", "authorization=Bearer%20a=b, x-tenant=one"),
        ("SPECTRUM_TRACE_RATIO", "0.25"),
    ]));
    let tracing = tracing.expect("settings").tracing.expect("a collector");
    assert_eq!((tracing.endpoint.expose(), tracing.ratio), ("https://collector.example/base", 0.25));
    let headers: Vec<_> = tracing.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(headers, [("authorization", "Bearer%20a=b"), ("x-tenant", "one")]);
    for (name, bad) in [
        ("SPECTRUM_OTLP_ENDPOINT", "collector:4318"),
        ("SPECTRUM_OTLP_ENDPOINT", "grpc://collector:4317"),
        ("SPECTRUM_OTLP_ENDPOINT", "http://user:hunter2hunter2@collector"),
        ("SPECTRUM_OTLP_ENDPOINT", "http://collector?token=hunter2hunter2"),
        ("SPECTRUM_OTLP_HEADERS", "hunter2hunter2"),
        ("SPECTRUM_OTLP_HEADERS", "a=b,c d=hunter2hunter2"),
        ("SPECTRUM_OTLP_HEADERS", "a=b"),
        ("SPECTRUM_TRACE_RATIO", "1.5"),
        ("SPECTRUM_TRACE_RATIO", "NaN"),
    ] {
        let found = mistakes(&[(name, bad)]);
        assert_eq!(found.len(), 1, "{name}={bad}: {found:?}");
        assert!(found[0].contains(name) && !found[0].contains("hunter2"), "{found:?}");
    }
}
