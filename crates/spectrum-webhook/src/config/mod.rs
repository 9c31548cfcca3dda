//! The settings: read from flags and the environment, all mistakes reported at once, relations that cannot hold
//! refused.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `defaults.env`, [`table`] | every setting, its default, what it means |
//! | [`units`] | durations, sizes, numbers |
//! | [`otlp`] | where traces go |
//! | [`sources`] | flag, environment, default: where a value comes from |

mod otlp;
pub(crate) mod sources;
pub(crate) mod table;
mod units;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use spectrum_webhook_core::retry::Policy;
use zeroize::Zeroizing;

pub(crate) use otlp::Tracing;
use sources::{Reader, Sources};

/// Above it no event can be set to be.
const LARGEST_EVENT: usize = 64 << 20;

/// A value that prints nothing.
#[derive(Clone)]
pub(crate) struct Hidden(String);

impl Hidden {
    /// The value, for whoever uses it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Hidden {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// When a URL is down, and what is done about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    /// Events exhausted in a row that prove it.
    pub(crate) after: u32,
    /// The waits between probes.
    pub(crate) probe: Policy,
    /// Until the webhook is disabled.
    pub(crate) budget: Duration,
    /// How old the events of a disabled webhook may become.
    pub(crate) keep: Duration,
}

/// The form of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For machines, one object a line.
    Json,
}

/// The services of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    /// PostgreSQL.
    pub(crate) database: Hidden,
    /// RabbitMQ.
    pub(crate) amqp: Hidden,
    /// Redis.
    pub(crate) redis: Hidden,
}

/// All settings, checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) api_listen: SocketAddr,
    pub(crate) ops_listen: SocketAddr,
    pub(crate) data_dir: PathBuf,
    /// `None`: embedded.
    pub(crate) cluster: Option<Cluster>,
    pub(crate) namespace: String,
    /// A PEM file.
    pub(crate) services_ca: Option<PathBuf>,
    pub(crate) database_connections: u32,
    pub(crate) lease: Duration,
    pub(crate) master_key: Option<Hidden>,
    pub(crate) master_key_others: Vec<Hidden>,
    pub(crate) operator_token: Option<Hidden>,
    pub(crate) dashboard: bool,
    pub(crate) dashboard_session: Duration,
    pub(crate) allow_http: bool,
    pub(crate) allow_networks: Vec<IpNet>,
    /// PEM.
    pub(crate) extra_authorities: Option<Vec<u8>>,
    pub(crate) retry: Policy,
    pub(crate) attempt_timeout: Duration,
    pub(crate) outage: Outage,
    pub(crate) max_event_size: usize,
    pub(crate) read_timeout: Duration,
    pub(crate) idempotency_window: Duration,
    pub(crate) delivery_log_keep: Duration,
    /// Zero: no event is archived.
    pub(crate) archive_keep: Duration,
    pub(crate) hold_after: Duration,
    pub(crate) prefetch: usize,
    pub(crate) memory_budget: usize,
    pub(crate) attempt_slots: usize,
    pub(crate) partitions: u16,
    pub(crate) grace: Duration,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
    /// `None`: nothing is traced.
    pub(crate) tracing: Option<Tracing>,
}

/// What is wrong with the settings: every mistake, a line each.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{} wrong in the settings:\n  {}", if .0.len() == 1 { "one thing is".to_owned() } else { format!("{} things are", .0.len()) }, .0.join("\n  "))]
pub(crate) struct Mistakes(pub(crate) Vec<String>);

/// Reads and checks all settings.
///
/// # Errors
/// All mistakes.
pub(crate) fn read(sources: &Sources) -> Result<Settings, Mistakes> {
    let mut reader = Reader::new(sources);
    let settings = Settings {
        api_listen: reader.read("SPECTRUM_API_LISTEN", units::address),
        ops_listen: reader.read("SPECTRUM_OPS_LISTEN", units::address),
        data_dir: reader.read("SPECTRUM_DATA_DIR", |text| Ok(PathBuf::from(text))),
        cluster: cluster(&mut reader),
        namespace: reader.read("SPECTRUM_NAMESPACE", namespace),
        services_ca: reader.optional("SPECTRUM_SERVICES_CA_FILE", |path| authorities(path).map(|_| path.into())),
        database_connections: reader.read("SPECTRUM_DATABASE_CONNECTIONS", units::number(2, 1_000)),
        lease: reader.read("SPECTRUM_LEASE", units::duration),
        master_key: reader.optional("SPECTRUM_MASTER_KEY", master_key),
        master_key_others: reader.optional("SPECTRUM_MASTER_KEY_OTHERS", other_keys).unwrap_or_default(),
        operator_token: reader.optional("SPECTRUM_OPERATOR_TOKEN", operator_token),
        dashboard: reader.read("SPECTRUM_DASHBOARD", units::boolean),
        dashboard_session: reader.read("SPECTRUM_DASHBOARD_SESSION", units::duration),
        allow_http: reader.read("SPECTRUM_ALLOW_HTTP", units::boolean),
        allow_networks: reader.optional("SPECTRUM_ALLOW_NETWORKS", units::networks).unwrap_or_default(),
        extra_authorities: reader.optional("SPECTRUM_EXTRA_CA_FILE", authorities),
        retry: Policy {
            initial: reader.read("SPECTRUM_RETRY_INITIAL", units::duration),
            factor: reader.read("SPECTRUM_RETRY_FACTOR", units::factor),
            cap: reader.read("SPECTRUM_RETRY_CAP", units::duration),
            attempts: reader.read("SPECTRUM_RETRY_ATTEMPTS", units::number(1, 100)),
        },
        attempt_timeout: reader.read("SPECTRUM_ATTEMPT_TIMEOUT", units::duration),
        outage: Outage {
            after: reader.read("SPECTRUM_OUTAGE_AFTER", units::number(1, 1_000)),
            probe: Policy {
                initial: reader.read("SPECTRUM_OUTAGE_PROBE_INITIAL", units::duration),
                factor: 2.0,
                cap: reader.read("SPECTRUM_OUTAGE_PROBE_CAP", units::duration),
                attempts: 1,
            },
            budget: reader.read("SPECTRUM_OUTAGE_BUDGET", units::duration),
            keep: reader.read("SPECTRUM_BACKLOG_KEEP", units::duration),
        },
        max_event_size: reader.read("SPECTRUM_MAX_EVENT_SIZE", |text| {
            let size = units::size(text)?;
            if size <= LARGEST_EVENT { Ok(size) } else { Err("expected 64MiB or less".to_owned()) }
        }),
        read_timeout: reader.read("SPECTRUM_READ_TIMEOUT", units::duration),
        idempotency_window: reader.read("SPECTRUM_IDEMPOTENCY_WINDOW", units::duration),
        delivery_log_keep: reader.read("SPECTRUM_DELIVERY_LOG_KEEP", units::duration),
        archive_keep: reader.read("SPECTRUM_ARCHIVE_KEEP", units::duration_or_none),
        hold_after: reader.read("SPECTRUM_HOLD_AFTER", units::duration),
        prefetch: reader.read("SPECTRUM_PREFETCH", units::number(1, 65_535)) as usize,
        memory_budget: reader.read("SPECTRUM_MEMORY_BUDGET", units::size),
        attempt_slots: reader.read("SPECTRUM_ATTEMPT_SLOTS", units::number(2, 100_000)) as usize,
        partitions: reader.read("SPECTRUM_PARTITIONS", |text| {
            units::number(1, 4_096)(text).map(|number| u16::try_from(number).unwrap_or(u16::MAX))
        }),
        grace: reader.read("SPECTRUM_GRACE", units::duration),
        log: reader.read("SPECTRUM_LOG", log_filter),
        log_format: reader.read("SPECTRUM_LOG_FORMAT", |text| match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("expected `text` or `json`".to_owned()),
        }),
        tracing: otlp::tracing(&mut reader),
    };
    relations(&settings, &mut reader);
    reader.finish().map(|()| settings)
}

/// What cannot hold together, although each setting is sound for itself.
fn relations(settings: &Settings, reader: &mut Reader<'_>) {
    let outage = &settings.outage;
    reader.not_above("SPECTRUM_RETRY_INITIAL", settings.retry.initial, "SPECTRUM_RETRY_CAP", settings.retry.cap);
    reader.not_above(
        "SPECTRUM_OUTAGE_PROBE_INITIAL",
        outage.probe.initial,
        "SPECTRUM_OUTAGE_PROBE_CAP",
        outage.probe.cap,
    );
    reader.not_above("SPECTRUM_OUTAGE_PROBE_CAP", outage.probe.cap, "SPECTRUM_OUTAGE_BUDGET", outage.budget);
    reader.not_above("SPECTRUM_OUTAGE_BUDGET", outage.budget, "SPECTRUM_BACKLOG_KEEP", outage.keep);
    reader.refuse_if(
        settings.max_event_size.saturating_mul(4) > settings.memory_budget,
        &["SPECTRUM_MEMORY_BUDGET", "SPECTRUM_MAX_EVENT_SIZE"],
        "the memory budget must have room for four of the largest events",
    );
    reader.refuse_if(
        settings.api_listen == settings.ops_listen && settings.api_listen.port() != 0,
        &["SPECTRUM_API_LISTEN", "SPECTRUM_OPS_LISTEN"],
        "both are the same address",
    );
    let missing: Vec<&str> = CLUSTER.into_iter().filter(|name| reader.value(name).is_none()).collect();
    reader.refuse_if(
        !missing.is_empty() && missing.len() < CLUSTER.len(),
        &CLUSTER,
        &format!(
            "all three make a cluster and none is embedded; {} {} not set",
            missing.join(" and "),
            if missing.len() == 1 { "is" } else { "are" }
        ),
    );
    reader.refuse_if(
        missing.is_empty() && reader.value("SPECTRUM_MASTER_KEY").is_none(),
        &["SPECTRUM_MASTER_KEY"],
        "a cluster needs it, the same in all its processes (`openssl rand -hex 32` makes one)",
    );
    reader.refuse_if(
        settings.master_key.iter().any(|key| settings.master_key_others.iter().any(|other| same_key(key, other))),
        &["SPECTRUM_MASTER_KEY", "SPECTRUM_MASTER_KEY_OTHERS"],
        "the same key is in both: it is the one that encrypts, or one that only decrypts",
    );
    reader.refuse_if(
        settings.lease < SHORTEST_LEASE,
        &["SPECTRUM_LEASE"],
        "a lease shorter than 3s is lost by a busy machine and a slow network",
    );
}

/// Below it a renewal, sent after a third of it, has no time to be late.
const SHORTEST_LEASE: Duration = Duration::from_secs(3);

const CLUSTER: [&str; 3] = ["SPECTRUM_DATABASE_URL", "SPECTRUM_AMQP_URL", "SPECTRUM_REDIS_URL"];

fn cluster(reader: &mut Reader<'_>) -> Option<Cluster> {
    let redis = ["redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"];
    let database = reader.optional("SPECTRUM_DATABASE_URL", service(&["postgres", "postgresql"]));
    let amqp = reader.optional("SPECTRUM_AMQP_URL", service(&["amqp", "amqps"]));
    let redis = reader.optional("SPECTRUM_REDIS_URL", service(&redis));
    Some(Cluster { database: database?, amqp: amqp?, redis: redis? })
}

/// The URL of a service, by its scheme; its client reads the rest.
fn service<'a>(schemes: &'a [&'a str]) -> impl Fn(&str) -> Result<Hidden, String> + 'a {
    move |text| match text.split_once("://") {
        Some((scheme, rest)) if schemes.contains(&scheme) && !rest.is_empty() => Ok(Hidden(text.to_owned())),
        _ => Err(format!("expected a URL that begins with `{}://`", schemes.join("://` or `"))),
    }
}

fn namespace(text: &str) -> Result<String, String> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.len() <= 64 && text.bytes().all(sound) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 64 letters, digits, `-`, `_` and `.`".to_owned())
    }
}

fn master_key(text: &str) -> Result<Hidden, String> {
    match key_bytes(text) {
        Some(_) => Ok(Hidden(text.to_owned())),
        None => {
            Err("expected 32 bytes, as 64 hex characters or as base64 (`openssl rand -hex 32` makes one)".to_owned())
        }
    }
}

/// The bytes of a master key.
fn key_bytes(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    use base64::Engine as _;
    let base64 = || base64::engine::general_purpose::STANDARD.decode(text).ok();
    let bytes = if text.len() == 64 { hex::decode(text).ok() } else { base64() };
    bytes.map(Zeroizing::new).filter(|bytes| bytes.len() == 32)
}

/// More keys than these make nothing easier, and each is tried on what does not say its own.
const MOST_OTHER_KEYS: usize = 4;

fn other_keys(text: &str) -> Result<Vec<Hidden>, String> {
    let keys: Vec<Hidden> = text.split(',').map(|key| Hidden(key.trim().to_owned())).collect();
    if keys.len() > MOST_OTHER_KEYS {
        return Err(format!(
            "expected {MOST_OTHER_KEYS} keys at most: rotate, and take away those that are not needed"
        ));
    }
    if keys.iter().any(|key| key_bytes(key.expose()).is_none()) {
        return Err("expected keys of 32 bytes, each as 64 hex characters or as base64, separated by commas".to_owned());
    }
    let repeated = |(place, key): (usize, &Hidden)| keys[..place].iter().any(|other| same_key(key, other));
    if keys.iter().enumerate().any(repeated) {
        return Err("a key is named twice".to_owned());
    }
    Ok(keys)
}

/// Whether both are the same key, however each is written.
fn same_key(one: &Hidden, other: &Hidden) -> bool {
    key_bytes(one.expose()) == key_bytes(other.expose())
}

fn operator_token(text: &str) -> Result<Hidden, String> {
    if (32..=512).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(Hidden(text.to_owned()))
    } else {
        Err("expected 32 to 512 visible ASCII characters (`openssl rand -hex 32` makes them)".to_owned())
    }
}

fn authorities(path: &str) -> Result<Vec<u8>, String> {
    let text = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    match CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if certificates.is_empty() => Err("the file holds no PEM certificate".to_owned()),
        Ok(_) => Ok(text),
        Err(error) => Err(format!("the file is not PEM: {error}")),
    }
}

fn log_filter(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("expected a level (`error`, `warn`, `info`, `debug`, `trace`) or filters like \
                       `info,spectrum_webhook_dispatcher=debug`"
            .to_owned()),
    }
}

#[cfg(test)]
mod tests;
