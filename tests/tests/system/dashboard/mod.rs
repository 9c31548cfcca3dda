//! The dashboard in a real browser, over real deliveries, embedded and on a cluster.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `browser` | Chromium, driven over WebDriver |
//! | `teammate` | adding a webhook, watching it, sending again |
//! | `letters` | dead letters and replays |
//! | `outage` | a URL that is down, and comes back |
//! | `guests` | who is let in, and what each sees |
//! | `operator` | the deployment as a whole |
//! | `reference` | the API reference, and the signature helper |
//! | `every_page` | hostile content, accessibility, narrow and wide, light and dark, without scripts, ten thousand attempts |
//! | `pictures` | the pictures of the documents |

mod browser;
mod every_page;
mod guests;
mod letters;
mod operator;
mod outage;
mod pictures;
mod reference;
mod teammate;

use serde_json::json;
use spectrum_webhook_testkit::process::{Project, Server};

use self::browser::Browser;

/// What an operator signs in with.
const OPERATOR: &str = "an-operators-token-of-more-than-32-characters";

/// Settings of all servers here.
const SETTINGS: [(&str, &str); 2] = [("SPECTRUM_OPERATOR_TOKEN", OPERATOR), ("SPECTRUM_HOLD_AFTER", "300ms")];

/// A browser at a server, signed in to a project.
async fn signed_in(server: &Server, project: &Project) -> Browser {
    let browser = at(server).await;
    browser.sign_in(&project.id, &project.secret).await;
    browser.shows("Webhooks").await;
    browser
}

/// A browser at a server.
async fn at(server: &Server) -> Browser {
    Browser::open(format!("http://{}", server.api())).await
}

/// The path of a page of a project.
fn page(project: &Project, behind: &str) -> String {
    format!("/dashboard/projects/{}{behind}", project.id)
}

/// Waits until the log has a line that shows all of this.
async fn line(browser: &Browser, texts: &[&str]) {
    let script = format!(
        "[...document.querySelectorAll('.log tbody tr')].some((row) => {}.every((text) => row.innerText.includes(text)))",
        json!(texts)
    );
    browser.wait(&format!("a line with {texts:?}"), &script).await;
}
