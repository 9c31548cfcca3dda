//! The W3C trace context of a post: which trace an event belongs to, from the client's request to each attempt.

use std::fmt;

/// A place in a trace, as a `traceparent` of version 00 has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TraceContext {
    /// The trace; never zero.
    pub trace: [u8; 16],
    /// The span; never zero.
    pub span: [u8; 8],
    /// Whether whoever began the trace records it.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads a `traceparent`; `None` if it [is not valid](is_valid).
    pub fn read(text: &str) -> Option<Self> {
        if !is_valid(text) {
            return None;
        }
        let mut context = Self { trace: [0; 16], span: [0; 8], sampled: false };
        decode(text.get(3..35)?, &mut context.trace)?;
        decode(text.get(36..52)?, &mut context.span)?;
        let mut flags = [0];
        decode(text.get(53..55)?, &mut flags)?;
        context.sampled = flags[0] & 1 == 1;
        Some(context)
    }

    /// The trace's id as logs and traces show it: 32 characters.
    pub fn trace_id(self) -> impl fmt::Display {
        Hex(self.trace)
    }
}

/// As it is written in a `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", Hex(self.trace), Hex(self.span), u8::from(self.sampled))
    }
}

struct Hex<const N: usize>([u8; N]);

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn decode(text: &str, into: &mut [u8]) -> Option<()> {
    for (at, byte) in into.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(())
}

/// Whether it is a valid `traceparent` of version 00: 55 characters of lower case.
pub fn is_valid(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut part = || parts.next();
    let (Some(version), Some(trace), Some(parent), Some(flags), None) = (part(), part(), part(), part(), part()) else {
        return false;
    };
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    version == "00" && hex(trace, 32) && hex(parent, 16) && hex(flags, 2) && !zero(trace) && !zero(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_traceparent_is_passed_on() {
        assert!(is_valid("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        for bad in [
            "",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
        ] {
            assert!(!is_valid(bad), "{bad}");
            assert_eq!(TraceContext::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for (text, sampled) in [
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true),
            ("00-0af7651916cd43dd8448eb211c80319c-00ad6b7169203300-00", false),
        ] {
            let context = TraceContext::read(text).expect("a context");
            assert_eq!((context.sampled, context.to_string().as_str()), (sampled, text));
            assert_eq!(context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        }
        let other_flags = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff";
        assert!(TraceContext::read(other_flags).expect("a context").sampled);
    }
}
