//! What the processes say of themselves, by their metrics.

use super::{Role, Stage};
use crate::history::Books;
use crate::load::Api;

/// The sum of all series of a metric.
fn sum(text: &str, name: &str) -> i64 {
    let name = format!("spectrum_webhook_{name}");
    let series = text
        .lines()
        .filter(|line| line.strip_prefix(&name).is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{')));
    // A number of deliveries: whole, and far below 2^53.
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as i64
}

impl Role {
    /// Its books; `None` when it does not answer, or is not ready.
    pub(crate) async fn books(&self, api: &Api) -> Option<Books> {
        let (status, _) = api.text(self.ops, "/readyz").await?;
        let (_, text) = api.text(self.ops, "/metrics").await.filter(|_| status == 200)?;
        let deliveries = |name: &str| sum(&text, &format!("deliveries_{name}"));
        Some(Books {
            process: self.name.clone(),
            recovered: deliveries("recovered_total"),
            fanned_out: deliveries("fanned_out_total"),
            delivered: deliveries("delivered_total"),
            dead: deliveries("dead_total"),
            dropped: deliveries("dropped_total"),
            released: deliveries("released_total"),
            pending: deliveries("pending"),
        })
    }
}

impl Role {
    /// Partitions that it delivers; `None` when it does not say.
    pub(crate) async fn partitions(&self) -> Option<i64> {
        let client = self.server.lock().await.client();
        let answer = client.ops("/metrics").await.ok()?;
        Some(sum(&String::from_utf8_lossy(&answer.body), "partitions_held"))
    }
}

impl Stage {
    /// The books of all dispatchers; `None` when one of them, or an ingest, is not ready.
    pub(crate) async fn books(&self, api: &Api) -> Option<Vec<Books>> {
        for ingest in &self.ingests {
            let (status, _) = api.text(ingest.ops, "/readyz").await?;
            if status != 200 {
                return None;
            }
        }
        let mut books = Vec::new();
        for dispatcher in &self.dispatchers {
            books.push(dispatcher.books(api).await?);
        }
        Some(books)
    }

    /// Messages in all queues, those included that wait for an acknowledgement; `None` when no node says.
    pub(crate) fn queued(&self) -> Option<u64> {
        let nodes = self.rabbit.addresses().len();
        let said = (0..nodes).find_map(|node| self.rabbit.try_ctl(node, &["list_queues", "messages"]).ok())?;
        Some(said.lines().filter_map(|line| line.trim().parse::<u64>().ok()).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn series_of_a_metric_are_added_and_those_of_others_are_not() {
        let text = "# TYPE spectrum_webhook_a gauge\nspectrum_webhook_a{x=\"1\"} 2\nspectrum_webhook_a{x=\"2\"} 3\n\
                    spectrum_webhook_a_b 7\nspectrum_webhook_c 1\n";
        assert_eq!((sum(text, "a"), sum(text, "c"), sum(text, "d")), (5, 1, 0));
    }
}
