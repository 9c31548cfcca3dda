//! The four URLs of a project, each with a trouble of its own.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use spectrum_webhook_receiver::{Always, FailFirst, Key, Receiver, Recorded, Reply};

use crate::api_client::Api;

/// How long the URL that goes down stays down.
pub(super) const DOWN: Duration = Duration::from_secs(5);
/// How long the URL that hangs answers nothing at all, from its first request on.
const HANGS: Duration = Duration::from_secs(4);
/// First requests that hang after that, in all.
const HANGS_AGAIN: u64 = 8;

/// What is the matter with a URL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    Healthy,
    FailsTwice,
    Hangs,
    GoesDown,
}

impl Trouble {
    pub(super) const ALL: [Self; 4] = [Self::Healthy, Self::FailsTwice, Self::Hangs, Self::GoesDown];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::FailsTwice => "fails twice for each event",
            Self::Hangs => "hangs for 4 s, then at times",
            Self::GoesDown => "down for 5 s",
        }
    }

    fn receiver(self, events: u32) -> std::io::Result<Receiver> {
        match self {
            Self::Healthy | Self::GoesDown => Receiver::on_loopback(Always(Reply::ok())),
            Self::FailsTwice => {
                let failure = Reply::status(StatusCode::INTERNAL_SERVER_ERROR);
                Receiver::on_loopback(FailFirst { times: 2, failure, then: Reply::ok() })
            }
            Self::Hangs => {
                let seen = AtomicU64::new(0);
                let every = (u64::from(events) / HANGS_AGAIN).max(1);
                let hung = OnceLock::new();
                Receiver::on_loopback(move |request: &Recorded| {
                    if hung.get_or_init(Instant::now).elapsed() < HANGS {
                        return Reply::hang();
                    }
                    let first = request.nth_for_event == 1;
                    let hang = first && seen.fetch_add(1, Ordering::Relaxed) % every == every / 2;
                    if hang { Reply::hang() } else { Reply::ok() }
                })
            }
        }
    }
}

/// A registered URL.
pub(super) struct Endpoint {
    pub(super) trouble: Trouble,
    pub(super) receiver: Receiver,
    pub(super) key: Key,
}

/// The path that all URLs have.
pub(super) const PATH: &str = "/hook?from=spectrum";

impl Endpoint {
    /// Starts to listen, and registers with the server.
    pub(super) async fn register(trouble: Trouble, api: &Api, events: u32) -> anyhow::Result<Self> {
        let receiver = trouble.receiver(events)?;
        let registered = api.register(&receiver.url(PATH)).await?;
        Ok(Self { trouble, receiver, key: Key::of(&registered.signing_secret)? })
    }

    /// Different events that it has taken.
    pub(super) fn taken(&self) -> u64 {
        self.receiver.look(|memory| memory.count(PATH).taken)
    }

    /// Goes down once a fifth of the events are there, and comes back.
    pub(super) async fn live(&self, events: u32, patience: Duration) -> anyhow::Result<()> {
        if self.trouble == Trouble::GoesDown {
            let begun = u64::from(events / 5).max(1);
            self.receiver.wait_until(|memory| memory.count(PATH).taken >= begun, patience).await?;
            self.receiver.down().await?;
            tokio::time::sleep(DOWN).await;
            self.receiver.up().await?;
        }
        let all = u64::from(events);
        Ok(self.receiver.wait_until(|memory| memory.count(PATH).taken >= all, patience).await?)
    }
}
