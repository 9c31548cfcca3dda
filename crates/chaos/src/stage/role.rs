//! One process and its ways to the services.

use std::net::SocketAddr;

use spectrum_webhook_testkit::process::{Server, Settings};
use tokio::sync::Mutex;

use crate::plan::Service;
use crate::proxy::{Mode, Proxy};

/// The proxies of one process.
#[derive(Debug)]
pub(crate) struct Links {
    rabbit: Vec<(SocketAddr, Proxy)>,
    redis: (SocketAddr, Proxy),
    postgres: (SocketAddr, Proxy),
}

#[expect(clippy::expect_used, reason = "without a free port there is no run")]
async fn link(far: SocketAddr) -> (SocketAddr, Proxy) {
    (far, Proxy::start(far).await.expect("a free port"))
}

impl Links {
    /// A proxy for each server.
    pub(super) async fn start(rabbit: &[SocketAddr], redis: SocketAddr, postgres: SocketAddr) -> Self {
        let mut nodes = Vec::new();
        for node in rabbit {
            nodes.push(link(*node).await);
        }
        Self { rabbit: nodes, redis: link(redis).await, postgres: link(postgres).await }
    }

    fn all(&self) -> impl Iterator<Item = &(SocketAddr, Proxy)> {
        self.rabbit.iter().chain([&self.redis, &self.postgres])
    }

    /// Where each server is, and where its proxy.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (SocketAddr, SocketAddr)> {
        self.all().map(|(far, near)| (*far, near.address()))
    }

    /// Changes the way to a service.
    pub(crate) fn set(&self, service: Service, mode: Mode) {
        match service {
            Service::Rabbit => self.rabbit.iter().for_each(|(_, proxy)| proxy.set(mode)),
            Service::Redis => self.redis.1.set(mode),
            Service::Postgres => self.postgres.1.set(mode),
        }
    }

    /// Leads to another server of Redis from now on.
    pub(crate) fn aim_redis(&self, server: SocketAddr) {
        self.redis.1.aim(server);
    }
}

/// A process.
pub(crate) struct Role {
    /// `ingest-0`.
    pub(crate) name: String,
    /// The process itself. Whoever stops or freezes it holds it until it is whole again.
    pub(crate) server: Mutex<Server>,
    /// Where it takes calls, if it does.
    pub(crate) api: SocketAddr,
    /// Where it tells of itself.
    pub(crate) ops: SocketAddr,
    /// Its ways.
    pub(crate) links: Links,
}

impl Role {
    pub(super) async fn start(role: &'static str, number: usize, settings: Settings, links: Links) -> Self {
        let server = Server::start_as(role, settings).await;
        let (api, ops) = (server.api(), server.ops());
        Self { name: format!("{role}-{number}"), server: Mutex::new(server), api, ops, links }
    }

    /// The last lines of its log.
    pub(crate) async fn log(&self) -> Vec<String> {
        self.server.lock().await.log().lines()
    }
}
