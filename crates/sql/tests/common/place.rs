//! A database of either kind, which several processes open.

#![allow(dead_code, unreachable_pub, reason = "each test file is a crate of its own and uses a part of it")]
#![allow(clippy::expect_used, reason = "the helpers of tests are tests")]

use spectrum_webhook_sql::{Database, FILE_NAME, Keyring, Options, PostgresOptions};
use spectrum_webhook_testkit::services::shared;
use sqlx::AnyConnection;
use tempfile::TempDir;

pub enum Place {
    Folder(TempDir),
    Server(String),
}

impl Place {
    pub async fn both() -> [Self; 2] {
        [Self::folder(), Self::Server(shared().postgres().await.database().await)]
    }

    pub fn folder() -> Self {
        Self::Folder(TempDir::new().expect("a folder"))
    }

    pub fn url(&self) -> String {
        match self {
            Self::Folder(dir) => format!("sqlite://{}", dir.path().join(FILE_NAME).display()),
            Self::Server(url) => url.clone(),
        }
    }

    /// As a process opens it.
    pub async fn open(&self, keys: impl Into<Keyring>) -> Result<Database, String> {
        match self {
            Self::Folder(dir) => {
                let options = Options { synchronous_off: true, readers: 2, ..Options::new(dir.path()) };
                Database::open(options, keys).await.map_err(|error| error.to_string())
            }
            Self::Server(url) => {
                Database::connect(PostgresOptions::new(url), keys).await.map_err(|error| error.to_string())
            }
        }
    }

    /// Past the product.
    pub async fn connect(&self) -> AnyConnection {
        super::next::connect(&self.url()).await
    }
}
