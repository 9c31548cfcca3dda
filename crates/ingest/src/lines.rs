//! A body cut into lines as it arrives; no more than one line of it is kept.

use axum::body::BodyDataStream;
use bytes::{Buf as _, Bytes, BytesMut};
use futures::StreamExt as _;

use crate::body::{Budget, Held, Share, incomplete, too_large};
use crate::problem::Problem;

/// One line, without its end (`\n` or `\r\n`).
pub(crate) enum Line {
    /// A line within the limit.
    Whole(Held),
    /// A longer one, which was passed over.
    TooLong,
}

/// The lines of a body.
pub(crate) struct Lines<'a> {
    chunks: BodyDataStream,
    budget: &'a Budget,
    max_line: usize,
    max_total: usize,
    /// Bytes that arrived so far.
    total: usize,
    /// What arrived and is not cut yet.
    rest: Bytes,
    /// The line that is being put together.
    line: BytesMut,
    share: Share,
    too_long: bool,
    /// The body ended.
    ended: bool,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(chunks: BodyDataStream, max_line: usize, max_total: usize, budget: &'a Budget) -> Self {
        Self {
            chunks,
            budget,
            max_line,
            max_total,
            total: 0,
            rest: Bytes::new(),
            line: BytesMut::new(),
            share: budget.share(),
            too_long: false,
            ended: false,
        }
    }

    /// The next line, or `None` after the last one. An error ends the body: nothing behind it can be read.
    pub(crate) async fn next(&mut self) -> Result<Option<Line>, Problem> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let part = self.rest.split_to(end);
                self.rest.advance(1);
                self.add(&part)?;
                return Ok(Some(self.cut()));
            }
            let part = std::mem::take(&mut self.rest);
            self.add(&part)?;
            if self.ended {
                // What stands behind the last line's end is a line only if there is something.
                let last = self.too_long || !self.line.is_empty();
                return Ok(last.then(|| self.cut()));
            }
            match self.chunks.next().await {
                None => self.ended = true,
                Some(Err(_)) => return Err(incomplete()),
                Some(Ok(chunk)) => {
                    self.total = self.total.saturating_add(chunk.len());
                    if self.total > self.max_total {
                        return Err(too_large("the batch", self.max_total));
                    }
                    self.rest = chunk;
                }
            }
        }
    }

    /// Adds to the line, as long as it is within the limit; one byte over it may be the `\r` of the line's end.
    fn add(&mut self, part: &[u8]) -> Result<(), Problem> {
        if self.too_long || part.is_empty() {
            return Ok(());
        }
        if self.line.len() + part.len() > self.max_line + 1 {
            self.too_long = true;
            self.line = BytesMut::new();
            self.share = self.budget.share();
            return Ok(());
        }
        self.share.grow(part.len())?;
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn cut(&mut self) -> Line {
        let mut line = std::mem::take(&mut self.line);
        let share = std::mem::replace(&mut self.share, self.budget.share());
        let too_long = std::mem::take(&mut self.too_long);
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        if too_long || line.len() > self.max_line {
            return Line::TooLong;
        }
        Line::Whole(Held { bytes: line.freeze(), share })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Body;
    use proptest::prelude::*;

    use super::*;

    /// The lines of a body that arrives in these chunks; `None` is one that is too long.
    fn lines(chunks: Vec<Vec<u8>>, max_line: usize) -> Vec<Option<Vec<u8>>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let budget = Budget::new(1 << 20);
            let stream = futures::stream::iter(chunks.into_iter().map(|chunk| Ok::<_, Infallible>(Bytes::from(chunk))));
            let mut lines = Lines::new(Body::from_stream(stream).into_data_stream(), max_line, 1 << 20, &budget);
            let mut found = Vec::new();
            while let Some(line) = lines.next().await.expect("a line") {
                found.push(match line {
                    Line::Whole(held) => Some(held.bytes.to_vec()),
                    Line::TooLong => None,
                });
            }
            found
        })
    }

    #[test]
    fn line_ends_of_both_kinds_are_cut_off_and_the_last_one_may_lack() {
        let found = lines(vec![b"ab\nc".to_vec(), b"d\r".to_vec(), b"\n\n".to_vec(), b"e".to_vec()], 9);
        assert_eq!(found, [Some(b"ab".to_vec()), Some(b"cd".to_vec()), Some(b"".to_vec()), Some(b"e".to_vec())]);
        assert_eq!(lines(vec![b"a\n".to_vec()], 9), [Some(b"a".to_vec())]);
        assert!(lines(vec![], 9).is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_hides_none_behind_it() {
        let found = lines(vec![b"12345\r\n123456\n1234567890".to_vec(), b"1\nok\n123456".to_vec()], 5);
        assert_eq!(found, [Some(b"12345".to_vec()), None, None, Some(b"ok".to_vec()), None]);
    }

    proptest! {
        #[test]
        fn the_cut_does_not_depend_on_how_the_body_arrives(
            chunks in prop::collection::vec("[ab\r\n]{0,8}".prop_map(String::into_bytes), 0..12),
            max_line in 1_usize..6,
        ) {
            let whole = chunks.concat();
            let mut expected: Vec<&[u8]> = whole.split(|byte| *byte == b'\n').collect();
            if expected.last().is_some_and(|last| last.is_empty()) {
                expected.pop();
            }
            let expected: Vec<Option<Vec<u8>>> = expected
                .into_iter()
                .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
                .map(|line| (line.len() <= max_line).then(|| line.to_vec()))
                .collect();
            prop_assert_eq!(lines(chunks, max_line), expected);
        }
    }
}
