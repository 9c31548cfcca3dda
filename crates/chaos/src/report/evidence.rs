//! What a violation rests on: the requests of its event at the webhook, the dead letters, what was done to the webhook.

use crate::history::History;
use crate::oracle::Violation;

pub(super) fn evidence(history: &History, violation: &Violation) -> Vec<String> {
    let Some((webhook, event)) = violation.about() else { return Vec::new() };
    let mut lines = Vec::new();
    for hook in history.webhooks.iter().filter(|hook| hook.id == *webhook) {
        lines.push(format!("{} registered {:?} deleted {:?}", hook.path, hook.registered, hook.deleted));
        lines.extend(hook.moves.iter().map(|change| format!("moved {change:?}")));
        lines.extend(hook.pauses.iter().map(|pause| format!("disabled {pause:?}")));
        lines.extend(hook.revived.iter().map(|call| format!("enabled {call:?}")));
        lines.extend(hook.secrets.iter().skip(1).map(|secret| format!("rotated {:?} {}", secret.made, secret.overlap)));
    }
    for post in history.posts.iter().filter(|post| post.id.as_ref() == Some(event)) {
        let answered = post.answered.unwrap_or_default();
        lines.push(format!("posted at {}, answered at {answered}, {} repeats", post.begun, post.repeats));
    }
    for arrival in history.arrivals.iter().filter(|had| had.webhook == *webhook && had.event == *event) {
        let (resend, sequence) = (if arrival.resend { "resent" } else { "sent" }, arrival.sequence.unwrap_or(0));
        lines.push(format!("{resend} at {} as {sequence}: {:?} {:?}", arrival.begun, arrival.reply, arrival.replied));
    }
    let letters = history.letters.iter().filter(|had| had.webhook == *webhook && had.event == *event);
    lines.extend(
        letters.map(|letter| format!("dead letter {} {} resend {}", letter.reason, letter.last, letter.resend)),
    );
    lines
}
