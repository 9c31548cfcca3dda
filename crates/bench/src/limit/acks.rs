//! Acknowledgements, as few as possible: of all that is finished from the oldest on, at once.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Result;
use lapin::Channel;
use lapin::options::BasicAckOptions;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// So many finished ones are acknowledged at once; of fewer the others are waited for so long.
const ENOUGH: u64 = 64;
const WAIT: Duration = Duration::from_millis(5);

/// Tags of a channel, which go from 1 upward.
#[derive(Default)]
struct Finished {
    /// The highest that was acknowledged.
    acknowledged: u64,
    /// Whether those behind the finished prefix are finished.
    behind: VecDeque<bool>,
    /// Up to which all are finished.
    prefix: u64,
}

impl Finished {
    fn note(&mut self, tag: u64) {
        let Some(place) = tag.checked_sub(self.prefix + 1) else { return };
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        if self.behind.len() <= place {
            self.behind.resize(place + 1, false);
        }
        self.behind[place] = true;
        while self.behind.front() == Some(&true) {
            self.behind.pop_front();
            self.prefix += 1;
        }
    }
}

/// Acknowledges what is finished, until nobody can finish anything any more.
pub(super) async fn acknowledge(channel: Channel, mut tags: mpsc::UnboundedReceiver<u64>) -> Result<()> {
    let (mut finished, mut came) = (Finished::default(), Vec::new());
    loop {
        let waiting = finished.prefix > finished.acknowledged;
        let receiving = tags.recv_many(&mut came, 1_024);
        let count = if waiting { timeout(WAIT, receiving).await.ok() } else { Some(receiving.await) };
        if count == Some(0) {
            return Ok(());
        }
        came.drain(..).for_each(|tag| finished.note(tag));
        let new = finished.prefix - finished.acknowledged;
        if new >= ENOUGH || (new > 0 && count.is_none()) {
            channel.basic_ack(finished.prefix, BasicAckOptions { multiple: true }).await?;
            finished.acknowledged = finished.prefix;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_ends_before_the_first_that_is_not_finished() {
        let mut finished = Finished::default();
        let prefixes: Vec<u64> = [2, 4, 1, 3, 5]
            .map(|tag| {
                finished.note(tag);
                finished.prefix
            })
            .into();
        assert_eq!(prefixes, [0, 0, 2, 4, 5]);
    }
}
