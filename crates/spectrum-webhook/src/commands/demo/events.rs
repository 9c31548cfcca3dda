//! The events of the demo: one corpus file of each content type after the other, each event with an id of its own.

use bytes::Bytes;

/// What stands in the files for the message's id.
const PLACEHOLDER: &str = "MESSAGE_ID";

/// Every content type, and the oddities that valid JSON may have.
const CORPUS: [&str; 12] = [
    include_str!("../../../corpus/text.json"),
    include_str!("../../../corpus/text-emoji.json"),
    include_str!("../../../corpus/text-escapes.json"),
    include_str!("../../../corpus/attachment.json"),
    include_str!("../../../corpus/contact.json"),
    include_str!("../../../corpus/richlink.json"),
    include_str!("../../../corpus/reaction.json"),
    include_str!("../../../corpus/group.json"),
    include_str!("../../../corpus/unknown-type.json"),
    include_str!("../../../corpus/unknown-event.json"),
    include_str!("../../../corpus/odd-but-valid.json"),
    include_str!("../../../corpus/nested.json"),
];

/// The event of this number.
pub(super) fn event(number: u32) -> Bytes {
    let template = CORPUS[number as usize % CORPUS.len()];
    template.replace(PLACEHOLDER, &format!("msg-{number:06}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_an_id_of_its_own_and_keeps_the_rest_to_the_byte() {
        for (number, template) in (0..).zip(CORPUS) {
            assert_eq!(template.matches(PLACEHOLDER).count(), 1, "{template}");
            let first = event(number);
            let later = event(number + CORPUS.len() as u32);
            assert_ne!(first, later);
            assert_eq!(first.len() - "msg-000000".len(), template.len() - PLACEHOLDER.len());
        }
    }
}
