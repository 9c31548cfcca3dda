//! Whoever behaves is served all the while.

use std::cell::Cell;
use std::time::{Duration, Instant};

use spectrum_webhook_receiver::{Accepted, Always, Receiver, Reply};
use spectrum_webhook_testkit::process::{Hook, Project, Server};

use super::wire;
use crate::world::{all_arrive, text};

/// How long a post may take beside hostile ones, on a busy machine.
const SOON: Duration = Duration::from_secs(5);
/// Between two posts.
const PAUSE: Duration = Duration::from_millis(50);

/// A project with a healthy URL.
pub(super) struct Bystander {
    project: Project,
    receiver: Receiver,
    hook: Hook,
}

impl Bystander {
    pub(super) async fn of(server: &Server) -> Self {
        let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
        let project = server.create_project("bystander").await;
        let hook = server.client().register(&project, &receiver.url("/")).await;
        Self { project, receiver, hook }
    }

    /// Posts one event after the other, each over a connection of its own, until the work is done. Each must be taken
    /// soon, and all must arrive in order.
    pub(super) async fn beside<T>(&self, server: &Server, work: impl Future<Output = T>) -> T {
        let finished = Cell::new(false);
        let posting = async {
            let mut accepted = Vec::new();
            while !finished.get() {
                accepted.push(self.post(server, accepted.len()).await);
                // A steady load, not a flood.
                tokio::time::sleep(PAUSE).await;
            }
            accepted
        };
        let working = async {
            let done = work.await;
            finished.set(true);
            done
        };
        let (done, accepted) = tokio::join!(working, posting);
        let report = all_arrive(&self.receiver, &self.hook, &accepted).await;
        assert!(report.latency(1.0) < SOON, "{:?}", report.latencies);
        done
    }

    async fn post(&self, server: &Server, number: usize) -> Accepted {
        let (body, posted) = (text("bystander", number), Instant::now());
        let request = wire::post(&self.project, "Connection: close\r\n", &body);
        let heard = wire::exchange(server, &request, SOON).await;
        assert!(heard.ended && heard.statuses() == [202], "after {:?}: {}", posted.elapsed(), heard.text);
        let id = heard.text.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an id");
        Accepted { id: id.to_owned(), body, posted }
    }
}
