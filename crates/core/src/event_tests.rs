//! What passes and what is refused, by list and by chance.

use proptest::prelude::*;

use super::*;

fn read(body: impl AsRef<[u8]>) -> Result<Envelope, EventError> {
    Envelope::read(body.as_ref())
}

fn event_of(body: impl AsRef<[u8]>) -> String {
    let body = body.as_ref();
    read(body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(body))).event_type
}

fn id_in(body: &str) -> Option<String> {
    read(body).expect("an event").message_id
}

#[test]
fn the_name_and_the_messages_id_are_found() {
    let body = r#"{"event":"messages","space":{"id":"s"},"message":{"platform":"imessage","id":"m-1","content":{}}}"#;
    assert_eq!(read(body), Ok(Envelope { event_type: "messages".into(), message_id: Some("m-1".into()) }));
}

#[test]
fn what_nobody_asks_for_passes_untouched() {
    for body in [
        r#"{"event":"a","x":"\ud800"}"#,
        r#"{"event":"a","\udfff":1}"#,
        r#"{"event":"a","message":{"\ud800":1,"id":"x"}}"#,
        r#"{"x":{"event":"decoy","event":2},"event":"a"}"#,
        r#"{"event":"a","n":123456789012345678901234567890}"#,
        r#"{"event":"a","n":[1E400,-1e-999999,0.1]}"#,
        r#"{"event":"a","x":1,"x":2,"x":{"y":1,"y":2}}"#,
        "{\"event\":\"a\"}\r\n\t ",
        " \n {\"event\" : \"a\"}",
        r#"{"\u0065vent":"a"}"#,
        r#"{"event":"\u0061"}"#,
        r#"{"Event":"b","event ":"c","event":"a"}"#,
        r#"{"event":"a","x":"\u0000\"\\\/ü𝄞"}"#,
        r#"{"event":"a","":null,"x":[[],{},true,false]}"#,
    ] {
        assert_eq!(event_of(body), "a", "{body}");
    }
}

#[test]
fn depth_is_no_reason_to_refuse_and_overflows_no_stack() {
    for depth in [1_000, 100_000] {
        for (open, close) in [("[", "]"), (r#"{"event":"#, "}")] {
            let nested = format!("{}0{}", open.repeat(depth), close.repeat(depth));
            assert_eq!(event_of(format!(r#"{{"x":{nested},"event":"a"}}"#)), "a");
            assert_eq!(id_in(&format!(r#"{{"event":"a","message":{{"x":{nested},"id":"m"}}}}"#)), Some("m".into()));
            assert_eq!(id_in(&format!(r#"{{"event":"a","message":{nested}}}"#)), None);
            assert_eq!(read(format!(r#"{{"event":{nested}}}"#)), Err(EventError::EventNotString));
        }
        let array = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(read(array), Err(EventError::NotAnObject));
        assert!(matches!(read("[".repeat(depth)), Err(EventError::NotJson { .. })));
    }
}

#[test]
fn what_is_not_an_event_is_refused_by_name() {
    let long = format!(r#"{{"event":"{}"}}"#, "a".repeat(65));
    for (body, code) in [
        ("", "event_empty"),
        (" \r\n\t", "event_empty"),
        ("{", "event_not_json"),
        ("not json", "event_not_json"),
        ("\u{feff}{\"event\":\"a\"}", "event_not_json"),
        ("{\"event\":\"a\"} {}", "event_not_json"),
        ("{\"event\":\"a\"}\n{\"event\":\"b\"}", "event_not_json"),
        ("{\"event\":\"a\",}", "event_not_json"),
        ("{'event':'a'}", "event_not_json"),
        ("{\"event\":\"a\nb\"}", "event_not_json"),
        ("{\"event\":\"a\",\"x\":\"\\u12\"}", "event_not_json"),
        ("{\"event\":\"a\",\"x\":01}", "event_not_json"),
        ("[{\"event\":\"a\"}]", "event_not_an_object"),
        ("\"event\"", "event_not_an_object"),
        ("null", "event_not_an_object"),
        ("1E400", "event_not_an_object"),
        ("{}", "event_missing"),
        (r#"{"x":{"event":"a"}}"#, "event_missing"),
        (r#"{"Event":"a"}"#, "event_missing"),
        (r#"{"event":null}"#, "event_not_a_string"),
        (r#"{"event":1}"#, "event_not_a_string"),
        (r#"{"event":["a"]}"#, "event_not_a_string"),
        (r#"{"event":{"event":"a"}}"#, "event_not_a_string"),
        (r#"{"event":"a","event":"a"}"#, "event_repeated"),
        (r#"{"event":"a","\u0065vent":"b"}"#, "event_repeated"),
        (r#"{"event":"a","x":1,"event":null}"#, "event_repeated"),
        (r#"{"event":""}"#, "event_malformed"),
        (r#"{"event":"a b"}"#, "event_malformed"),
        (r#"{"event":"a\nb"}"#, "event_malformed"),
        (r#"{"event":"a\r\nX-Evil: 1"}"#, "event_malformed"),
        (r#"{"event":"a\u0000"}"#, "event_malformed"),
        (r#"{"event":"a\u007f"}"#, "event_malformed"),
        (r#"{"event":"ü"}"#, "event_malformed"),
        (r#"{"event":"\ud800"}"#, "event_malformed"),
        (long.as_str(), "event_malformed"),
    ] {
        let error = read(body).expect_err(body);
        assert_eq!(error.code(), code, "{body}");
        assert!(error.to_string().contains(": "), "{error} says what to do");
    }
    assert_eq!(read(b"{\"event\":\"a\",\"x\":\"\xff\"}"), Err(EventError::NotUtf8));
    assert_eq!(read("{\"event\":\"a\",\n\"x\":!}"), Err(EventError::NotJson { line: 2, column: 5 }));
}

#[test]
fn sixty_four_characters_of_every_visible_kind_pass() {
    assert_eq!(event_of(format!(r#"{{"event":"{}"}}"#, "~".repeat(64))), "~".repeat(64));
    assert_eq!(event_of(r##"{"event":"!\"#$%&'()*+,-.\/:;<=>?@[\\]^_`{|}~"}"##), "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~");
}

#[test]
fn only_text_in_an_object_is_a_messages_id_and_the_last_one_counts() {
    for (message, id) in [
        (r#"{"id":"m"}"#, Some("m")),
        (r#"{"id":""}"#, Some("")),
        (r#"{"id":"a","id":"b"}"#, Some("b")),
        (r#"{"id":"a","id":1}"#, None),
        (r#"{"\u0069d":"\ud834\udd1e"}"#, Some("𝄞")),
        (r#"{"id":"\ud834"}"#, None),
        (r#"{"id":1E400}"#, None),
        (r#"{"id":null}"#, None),
        (r#"{"x":{"id":"m"}}"#, None),
        (r#"[{"id":"m"}]"#, None),
        (r#""m""#, None),
        ("null", None),
    ] {
        assert_eq!(id_in(&format!(r#"{{"event":"a","message": {message} }}"#)), id.map(String::from), "{message}");
    }
    assert_eq!(id_in(r#"{"event":"a","message":{"id":"a"},"message":{"id":"b"}}"#), Some("b".into()));
    assert_eq!(id_in(r#"{"event":"a","message":{"id":"a"},"message":1}"#), None);
    assert_eq!(id_in(r#"{"event":"a","id":"m"}"#), None);
}

/// Any JSON value, written by a generator of its own.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        Just("1E400".to_owned()),
        Just(r#""\ud800""#.to_owned()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("a string")),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        let key =
            prop_oneof![Just("event".to_owned()), Just("message".to_owned()), Just("id".to_owned()), "[a-z]{0,3}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((key, inner), 0..6).prop_map(|fields| {
                let fields: Vec<String> = fields.iter().map(|(key, value)| format!("\"{key}\" : {value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = Envelope::read(&body);
    }

    #[test]
    fn every_name_of_visible_ascii_is_found_among_anything(name in "[!-~]{1,64}", before in json(), after in json()) {
        let quoted = serde_json::to_string(&name).expect("a string");
        let body = format!("{{\"x\":{before},\"event\":{quoted},\"y\":{after}}}");
        prop_assert_eq!(Envelope::read(body.as_bytes()).map(|found| found.event_type), Ok(name));
    }

    #[test]
    fn a_second_event_is_refused_wherever_it_stands(before in json(), second in json()) {
        let body = format!("{{\"event\":\"a\",\"x\":{before},\"\\u0065ven\\u0074\":{second}}}");
        prop_assert_eq!(Envelope::read(body.as_bytes()), Err(EventError::EventRepeated));
    }

    #[test]
    fn every_text_is_kept_as_the_messages_id(id in any::<String>(), other in json()) {
        let quoted = serde_json::to_string(&id).expect("a string");
        let body = format!("{{\"event\":\"a\",\"message\":{{\"x\":{other},\"id\":{quoted},\"y\":{other}}}}}");
        prop_assert_eq!(Envelope::read(body.as_bytes()).map(|found| found.message_id), Ok(Some(id)));
    }

    #[test]
    fn a_cut_event_is_refused(value in json(), share in 0.0_f64..1.0) {
        let body = format!("{{\"event\":\"a\",\"x\":{value}}}");
        let cut = ((body.len() - 1) as f64 * share) as usize;
        prop_assert!(Envelope::read(&body.as_bytes()[..cut]).is_err());
    }
}
