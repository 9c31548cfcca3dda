//! The API reference, whose playground calls this server; and the signature helper, which calls nobody.

use serde_json::json;
use spectrum_webhook_testkit::process::{Server, Settings};

use super::{at, page, signed_in};

#[tokio::test(flavor = "multi_thread")]
async fn the_references_playground_calls_this_server() {
    let server = Server::start(Settings::quick()).await;
    let project = server.create_project("playground").await;
    let browser = at(&server).await;
    browser.go("/docs").await;
    browser.wait("the description", "document.querySelector('#operations-Webhooks-showProject')").await;
    browser.click(".auth-wrapper .authorize").await;
    browser.wait("its dialog", "document.querySelector('.auth-container input[name=username]')").await;
    browser.fill(".auth-container input[name=username]", &project.id).await;
    browser.fill(".auth-container input[name=password]", &project.secret).await;
    browser.click(".auth-container:has(input[name=username]) .auth.authorize").await;
    browser.click(".auth-container .btn-done").await;
    browser.click("#operations-Webhooks-showProject .opblock-summary-control").await;
    browser.wait("the call", "document.querySelector('#operations-Webhooks-showProject input')").await;
    browser.fill("#operations-Webhooks-showProject input", &project.id).await;
    browser.click("#operations-Webhooks-showProject .execute").await;
    browser
        .wait(
            "its answer",
            "document.querySelector('.live-responses-table tbody .response-col_status')?.innerText.startsWith('200')",
        )
        .await;
    assert!(browser.text(".live-responses-table").await.contains("playground"));
    let foreign = "return performance.getEntriesByType('resource').map((one) => one.name).filter((name) => !name.startsWith(location.origin) && !name.startsWith('data:'))";
    assert_eq!(browser.run(foreign, Vec::new()).await, json!([]), "nothing comes from elsewhere");
    browser.close().await;
}

const SECRET: &str = "a3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29ba3f8e29b5c7e9b2d";
const CAPTURED: &str = "POST / HTTP/1.1\nX-Spectrum-Timestamp: 1747242392\nX-Spectrum-Signature: v0=94fe3acd7881746f844b699addf014eb70325cfc6735b74b495c4d2713ce76db\n\n{\"event\":\"messages\"}";

#[tokio::test(flavor = "multi_thread")]
async fn the_signature_helper_says_which_check_fails_and_sends_nothing() {
    let server = Server::start(Settings::quick()).await;
    let project = server.create_project("signature").await;
    let browser = signed_in(&server, &project).await;
    browser.go(&page(&project, "/signature")).await;
    let decoded = CAPTURED.replace("94fe3acd7881746f844b699addf014eb70325cfc6735b74b495c4d2713ce76db", &hex_decoded());
    for (request, secret, says) in [
        (CAPTURED.to_owned(), SECRET.to_owned(), "The signature fits. It is"),
        (CAPTURED.to_owned(), format!("0{}", &SECRET[1..]), "It was made with another secret, or over other bytes"),
        (CAPTURED.to_owned(), "short".to_owned(), "A signing secret is 64 characters"),
        (format!("{CAPTURED}\n"), SECRET.to_owned(), "your capture has one too many"),
        (CAPTURED.replace("X-Spectrum-Timestamp", "X-Other"), SECRET.to_owned(), "X-Spectrum-Timestamp is missing"),
        (CAPTURED.replace("\n\n{\"event\":\"messages\"}", ""), SECRET.to_owned(), "there is no body"),
        (decoded, SECRET.to_owned(), "decoded from hex"),
    ] {
        let fill = "document.querySelector('#request').value = arguments[0]; document.querySelector('#key').value = arguments[1]; document.querySelector('[data-result]').hidden = true";
        browser.run(fill, vec![json!(request), json!(secret)]).await;
        browser.press("Check").await;
        browser.wait("the result", "!document.querySelector('[data-result]').hidden").await;
        let said = browser.text("[data-result]").await;
        assert!(said.contains(says), "{says:?}: {said}");
    }
    let script = "return performance.getEntriesByType('resource').filter((one) => !one.name.includes('/dashboard/assets/')).length";
    assert_eq!(browser.run(script, Vec::new()).await, json!(0), "nothing was sent");
    assert!(!browser.path().await.contains(SECRET));
    browser.close().await;
}

/// The signature of someone whose key is the decoded bytes.
fn hex_decoded() -> String {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let key = hex::decode(SECRET).expect("hex");
    let mac = Hmac::<sha2::Sha256>::new_from_slice(&key).expect("a key");
    hex::encode(mac.chain_update("v0:1747242392:{\"event\":\"messages\"}").finalize().into_bytes())
}
