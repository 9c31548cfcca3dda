//! The description of the API. Every call of every test here goes through [`is_described`]: no status, header or body
//! that the description does not have.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use jsonschema::Validator;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::world::{Api, NOBODY, Reply, api};

static DESCRIPTION: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&spectrum_webhook_ingest::description()).expect("JSON"));

/// What was compiled, by where it stands in the description.
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// The object behind a reference, or this one.
fn resolved(value: &Value) -> &Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => {
            let target = DESCRIPTION.pointer(reference.trim_start_matches('#'));
            resolved(target.unwrap_or_else(|| panic!("nothing is at {reference}")))
        }
        None => value,
    }
}

fn paths() -> &'static Map<String, Value> {
    DESCRIPTION["paths"].as_object().expect("paths")
}

/// The described path that serves this one.
fn template(path: &str) -> Option<&'static str> {
    let path = path.split('?').next().unwrap_or_default();
    let path = path.strip_suffix('/').unwrap_or(path);
    let asked: Vec<&str> = path.split('/').collect();
    let fits = |template: &&String| {
        let parts: Vec<&str> = template.split('/').collect();
        let fits = |(part, asked): (&&str, &&str)| part == asked || (part.starts_with('{') && !asked.is_empty());
        parts.len() == asked.len() && parts.iter().zip(&asked).all(fits)
    };
    // A word goes before an id.
    paths().keys().filter(fits).min_by_key(|template| template.matches('{').count()).map(String::as_str)
}

fn validator(place: &str, schema: &Value, formats: bool) -> Arc<Validator> {
    let mut validators = VALIDATORS.lock();
    if let Some(known) = validators.get(place) {
        return Arc::clone(known);
    }
    let whole = json!({ "allOf": [schema], "components": DESCRIPTION["components"] });
    let compiled = jsonschema::options().should_validate_formats(formats).build(&whole);
    let compiled = Arc::new(compiled.unwrap_or_else(|error| panic!("{place}: {error}")));
    validators.insert(place.to_owned(), Arc::clone(&compiled));
    compiled
}

fn conforms(place: &str, schema: &Value, value: &Value, formats: bool) {
    let errors: Vec<String> = validator(place, schema, formats)
        .iter_errors(value)
        .map(|error| format!("{} at {:?}", error, error.instance_path().to_string()))
        .collect();
    assert!(errors.is_empty(), "{place}: {value} is not as described: {errors:#?}");
}

/// The schemas that say something about the fields of the same object, or of the same list's elements.
fn alternatives(schema: &'static Value, found: &mut Vec<&'static Value>) {
    let schema = resolved(schema);
    found.push(schema);
    for several in ["allOf", "oneOf", "anyOf"] {
        for schema in schema.get(several).and_then(Value::as_array).into_iter().flatten() {
            alternatives(schema, found);
        }
    }
}

/// Asserts that every field of an answer is in the description. A client has to live with others; these tests need not.
fn is_documented(place: &str, schemas: &[&'static Value], value: &Value) {
    let mut all = Vec::new();
    schemas.iter().for_each(|schema| alternatives(schema, &mut all));
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let named: Vec<&Value> = all.iter().filter_map(|schema| schema.get("properties")?.get(name)).collect();
                assert!(!named.is_empty(), "{place}: the field {name} is not described: {fields:?}");
                is_documented(&format!("{place}.{name}"), &named, value);
            }
        }
        Value::Array(elements) => {
            let items: Vec<&Value> = all.iter().filter_map(|schema| schema.get("items")).collect();
            elements.iter().for_each(|element| is_documented(place, &items, element));
        }
        _ => {}
    }
}

/// Asserts that an answer, and a body that was taken, are as described.
pub(crate) fn is_described(method: &str, path: &str, body: Option<&[u8]>, reply: &Reply) {
    let status = reply.status.as_u16();
    let Some(template) = template(path) else {
        assert_eq!(status, 404, "{method} {path} is not described: {reply:?}");
        return;
    };
    let Some(call) = paths()[template].get(method.to_ascii_lowercase()) else {
        assert_eq!(status, 405, "{method} {path} is not described: {reply:?}");
        return;
    };
    let place = format!("{method} {template} {status}");
    let response = call["responses"].get(status.to_string());
    let response = resolved(response.unwrap_or_else(|| panic!("{place} is not described: {reply:?}")));
    for name in response.get("headers").and_then(Value::as_object).into_iter().flat_map(Map::keys) {
        assert!(reply.header(name).is_some(), "{place} lacks {name}: {reply:?}");
    }
    let kind = reply.header("content-type").and_then(|kind| kind.split(';').next()).unwrap_or_default();
    let content = response["content"].get(kind);
    let schema = &content.unwrap_or_else(|| panic!("{place} is not described as {kind:?}"))["schema"];
    if kind == "application/json" {
        conforms(&place, schema, &reply.json(), true);
        if template != "/openapi.json" {
            is_documented(&place, &[schema], &reply.json());
        }
    } else if kind == "application/x-ndjson" {
        static LINE: LazyLock<Value> = LazyLock::new(|| {
            let done = "#/components/schemas/Success_AcceptedEvent";
            json!({ "oneOf": [{ "$ref": done }, { "$ref": "#/components/schemas/Problem" }] })
        });
        for line in reply.text.lines() {
            let line = serde_json::from_str(line).expect("JSON");
            conforms(&place, &LINE, &line, true);
            is_documented(&place, &[&*LINE], &line);
        }
    }
    // Numbers that are too large for this reader are none of the described fields.
    let taken = body.filter(|_| reply.status.is_success()).and_then(|body| serde_json::from_slice::<Value>(body).ok());
    let described = call.get("requestBody").and_then(|body| body["content"].get("application/json"));
    if let (Some(taken), Some(described)) = (taken, described) {
        // URLs need not be what the format wants.
        conforms(&format!("the body of {method} {template}"), &described["schema"], &taken, false);
    }
}

const METHODS: [&str; 7] = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE"];

#[tokio::test]
async fn what_is_described_is_served_with_and_without_a_slash_and_no_other_method_is() {
    let api = api();
    for (template, calls) in paths() {
        let calls = calls.as_object().expect("calls");
        let mut path = template.clone();
        while let (Some(from), Some(to)) = (path.find('{'), path.find('}')) {
            let word = if &path[from..=to] == "{asset}" { "swagger-ui.css".to_owned() } else { NOBODY.to_string() };
            path.replace_range(from..=to, &word);
        }
        for path in [path.clone(), format!("{path}/")] {
            for method in METHODS {
                let reply = api.send(method, &path, &[], "").await;
                if calls.contains_key(&method.to_ascii_lowercase()) {
                    let open = !template.starts_with("/projects/");
                    assert_eq!(reply.status, if open { 200 } else { 401 }, "{method} {path}: {reply:?}");
                } else {
                    reply.is_problem(405, "method_not_allowed", "Allow");
                    let allow = reply.header("allow").expect("the methods");
                    let mut allowed: Vec<String> = allow.split(',').map(str::to_ascii_lowercase).collect();
                    allowed.retain(|method| method != "head");
                    allowed.sort();
                    assert_eq!(allowed, calls.keys().cloned().collect::<Vec<_>>(), "{path}");
                }
            }
        }
    }
    assert!(paths().len() > 20 && api.world.calls.lock().is_empty());
}

#[test]
fn the_committed_description_is_what_the_handlers_say() {
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let committed = std::fs::read_to_string(place).unwrap_or_default();
    let generated = spectrum_webhook_ingest::description();
    let differs = committed.lines().zip(generated.lines()).position(|(committed, generated)| committed != generated);
    assert!(
        committed == generated,
        "docs/openapi.json is not what the handlers say, from line {} on. Write it anew, look at the difference, and \
         commit it:\n\n    cargo run --package spectrum-webhook -- openapi > docs/openapi.json\n",
        differs.unwrap_or_else(|| committed.lines().count().min(generated.lines().count())) + 1
    );
}

/// Calls `look` with every value inside this one, and where it stands.
fn each(place: &str, value: &'static Value, look: &mut impl FnMut(&str, &'static Value)) {
    look(place, value);
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| each(&format!("{place}/{name}"), value, look)),
        Value::Array(elements) => elements.iter().for_each(|element| each(place, element, look)),
        _ => {}
    }
}

#[test]
fn the_description_holds_together_and_its_examples_are_what_it_says() {
    assert_eq!(DESCRIPTION["openapi"], "3.1.0");
    assert_eq!(DESCRIPTION["servers"][0]["url"], "/");
    let mut examples = 0;
    let mut ids = Vec::new();
    each("", &DESCRIPTION, &mut |place, value| {
        resolved(value);
        if let Some(id) = value.get("operationId").and_then(Value::as_str) {
            assert!(!ids.contains(&id), "{id} is there twice");
            ids.push(id);
        }
        let given = match value.get("examples") {
            Some(Value::Array(given)) => Some((value, given.iter().collect::<Vec<_>>())),
            Some(Value::Object(given)) => {
                value.get("schema").map(|schema| (schema, given.values().map(|given| &given["value"]).collect()))
            }
            _ => None,
        };
        if let Some((schema, given)) = given {
            examples += given.len();
            given.iter().for_each(|given| conforms(&format!("the examples at {place}"), schema, given, true));
        }
    });
    assert!(ids.len() > 25 && examples > 50, "{} calls, {examples} examples", ids.len());
    for (name, schema) in DESCRIPTION["components"]["schemas"].as_object().expect("schemas") {
        assert!(jsonschema::meta::is_valid(schema), "{name} is no JSON schema");
        let reference = format!("\"#/components/schemas/{name}\"");
        assert!(DESCRIPTION.to_string().contains(&reference), "nothing refers to {name}");
    }
}

async fn get(api: &Api, path: &str) -> Reply {
    api.send("GET", path, &[], "").await
}

#[tokio::test]
async fn the_page_needs_nothing_but_this_server_and_lets_nothing_else_in() {
    let api = api();
    let description = get(&api, "/openapi.json").await;
    assert_eq!(description.header("content-type"), Some("application/json"));
    assert_eq!(description.text, spectrum_webhook_ingest::description());
    let page = get(&api, "/docs").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let links: Vec<&str> = page
        .text
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix("src=\"").or_else(|| word.strip_prefix("href=\"")))
        .filter_map(|word| word.split('"').next())
        .collect();
    assert_eq!(links.len(), page.text.matches("src=").count() + page.text.matches("href=").count());
    assert!(links.len() >= 5 && !page.text.contains("://") && !page.text.contains("<script>"), "{}", page.text);
    for link in &links {
        let part = get(&api, link).await;
        assert_eq!(part.status, 200, "{link}");
        let (name, kind) = (*link, part.header("content-type").expect("a type"));
        let expected = match name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            _ => "application/json",
        };
        assert_eq!(kind, expected, "{link}");
    }
    let starts = get(&api, "/docs/swagger-initializer.js").await;
    assert!(starts.text.contains("\"url\": \"/openapi.json\"") && !starts.text.contains("://"), "{}", starts.text);
    for reply in [&description, &page, &starts] {
        let policy = reply.header("content-security-policy").expect("a policy");
        for word in ["default-src 'none'", "script-src 'self';", "connect-src 'self';", "frame-ancestors 'none'"] {
            assert!(policy.contains(word), "{policy}");
        }
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("x-frame-options"), Some("DENY"));
        assert_eq!(reply.header("cache-control"), Some("public, max-age=300"));
    }
    for unknown in ["/docs/index.html", "/docs/%ff", "/docs/..%2fopenapi.json", "/docs/oauth2-redirect.html"] {
        get(&api, unknown).await.is_problem(404, "not_found", "/docs");
    }
}
