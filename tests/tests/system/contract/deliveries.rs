//! What a receiver gets: headers, bytes, signatures, attempts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::json;
use spectrum_webhook_receiver::{Always, Diagnosis, Problem, Receiver, Recorded, Reply, TOLERANCE, verify};
use spectrum_webhook_testkit::process::{Server, Settings};

use crate::world::{accept, accept_texts, all_arrive, requests, taken, text};

/// An event of each content type, one that nobody knows, and one that is no message at all.
fn corpus() -> Vec<Bytes> {
    let contents = [
        r#"{"type":"text","text":"héllo \ud83d\ude42 \/ <b>&amp;"}"#,
        r#"{"type":"attachment","attachment":{"id":"a1","name":"Grüße.pdf","mimeType":"application/pdf","size":9007199254740993}}"#,
        r#"{"type":"contact","contact":{"name":{"first":"Ada"},"phones":[{"value":"+15550100"}]}}"#,
        r#"{"type":"richlink","url":"https://example.com/?q=1&r=%20","title":"A \"link\"","summary":null}"#,
        r#"{"type":"reaction","reaction":"love","target":{"id":"m0"},"removed":false}"#,
        r#"{"type":"group","items":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#,
        r#"{"type":"hologram","depth":1e3,"nested":{"z":1,"a":[ ]}}"#,
    ];
    let message = |(number, content): (usize, &str)| {
        format!(
            "{{ \"event\" : \"messages\",\r\n\t\"message\":{{\"id\":\"c{number}\",\"platform\":\"imessage\",\
             \"direction\":\"inbound\",\"timestamp\":\"2026-01-02T03:04:05Z\",\"sender\":{{\"id\":\"s\",\
             \"platform\":\"imessage\"}},\"space\":{{\"id\":\"p\",\"platform\":\"imessage\"}},\"content\":{content}}} }}\n"
        )
    };
    let mut bodies: Vec<Bytes> = contents.into_iter().enumerate().map(message).map(Bytes::from).collect();
    bodies.push(Bytes::from_static(br#"{"zebra":[1,2,{}],"event":"something.new/v2","alpha":0.10}"#));
    bodies
}

#[tokio::test]
async fn every_content_type_is_delivered_with_exact_headers_bytes_and_signatures() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let project = server.create_project("contract").await;
    let path = "/hooks/a%20b?key=v&key=%2F;x";
    let hook = client.register(&project, &receiver.url(path)).await;

    let mut accepted = Vec::new();
    for body in corpus() {
        accepted.push(accept(&client, &project, body).await);
    }
    let report = all_arrive(&receiver, &hook, &accepted).await;
    assert_eq!((report.attempts, report.verified), (accepted.len(), accepted.len()));

    let got: Vec<_> = receiver.look(|memory| memory.at(path).cloned().collect());
    for (request, event) in got.iter().zip(&accepted) {
        let header = |name: &str| request.headers.get(name).unwrap_or_else(|| panic!("{name} in {request:?}"));
        assert_eq!(request.method, "POST");
        assert_eq!(request.body, event.body);
        assert_eq!(header("content-type"), "application/json");
        let version = header("user-agent").strip_prefix("spectrum-webhook/").expect("the program's name");
        assert!(!version.is_empty() && version.bytes().all(|byte| byte.is_ascii_graphic()), "{version}");
        let body: serde_json::Value = serde_json::from_slice(&event.body).expect("JSON");
        assert_eq!(header("x-spectrum-event"), body["event"]);
        assert_eq!(header("x-spectrum-webhook-id"), hook.id);
        assert_eq!(header("x-spectrum-event-id"), event.id);
        assert_eq!(header("x-spectrum-attempt"), "1");
        assert_eq!(header("webhook-id"), event.id);
        assert_eq!(header("webhook-timestamp"), header("x-spectrum-timestamp"));
        assert_eq!(header("x-spectrum-signature").len(), 67);
        assert!(request.sequence().is_some_and(|sequence| sequence < 1 << 53));
        let known = [
            "host",
            "content-length",
            "content-type",
            "user-agent",
            "accept",
            "traceparent",
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
        ];
        for (name, _) in &request.headers.0 {
            let name = name.to_ascii_lowercase();
            assert!(known.contains(&name.as_str()) || name.starts_with("x-spectrum-"), "`{name}` was sent");
        }
    }
}

#[tokio::test]
async fn the_standard_secret_and_the_hexadecimal_one_are_the_same_key() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let project = server.create_project("standard").await;
    let hook = client.register(&project, &receiver.url("/")).await;
    let standard = hook.data["standardSigningSecret"].as_str().expect("a standard secret");
    let key = spectrum_webhook_receiver::Key::of(standard).expect("a standard secret");
    let accepted = accept_texts(&client, &project, "standard", 1).await;
    all_arrive(&receiver, &hook, &accepted).await;
    let request = receiver.look(|memory| memory.requests().next().cloned()).expect("a request");
    verify(&key, &request.headers, &request.body, request.wall, TOLERANCE).expect("a genuine delivery");
}

#[tokio::test]
async fn attempts_are_counted_and_signed_anew_and_retry_after_is_honoured_up_to_the_cap() {
    let settings = Settings::quick().set("SPECTRUM_RETRY_CAP", "3s").set("SPECTRUM_HOLD_AFTER", "1s");
    let server = Server::start(settings).await;
    let client = server.client();
    let status = |status| Reply::status(http::StatusCode::from_u16(status).expect("a status"));
    let receiver = Receiver::on_loopback(move |request: &Recorded| match request.nth {
        1 => status(503).header("Retry-After", "2"),
        2 => status(429).header("Retry-After", &httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(4))),
        3 => status(503).header("Retry-After", "86400"),
        // The wish counts on 429 and 503 only.
        4 => status(500).header("Retry-After", "86400"),
        _ => Reply::ok(),
    })
    .expect("a receiver");
    let project = server.create_project("again").await;
    let hook = client.register(&project, &receiver.url("/")).await;
    let accepted = accept_texts(&client, &project, "again", 1).await;
    all_arrive(&receiver, &hook, &accepted).await;

    let got: Vec<_> = receiver.look(|memory| memory.requests().cloned().collect());
    let attempts: Vec<_> = got.iter().map(|request| request.attempt().expect("a number")).collect();
    assert_eq!(attempts, [1, 2, 3, 4, 5]);
    for (request, next) in got.iter().zip(&got[1..]).take(3) {
        let gap = next.arrived - request.arrived;
        // What was asked for is 2 s, then 3 to 4 s by a date of whole seconds, cut to the cap, then the cap.
        assert!(gap >= Duration::from_millis(1_900), "attempt {:?} came after {gap:?}", next.attempt());
        let stamp = |request: &Recorded| {
            request.headers.get("x-spectrum-timestamp").and_then(|text| text.parse::<u64>().ok()).expect("a time")
        };
        assert!(stamp(next) > stamp(request), "the time stamp is not taken anew");
        let wall = next.wall.duration_since(UNIX_EPOCH).expect("a time").as_secs();
        assert!(wall.abs_diff(stamp(next)) <= 2, "{} at {wall}", stamp(next));
        assert_ne!(next.headers.get("x-spectrum-signature"), request.headers.get("x-spectrum-signature"));
        assert_eq!(next.event_id(), request.event_id());
        assert_eq!(next.body, request.body);
    }
}

#[tokio::test]
async fn a_rotation_signs_with_both_keys_until_its_overlap_ends() {
    let server = Server::start(Settings::quick()).await;
    let client = server.client();
    let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
    let project = server.create_project("rotation").await;
    let hook = client.register(&project, &receiver.url("/")).await;
    let rotate = async |seconds: u64| {
        let path = format!("/webhooks/{}/secret/rotate", hook.id);
        let body = json!({ "overlapSeconds": seconds });
        let data = client.call(&project, reqwest::Method::POST, &path, Some(&body)).await.expect_data(200);
        let text = |name: &str| data[name].as_str().expect("a secret").to_owned();
        let (hexadecimal, standard) = (text("signingSecret"), text("standardSigningSecret"));
        assert!(hexadecimal.len() == 64 && standard.starts_with("whsec_"));
        spectrum_webhook_receiver::Key::of(&hexadecimal).expect("a secret")
    };
    let next = async |number: usize| {
        accept(&client, &project, text("rotation", number)).await;
        requests(&receiver, "/", number + 1).await;
        receiver.look(|memory| memory.at("/").nth(number).cloned()).expect("a request")
    };
    let judged = |key: &spectrum_webhook_receiver::Key, request: &Recorded| {
        verify(key, &request.headers, &request.body, request.wall, TOLERANCE)
    };
    let signatures =
        |request: &Recorded| request.headers.get("webhook-signature").expect("a signature").split(' ').count();
    let older = Err(vec![Problem::Signature { header: "X-Spectrum-Signature", diagnosis: Diagnosis::OlderKey }]);

    let before = next(0).await;
    assert_eq!((judged(&hook.key, &before), signatures(&before)), (Ok(()), 1));

    let second = rotate(604_800).await;
    let during = next(1).await;
    assert_eq!(signatures(&during), 2);
    assert_eq!(judged(&hook.key, &during), Ok(()), "the old key's holder takes both headers");
    assert_eq!(judged(&second, &during), older, "the new key's holder takes the standard headers");

    // Without an overlap the new key is the only one at once.
    let third = rotate(0).await;
    let after = next(2).await;
    assert_eq!((judged(&third, &after), signatures(&after)), (Ok(()), 1));
    assert!(judged(&second, &after).is_err() && judged(&hook.key, &after).is_err());

    // An overlap ends by itself.
    let fourth = rotate(1).await;
    let mut number = 3;
    while judged(&fourth, &*next(number).await) == older {
        number += 1;
        assert!(number < 5_000, "the overlap of one second does not end");
    }
    let ended = next(number + 1).await;
    assert_eq!((judged(&fourth, &ended), signatures(&ended)), (Ok(()), 1));
    taken(&receiver, "/", number + 2).await;
}
