//! What an endpoint can answer that is no answer, and what must come of it.

use std::time::Duration;

use serde_json::Value;

/// How an attempt is logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Logged {
    Status(u16),
    Failed(&'static str),
    /// One of two: which, is a race.
    Either(u16, &'static str),
}

impl Logged {
    pub(super) fn is(self, attempt: &Value) -> bool {
        let (status, failure) = (attempt["status"].as_u64(), attempt["failure"].as_str());
        match self {
            Self::Status(expected) => (status, failure) == (Some(expected.into()), None),
            Self::Failed(expected) => (status, failure) == (None, Some(expected)),
            Self::Either(expected, other) => Self::Status(expected).is(attempt) || Self::Failed(other).is(attempt),
        }
    }
}

/// What follows the first bytes.
#[derive(Clone)]
pub(super) enum Then {
    /// Nothing, and the connection stays.
    Stays,
    Closes,
    /// The same again and again, with a pause in between.
    Repeats(Vec<u8>, Duration),
}

#[derive(Clone)]
pub(super) struct Manner {
    pub(super) name: &'static str,
    /// Whether it begins without having read the request.
    pub(super) hasty: bool,
    pub(super) opening: Vec<u8>,
    pub(super) then: Then,
    pub(super) logged: Logged,
}

/// Much more than anybody reads, and not so much that it is the test that keeps the machine busy.
const FLOOD: Duration = Duration::from_millis(5);
const DRIP: Duration = Duration::from_millis(100);

/// All of them.
pub(super) fn all() -> Vec<Manner> {
    let mut all = Vec::new();
    let mut add = |name, opening: &[u8], then, logged| {
        all.push(Manner { name, hasty: false, opening: opening.to_vec(), then, logged });
    };
    let protocol = Logged::Failed("protocol");
    let timeout = Logged::Failed("timeout");
    let ok = Logged::Status(200);

    let flood = |bytes: &[u8]| Then::Repeats(bytes.to_vec(), FLOOD);
    add("headers without end", b"HTTP/1.1 200 OK\r\n", flood(&b"X-More: and more\r\n".repeat(500)), protocol);
    add("a header without end", b"HTTP/1.1 200 OK\r\nX: ", flood(&[b'x'; 0x10000]), protocol);
    add("a reason without end", b"HTTP/1.1 200 ", flood(&[b'x'; 0x10000]), protocol);
    add("empty lines without end", b"", flood(&b"\r\n".repeat(0x8000)), protocol);
    add("a head byte by byte", b"HTTP/1.1 200 OK\r\nX: ", Then::Repeats(b"x".to_vec(), DRIP), timeout);
    add("100 without end", b"", flood(&b"HTTP/1.1 100 Continue\r\n\r\n".repeat(40)), timeout);
    add("103 without end", b"", flood(&b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(20)), timeout);
    add("102 now and then", b"", Then::Repeats(b"HTTP/1.1 102 Processing\r\n\r\n".to_vec(), DRIP), timeout);
    add("nothing", b"", Then::Stays, timeout);

    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    add("chunks without end", chunked, flood(&[b"2000\r\n", [b'x'; 0x2000].as_slice(), b"\r\n"].concat()), ok);
    add("a chunk's size without end", chunked, flood(&[b'0'; 8_192]), ok);
    add("a chunk's extension without end", chunked, flood(&[&b"1;"[..], &[b'x'; 8_190]].concat()), ok);
    add("trailers without end", &[&chunked[..], b"0\r\n"].concat(), flood(&b"X: a\r\n".repeat(1_000)), ok);
    add("a body without length", b"HTTP/1.1 200 OK\r\n\r\n", flood(&[b'x'; 8_192]), ok);
    add("a body byte by byte", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", Then::Repeats(vec![b'x'], DRIP), ok);
    let gzip = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n";
    add("a bomb", &[&gzip[..], &bomb()].concat(), Then::Closes, ok);
    let brotli = b"HTTP/1.1 200 OK\r\nContent-Encoding: br, zstd, deflate\r\n\r\n";
    add("bombs in a row", brotli, flood(&bomb()), ok);
    add("a body that breaks off", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", Then::Closes, ok);
    add("chunks of no size", &[&chunked[..], b"g\r\n"].concat(), Then::Stays, ok);
    add("chunks too large", &[&chunked[..], b"fffffffffffffffff\r\n"].concat(), Then::Stays, ok);
    add("a failure and a body without end", b"HTTP/1.1 500 X\r\n\r\n", flood(&[b'x'; 8_192]), Logged::Status(500));

    for (name, answer) in [
        ("another protocol", "SSH-2.0-OpenSSH_9.7\r\n\r\n"),
        ("HTTP/0.9", "<html>ok</html>\r\n\r\n"),
        ("HTTP/2", "HTTP/2 200\r\n\r\n"),
        ("HTTP/1.7", "HTTP/1.7 200 OK\r\n\r\n"),
        ("an HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("HTTP/2 frames", "\0\0\u{12}\u{4}\0\0\0\0\0\0\u{3}\0\0\0\u{64}\r\n\r\n"),
        ("a TLS alert", "\u{15}\u{3}\u{3}\0\u{2}\u{2}\u{46}"),
        ("a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
        ("a length that overflows", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n"),
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
        ("two status lines", "HTTP/1.1 200 OK\r\nHTTP/1.1 500 Oops\r\n\r\n"),
        ("a folded header", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"),
        ("a zero byte", "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n"),
        ("a space before the colon", "HTTP/1.1 200 OK\r\nX : a\r\n\r\n"),
        ("the status 099", "HTTP/1.1 099 Low\r\n\r\n"),
        ("the status 1000", "HTTP/1.1 1000 High\r\n\r\n"),
        ("the status 20", "HTTP/1.1 20 OK\r\n\r\n"),
        ("the status -200", "HTTP/1.1 -200 OK\r\n\r\n"),
        ("no status", "HTTP/1.1  OK\r\n\r\n"),
    ] {
        add(name, answer.as_bytes(), Then::Stays, protocol);
    }
    let silent = |status: u16| format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
    for (name, status) in [("the status 101", 101), ("the status 600", 600), ("the status 999", 999)] {
        add(name, silent(status).as_bytes(), Then::Stays, Logged::Status(status));
    }
    let elsewhere = "HTTP/1.1 307 X\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n";
    add("a redirect to where nobody may go", elsewhere.as_bytes(), Then::Stays, Logged::Status(307));
    add("a redirect to itself", b"HTTP/1.1 308 X\r\nLocation: #\r\n\r\n", Then::Closes, Logged::Status(308));
    add("half a head", b"HTTP/1.1 200 OK\r\nContent-Le", Then::Closes, Logged::Failed("reset"));
    add("no answer", b"", Then::Closes, Logged::Failed("reset"));

    let hasty = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec();
    let logged = Logged::Either(200, "protocol");
    all.push(Manner { name: "an answer to nothing", hasty: true, opening: hasty, then: Then::Stays, logged });
    all
}

/// 64 KiB that are more than 10 MiB of zeros to who unpacks them: one zero, and again and again the 258 bytes before.
fn bomb() -> Vec<u8> {
    const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    // The last block, of fixed codes; a literal zero; length 258, distance 1.
    let begun = [1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0];
    let again = [1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0];
    let bits: Vec<u8> = begun.into_iter().chain(again.into_iter().cycle().take(64 * 1_024 * 8)).collect();
    let bytes = bits.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | bit));
    HEAD.into_iter().chain(bytes).collect()
}
