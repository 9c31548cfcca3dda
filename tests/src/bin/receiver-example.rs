//! A receiver of events: checks the signature over the raw body, stores, answers.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

fn is_genuine(secret: &str, headers: &HeaderMap, body: &[u8]) -> Option<()> {
    let timestamp = headers.get("X-Spectrum-Timestamp")?.to_str().ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let seconds: u64 = timestamp.parse().ok()?;
    if now.abs_diff(seconds) > 300 {
        return None;
    }
    let signature = headers.get("X-Spectrum-Signature")?.to_str().ok()?;
    let given = hex::decode(signature.strip_prefix("v0=")?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(format!("v0:{timestamp}:").as_bytes());
    mac.update(body);
    mac.verify_slice(&given).ok() // In constant time.
}

/// Store the event here, unless its id is stored already; work on it later.
async fn store(_event_id: &str, _body: &[u8]) -> std::io::Result<()> {
    Ok(())
}

// The raw bytes, up to axum's limit of 2 MB.
async fn receive(State(secret): State<Arc<str>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if is_genuine(&secret, &headers, &body).is_none() {
        return StatusCode::UNAUTHORIZED;
    }
    let event_id = headers.get("X-Spectrum-Event-Id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    match store(event_id, &body).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE, // It comes again.
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret: Arc<str> = std::env::var("SECRET")?.into();
    let port = std::env::var("PORT")?.parse()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, Router::new().route("/", post(receive)).with_state(secret)).await?;
    Ok(())
}
