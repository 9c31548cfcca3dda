//! The memory of a run: its last lines, and a digest of all of them.

use std::collections::VecDeque;

/// Lines that are kept.
const KEPT: usize = 160;

/// The trace of a run.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    lines: VecDeque<String>,
    print: bool,
}

impl Trace {
    /// An empty one, which prints its lines if told so.
    pub fn new(print: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, lines: VecDeque::with_capacity(KEPT), print }
    }

    /// Adds a line (FNV-1a over its bytes).
    #[expect(clippy::print_stdout, reason = "the trace is what its caller asked to see")]
    pub fn line(&mut self, time: u64, text: &str) {
        let line = format!("{time:>9} {text}");
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if self.print {
            println!("{line}");
        }
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The digest so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The last lines.
    pub fn tail(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}
