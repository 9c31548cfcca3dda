//! What is measured: the product or the limit, each with a receiver of its own, and the services under it.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `product` | the product's processes |
//! | `bare` | the limit's process |
//! | `services` | RabbitMQ, Redis, PostgreSQL |
//! | `projects` | projects and webhooks |
//! | `processes` | processor time and memory |
//! | `run` | one go of posting, and what came of it |

mod bare;
pub(crate) mod processes;
mod product;
mod projects;
mod run;
mod services;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use tokio::process::Child;

use crate::load::Target;
use crate::receiver::Receiver;
use processes::Roles;
pub(crate) use product::Started;
pub(crate) use run::{PATIENCE, Run};
pub(crate) use services::Services;

/// What stores and queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Backend {
    /// RabbitMQ, Redis, PostgreSQL.
    Cluster,
    /// One file.
    Embedded,
}

impl Backend {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Embedded => "embedded",
        }
    }
}

/// What there is to be measured, as one of the contenders.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub(crate) backend: Backend,
    pub(crate) projects: usize,
    /// Clients of one project that post at the same time.
    pub(crate) streams: usize,
    pub(crate) urls: usize,
    pub(crate) dispatchers: usize,
}

/// Who is measured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Contender {
    /// The product, by its executable.
    Product(PathBuf),
    /// Another build of it.
    Base(PathBuf),
    /// The bare process.
    Limit,
}

impl Contender {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Product(_) => "product",
            Self::Base(_) => "base",
            Self::Limit => "limit",
        }
    }
}

/// One contender, running.
pub(crate) struct System {
    pub(crate) contender: Contender,
    pub(crate) scene: Scene,
    pub(crate) target: Target,
    pub(crate) receiver: Receiver,
    /// The webhooks' ids by project; the limit has none.
    pub(crate) webhooks: Vec<Vec<String>>,
    /// Where the product's processes say how they are.
    pub(crate) ops: Vec<SocketAddr>,
    /// Its own processes.
    own: Roles,
    /// Its own and the services'.
    roles: Roles,
    children: Vec<Child>,
    folder: tempfile::TempDir,
}

impl System {
    /// Starts it, with its projects and webhooks. `services` are for the cluster.
    pub(crate) async fn start(contender: &Contender, scene: Scene, services: Option<&Services>) -> Result<Self> {
        let mut system = Self::bare(contender, scene).await?;
        if let Some(services) = services {
            system.roles.extend(services.roles.clone());
        }
        match contender {
            Contender::Product(binary) | Contender::Base(binary) => {
                system.run_product(binary, services).await?;
                system.target.projects = projects::known(scene.projects).into();
                match services {
                    Some(services) => projects::write_cluster(services, scene.projects)?,
                    None => projects::write_embedded(&system.folder.path().join(DATABASE), scene.projects)?,
                }
                system.register().await?;
            }
            Contender::Limit => system.run_limit(services).await?,
        }
        Ok(system)
    }

    /// Registers the webhooks.
    async fn register(&mut self) -> Result<()> {
        let (api, receiver) = (self.target.api, self.receiver.address());
        let made = projects::register(api, &self.target.projects, self.scene.urls, receiver).await;
        self.webhooks = made.context("webhooks")?;
        Ok(())
    }

    /// Without processes.
    async fn bare(contender: &Contender, scene: Scene) -> Result<Self> {
        let streams = scene.projects * scene.streams;
        let receiver = Receiver::start(scene.projects, streams, scene.urls).await?;
        let mut target = Target::new(free_address()?, Vec::new(), streams);
        target.arrived = receiver.arrived();
        Ok(Self {
            contender: contender.clone(),
            scene,
            target,
            receiver,
            webhooks: Vec::new(),
            ops: Vec::new(),
            own: Roles::new(),
            roles: Roles::new(),
            children: Vec::new(),
            folder: tempfile::tempdir()?,
        })
    }

    fn adopt(&mut self, role: &'static str, child: Child) -> Result<()> {
        let id = child.id().context("a process that runs")?;
        self.own.entry(role).or_default().push(id);
        self.roles.entry(role).or_default().push(id);
        self.children.push(child);
        Ok(())
    }

    /// Resident memory of its own processes, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.own.values().flatten().filter_map(|id| processes::memory(*id)).sum()
    }

    /// The same by role, and of the services that are one process.
    pub(crate) fn memory_by_role(&self) -> BTreeMap<&'static str, u64> {
        let ones = self.roles.iter().filter(|(role, _)| **role != "postgresql");
        ones.map(|(role, ids)| (*role, ids.iter().filter_map(|id| processes::memory(*id)).sum())).collect()
    }

    /// Bytes in the data folder.
    pub(crate) fn stored(&self) -> Result<u64> {
        let mut bytes = 0;
        for entry in std::fs::read_dir(self.folder.path())? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(DATABASE) {
                bytes += entry.metadata()?.len();
            }
        }
        Ok(bytes)
    }

    /// Ends its processes of a role, as an operator would.
    pub(crate) async fn end(&mut self, role: &'static str) -> Result<()> {
        let ids = self.own.remove(role).unwrap_or_default();
        for child in &mut self.children {
            if let Some(id) = child.id().filter(|id| ids.contains(id)) {
                processes::terminate(id).context("a signal")?;
                child.wait().await?;
            }
        }
        self.roles.remove(role);
        Ok(())
    }

    /// Its own processes by role.
    pub(crate) fn own(&self) -> &Roles {
        &self.own
    }

    /// Kills its processes.
    pub(crate) async fn stop(mut self) -> Result<()> {
        for child in &mut self.children {
            child.kill().await.context("stopping a process")?;
        }
        Ok(())
    }

    /// Changes all webhooks.
    pub(crate) async fn change_webhooks(&self, body: &'static str) -> Result<()> {
        projects::change(self.target.api, &self.target.projects, &self.webhooks, body).await
    }
}

/// Where the embedded backends are, in the product's folder.
const DATABASE: &str = "spectrum-webhook.db";

/// A port that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
