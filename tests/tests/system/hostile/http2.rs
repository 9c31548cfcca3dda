//! Floods of HTTP/2, frame by frame.

use std::time::Duration;

use futures::future::join_all;
use spectrum_webhook_testkit::process::{Server, Settings};

use super::bystander::Bystander;
use super::wire::exchange;

/// What a server may need, whatever is sent to it.
const USUAL: u64 = 128 << 20;
/// Longer than an idle connection stays.
const QUIET: Duration = Duration::from_secs(30);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
/// Flags of `HEADERS`.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `GET http://a/`, compressed.
const ASK: &[u8] = b"\x82\x86\x84\x01\x01a";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Streams of a client, in order.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| number * 2 + 1)
}

fn floods() -> Vec<(&'static str, Vec<u8>)> {
    let begun = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let flood = |frames: Vec<u8>| [begun.as_slice(), &frames].concat();
    let ask = |stream| frame(HEADERS, END_STREAM | END_HEADERS, stream, ASK);
    // A literal header of 16 KiB that is not remembered.
    let large = [b"\x00\x01x\x7f\x81\x7f".as_slice(), &[b'x'; 0x4000]].concat();
    vec![
        ("rubbish", [PREFACE, &[0xff; 1_000]].concat()),
        ("half a preface", PREFACE[..20].to_vec()),
        ("streams that are reset at once", {
            let reset = |stream| [ask(stream), frame(RESET, 0, stream, &8_u32.to_be_bytes())].concat();
            flood(streams(20_000).flat_map(reset).collect())
        }),
        ("more streams than are allowed", flood(streams(20_000).flat_map(ask).collect())),
        ("headers that go on for ever", {
            let more = frame(CONTINUATION, 0, 1, &large[..0x4000]).repeat(256);
            flood([frame(HEADERS, END_STREAM, 1, ASK), more].concat())
        }),
        ("empty headers that go on for ever", {
            let more = frame(CONTINUATION, 0, 1, &[]).repeat(100_000);
            flood([frame(HEADERS, END_STREAM, 1, ASK), more].concat())
        }),
        ("pings", flood(frame(PING, 0, 0, &[0; 8]).repeat(100_000))),
        ("settings", flood(frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]).repeat(100_000))),
    ]
}

#[tokio::test]
async fn floods_of_frames_cost_no_memory_and_come_to_an_end() {
    let server = Server::start(Settings::quick().set("SPECTRUM_READ_TIMEOUT", "2s")).await;
    let bystander = Bystander::of(&server).await;
    let floods = floods();
    let flooding = async {
        let all = floods.iter().flat_map(|(_, bytes)| (0..4).map(|_| exchange(&server, bytes, QUIET)));
        join_all(all).await
    };
    for (number, heard) in bystander.beside(&server, flooding).await.into_iter().enumerate() {
        assert!(heard.ended, "{}", floods[number / 4].0);
    }
    assert!(server.peak_memory() < USUAL, "{}", server.peak_memory());
}
