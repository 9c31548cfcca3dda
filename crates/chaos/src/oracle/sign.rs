//! Both signatures, computed anew with `hmac` and `sha2` from the text of the contract.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::index::Index;
use super::{Bounds, Judgement, Violation};
use crate::history::{Arrival, At, History, Webhook};

fn code(secret: &str, parts: &[&[u8]]) -> Option<[u8; 32]> {
    // A key of any length is taken.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    for part in parts {
        mac.update(part);
    }
    Some(mac.finalize().into_bytes().into())
}

/// `v0=` and the hex code of `v0:{timestamp}:{body}`; the key is the secret's characters as they stand.
pub fn spectrum_signature(secret: &str, timestamp: &str, body: &[u8]) -> String {
    let code = code(secret, &[b"v0:", timestamp.as_bytes(), b":", body]).unwrap_or_default();
    format!("v0={}", hex::encode(code))
}

/// `v1,` and the base64 code of `{id}.{timestamp}.{body}`, with the same key.
pub fn standard_signature(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let code = code(secret, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]).unwrap_or_default();
    format!("v1,{}", STANDARD.encode(code))
}

/// A lost answer may stand for a change that is made so much later: no call lasts longer.
const LOST: u64 = 60_000_000;

/// A key, when it may be the only one, and when it may sign beside another.
struct Valid<'h> {
    secret: &'h str,
    alone_from: At,
    from: At,
    until: At,
}

/// The keys of a webhook; `None` at times when one may sign that nobody here knows.
fn keys(webhook: &Webhook) -> (Vec<Valid<'_>>, Vec<(At, At)>) {
    let mut keys = Vec::new();
    let mut unknown = Vec::new();
    for (at, secret) in webhook.secrets.iter().enumerate() {
        let first = at == 0;
        let from = if first { At(0) } else { secret.made.begun };
        let alone_from = if first { At(0) } else { from.plus(secret.overlap) };
        let until = webhook
            .secrets
            .get(at + 1)
            .map_or(At(u64::MAX), |next| next.made.answered.unwrap_or(next.made.begun.plus(LOST)).plus(next.overlap));
        match &secret.text {
            Some(text) => keys.push(Valid { secret: text, alone_from, from, until }),
            None => unknown.push((from, until)),
        }
    }
    (keys, unknown)
}

pub(super) fn judge(history: &History, index: &Index<'_>, bounds: &Bounds, judgement: &mut Judgement) {
    for webhook in &history.webhooks {
        let (keys, unknown) = keys(webhook);
        for arrival in index.requests(&webhook.id) {
            let (id, event, at) = (webhook.id.clone(), arrival.event.clone(), arrival.begun);
            let Some(signed) = fresh(history, bounds, arrival) else {
                judgement.violations.push(Violation::Stale { webhook: id, event, at });
                continue;
            };
            let slack = bounds.stale_key;
            if unknown.iter().any(|(from, until)| signed.plus(slack) >= *from && signed <= until.plus(slack)) {
                continue;
            }
            let Some(body) = &arrival.body else { continue };
            judgement.counts.verified += 1;
            let valid = |key: &&Valid<'_>, from: At| signed.plus(slack) >= from && signed <= key.until.plus(slack);
            let stamp = arrival.signed.unwrap_or_default().to_string();
            let fits = keys.iter().filter(|key| valid(key, key.alone_from));
            if !fits.into_iter().any(|key| spectrum_signature(key.secret, &stamp, body) == *arrival.signature) {
                let header = "X-Spectrum-Signature";
                judgement.violations.push(Violation::Signature {
                    webhook: id.clone(),
                    event: event.clone(),
                    header,
                    at,
                });
            }
            let [name, time, list] = &arrival.standard;
            let all: Vec<String> = keys
                .iter()
                .filter(|key| valid(key, key.from))
                .map(|key| standard_signature(key.secret, &arrival.event.0, &stamp, body))
                .collect();
            let mut given = list.split(' ').peekable();
            let good = **name == *arrival.event.0
                && **time == *stamp
                && given.peek().is_some()
                && given.all(|one| all.iter().any(|fit| fit == one));
            if !good {
                let header = "webhook-signature";
                judgement.violations.push(Violation::Signature { webhook: id, event, header, at });
            }
        }
    }
}

/// When a request was signed, if that was for this attempt.
fn fresh(history: &History, bounds: &Bounds, arrival: &Arrival) -> Option<At> {
    let signed = arrival.signed?.checked_mul(1_000_000)?;
    let came = history.origin + arrival.begun.0;
    // Whole seconds are cut off; a frozen process may send late what it signed before.
    let frozen = history.faults.iter().filter(|fault| fault.freezes && fault.begun <= arrival.begun);
    let slept = frozen.map(|fault| fault.ended.0.min(arrival.begun.0) - fault.begun.0).max().unwrap_or(0);
    let oldest = came.saturating_sub(bounds.freshness + slept);
    (oldest..=came + 1_000_000).contains(&signed).then(|| At(signed.saturating_sub(history.origin)))
}
