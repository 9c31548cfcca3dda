//! Redis: the sequence lock, admission and announcements of a cluster. It holds nothing whose loss loses an event or its
//! order: no persistence and no replication of it is needed.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `place` | the URL of a single server, of sentinels, or of a cluster |
//! | `link` | the connection, which heals by itself, and its news channel |
//! | `together` | many scripts in one write |
//! | `keys`, `scripts/` | the names of all keys, and the only code that touches them |
//! | `lock`, `admission`, `announcements` | one port each |
//! | `forget` | deletes all of it |

mod admission;
mod announcements;
mod forget;
mod keys;
mod link;
mod lock;
mod place;
mod together;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use spectrum_webhook_core::ports::{PortError, Reach};

pub use admission::RedisAdmission;
pub use announcements::RedisAnnouncements;
pub use lock::RedisLock;

use keys::Keys;
use link::Link;
use place::Place;

/// How Redis is reached and used.
#[derive(Clone)]
pub struct Options {
    /// `redis://`, `redis+sentinel://` or `redis+cluster://`, or the same with `rediss` for TLS.
    pub url: String,
    /// Begins the names of all keys: letters, digits, `-`, `_` and `.`.
    pub namespace: String,
    /// How long a lease lasts after its last renewal.
    pub lease: Duration,
    /// A PEM file of the authorities that signed the server's certificate, if they are not public ones.
    pub ca: Option<PathBuf>,
    /// How long a repeated post waits for the outcome of the one before it.
    pub patience: Duration,
}

impl Options {
    /// The defaults: a lease of 15 s, and 5 s for the outcome of an earlier post.
    pub fn new(url: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            namespace: namespace.into(),
            lease: Duration::from_secs(15),
            ca: None,
            patience: Duration::from_secs(5),
        }
    }
}

/// Without the URL, which holds a password.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("namespace", &self.namespace)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// What a person has to change before Redis can be used. No message holds a password.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL cannot be used.
    #[error("the URL of Redis cannot be used: {0}")]
    Url(String),
    /// The credentials are refused.
    #[error("Redis refuses the credentials ({0}): correct the user and the password in its URL")]
    Credentials(String),
    /// The user may not do what is needed.
    #[error(
        "Redis does not permit what is needed ({0}): allow the user all commands on the keys of the namespace, \
             and EVALSHA, SCRIPT LOAD, PUBLISH, SUBSCRIBE, SCAN, INFO, PING, ROLE and TIME"
    )]
    Permission(String),
    /// TLS does not come about.
    #[error(
        "TLS with Redis fails ({0}): its certificate must be valid for the host in the URL; name the authority \
             that signed it in SPECTRUM_SERVICES_CA_FILE"
    )]
    Tls(String),
    /// It would forget leases when memory is scarce.
    #[error("Redis has the maxmemory-policy `{0}`, which forgets leases: set it to `noeviction`")]
    Eviction(String),
    /// It is too old.
    #[error("Redis {0} is too old: 6.2 or later is needed")]
    Old(String),
    /// It cannot be written.
    #[error("this Redis is a replica: name the master, or use redis+sentinel:// to find it")]
    Replica,
    /// It is a cluster.
    #[error("this Redis is a node of a cluster: use redis+cluster:// (or rediss+cluster://)")]
    Cluster,
    /// It is no cluster.
    #[error("this Redis is no cluster: use redis:// (or rediss://)")]
    NoCluster,
}

/// The ports over one Redis.
pub struct Redis {
    /// Who delivers what.
    pub lock: Arc<RedisLock>,
    /// The door that every event passes.
    pub admission: Arc<RedisAdmission>,
    /// News of the registry.
    pub announcements: Arc<RedisAnnouncements>,
    keys: Keys,
    link: Arc<Link>,
}

impl Redis {
    /// Connects, however long it takes until Redis can be reached; the connection then heals by itself for ever.
    ///
    /// # Errors
    /// What a person has to change.
    pub async fn connect(options: Options) -> Result<Self, ConnectError> {
        let place = Place::read(&options.url, options.ca.as_deref())?;
        let keys = Keys::new(options.namespace);
        let link = Arc::new(Link::connect(place, keys.channel()).await?);
        Ok(Self {
            lock: Arc::new(RedisLock::new(Arc::clone(&link), keys.clone(), options.lease)),
            admission: Arc::new(RedisAdmission::new(Arc::clone(&link), keys.clone(), options.patience)),
            announcements: Arc::new(RedisAnnouncements::new(Arc::clone(&link), keys.clone(), options.lease)),
            keys,
            link,
        })
    }

    /// Deletes all keys of the namespace, and says how many: what it remembers is of a store that is no more. Nothing may
    /// run meanwhile; the time it takes grows with all keys of this Redis.
    ///
    /// # Errors
    /// When it cannot be reached, or the user may not use `SCAN`.
    pub async fn forget(&self) -> Result<u64, PortError> {
        forget::all(&self.link, &self.keys.prefix()).await
    }

    /// Waits, in a bounded time, for what was begun in the background. Call it when nothing begins any more.
    pub async fn close(&self) {
        self.admission.finish().await;
    }

    /// Whether it can be reached.
    pub fn reach(&self) -> Arc<Reach> {
        self.link.reach()
    }
}
