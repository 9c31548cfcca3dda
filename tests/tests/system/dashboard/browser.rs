//! A real browser, driven over WebDriver. Chromium and its driver are Debian's; nothing but this machine is reached.

use std::fmt::Debug;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine as _;
use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use spectrum_webhook_testkit::services::janitor;
use tokio::process::{Child, Command};
use url::Url;

use crate::world::PATIENCE;

/// What is asked of the driver beyond the standard.
#[derive(Debug)]
struct Beyond {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Beyond {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}

/// What every page gets before its own script: a memory of what its policy refused, and a mark that hostile content sets
/// if it runs.
const WATCH: &str = "addEventListener('securitypolicyviolation', (event) => { \
                       sessionStorage.setItem('refused', (sessionStorage.getItem('refused') || '') + event.violatedDirective + ' ' + event.blockedURI + ' '); });";

/// A browser of its own, with nothing in it.
pub(super) struct Browser {
    client: Option<Client>,
    driver: Child,
    group: Pid,
    origin: String,
}

impl Browser {
    /// One that looks at the server with this address.
    pub(super) async fn open(origin: String) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver: tests/setup.sh installs it");
        let group = driver.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).expect("a process id");
        janitor::watch(group.as_raw_nonzero().get().unsigned_abs());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--hide-scrollbars",
            "--force-prefers-reduced-motion",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
        ];
        let wanted = json!({
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "binary": "/usr/bin/chromium", "args": arguments },
        });
        let Value::Object(wanted) = wanted else { unreachable!("it is an object") };
        let begun = Instant::now();
        let client = loop {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            match builder.capabilities(wanted.clone()).connect(&format!("http://127.0.0.1:{port}")).await {
                Ok(client) => break client,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "no browser: {error}"),
            }
            // The driver is still starting.
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let browser = Self { client: Some(client), driver, group, origin };
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": WATCH })).await;
        browser
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("an open browser")
    }

    async fn beyond(&self, path: &'static str, body: Value) -> Value {
        self.client().issue_cmd(Beyond { path, body }).await.expect("an answer of the driver")
    }

    /// A call of the browser's own protocol.
    pub(super) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.beyond("goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    /// Opens a page of the server.
    pub(super) async fn go(&self, path: &str) {
        self.client().goto(&format!("{}{path}", self.origin)).await.expect("a page");
    }

    /// Where it is, behind the server's address.
    pub(super) async fn path(&self) -> String {
        let url = self.client().current_url().await.expect("an address");
        url.as_str().strip_prefix(&self.origin).unwrap_or(url.as_str()).to_owned()
    }

    pub(super) async fn reload(&self) {
        self.client().refresh().await.expect("a reload");
    }

    /// Runs a script in the page; `arguments[0]` and so on are its arguments.
    pub(super) async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.client().execute(script, arguments).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until a script says `true`, whatever page is loaded meanwhile.
    #[track_caller]
    pub(super) fn wait(&self, what: &str, script: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let begun = Instant::now();
            // A page that is being left cannot be asked.
            while self.client().execute(&format!("return Boolean({script})"), Vec::new()).await.ok()
                != Some(json!(true))
            {
                if begun.elapsed() > PATIENCE {
                    panic!("{caller}: {what} does not come; {} shows:\n{}", self.path().await, self.text("body").await);
                }
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
        }
    }

    /// Waits until the page shows a text.
    #[track_caller]
    pub(super) fn shows(&self, text: &str) -> impl Future<Output = ()> {
        let script = format!("document.body.innerText.includes({})", json!(text));
        let what = format!("{text:?}");
        let wait = std::panic::Location::caller();
        async move {
            let begun = Instant::now();
            while self.client().execute(&format!("return {script}"), Vec::new()).await.ok() != Some(json!(true)) {
                if begun.elapsed() > PATIENCE {
                    panic!("{wait}: {what} is not shown; {} shows:\n{}", self.path().await, self.text("body").await);
                }
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
        }
    }

    /// The text of the first element of a selector; empty when there is none.
    pub(super) async fn text(&self, selector: &str) -> String {
        let script = "return document.querySelector(arguments[0])?.innerText ?? ''";
        let text = self.client().execute(script, vec![json!(selector)]).await.unwrap_or_default();
        text.as_str().unwrap_or_default().to_owned()
    }

    /// An attribute, or property, of the first element of a selector.
    pub(super) async fn value(&self, selector: &str, property: &str) -> String {
        let script = "return String(document.querySelector(arguments[0])?.[arguments[1]] ?? '')";
        self.run(script, vec![json!(selector), json!(property)]).await.as_str().unwrap_or_default().to_owned()
    }

    pub(super) async fn count(&self, selector: &str) -> u64 {
        let script = "return document.querySelectorAll(arguments[0]).length";
        self.run(script, vec![json!(selector)]).await.as_u64().unwrap_or_default()
    }

    /// Clicks the first element of a selector, as a person does: it must be there, and in front. A page that it leads to
    /// is waited for.
    #[track_caller]
    pub(super) fn click(&self, selector: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        let selector = selector.to_owned();
        async move { self.click_on(Locator::Css(&selector), caller).await }
    }

    /// Clicks the button, link or summary with this text.
    #[track_caller]
    pub(super) fn press(&self, text: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        let xpath = format!("//*[self::button or self::a or self::summary][normalize-space()={}]", json!(text));
        async move { self.click_on(Locator::XPath(&xpath), caller).await }
    }

    /// An element, once it is there: the page that has it may be on its way.
    async fn find(&self, locator: Locator<'_>, caller: &std::panic::Location<'_>) -> Element {
        let found = self.client().wait().at_most(PATIENCE).every(Duration::from_millis(40)).for_element(locator).await;
        match found {
            Ok(element) => element,
            Err(error) => {
                panic!("{caller}: {locator:?}: {error}; {} shows:\n{}", self.path().await, self.text("body").await)
            }
        }
    }

    /// A live page may put another element in the place of the one that was found: then that one is meant.
    async fn click_on(&self, locator: Locator<'_>, caller: &std::panic::Location<'_>) {
        loop {
            let element = self.find(locator, caller).await;
            match element.click().await {
                Err(error) if error.is_stale_element_reference() => {}
                clicked => return clicked.unwrap_or_else(|error| panic!("{caller}: {locator:?}: {error}")),
            }
        }
    }

    /// Types into a field, instead of what is there.
    #[track_caller]
    pub(super) fn fill(&self, selector: &str, text: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        let (selector, text) = (selector.to_owned(), text.to_owned());
        async move {
            let element = self.find(Locator::Css(&selector), caller).await;
            element.clear().await.expect("an empty field");
            element.send_keys(&text).await.expect("a filled field");
        }
    }

    /// Chooses from a list.
    pub(super) async fn choose(&self, selector: &str, value: &str) {
        let element = self.client().find(Locator::Css(selector)).await.expect("a list");
        element.select_by_value(value).await.expect("a choice");
    }

    pub(super) async fn sign_in(&self, id: &str, secret: &str) {
        self.go("/dashboard/sign-in").await;
        self.fill("#id", id).await;
        self.fill("#secret", secret).await;
        self.press("Sign in").await;
    }

    pub(super) async fn sign_in_as_operator(&self, token: &str) {
        self.go("/dashboard/sign-in?as=operator").await;
        self.fill("#secret", token).await;
        self.press("Sign in").await;
        self.shows("Overview").await;
    }

    pub(super) async fn look(&self, width: u32, dark: bool) {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Pages run no script from here on, or do again.
    pub(super) async fn scripts(&self, on: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": !on })).await;
    }

    /// A picture of the page, `height` at most, as PNG.
    pub(super) async fn picture(&self, width: u32, height: u64) -> Vec<u8> {
        let whole = self.run("return document.documentElement.scrollHeight", Vec::new()).await.as_u64().unwrap_or(900);
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": whole.min(height), "scale": 1 });
        let wanted = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let taken = self.devtools("Page.captureScreenshot", wanted).await;
        base64::engine::general_purpose::STANDARD.decode(taken["data"].as_str().expect("a picture")).expect("base64")
    }

    /// What axe-core finds against WCAG 2.2 AA, a line each.
    pub(super) async fn barriers(&self) -> Vec<String> {
        const AXE: &str = include_str!("axe/axe.min.js");
        self.run(&format!("{AXE}; return true"), Vec::new()).await;
        let script = "const done = arguments[arguments.length - 1]; \
            const line = (one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => node.failureSummary + ' in ' + node.html).join(' | ')}`; \
            axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] }) \
              .then((found) => done(found.violations.map(line)), (error) => done([String(error)]))";
        let found = self.client().execute_async(script, Vec::new()).await.expect("a report");
        let lines = found.as_array().cloned().unwrap_or_default();
        lines.iter().map(|line| line.as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Whether the page is wider than the window.
    pub(super) async fn overflows(&self) -> bool {
        let script = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
        self.run(script, Vec::new()).await == json!(true)
    }

    /// Asserts that hostile content did not run, and that the policy of the pages had nothing to refuse, since this was
    /// asked last.
    pub(super) async fn nothing_ran(&self) {
        let script = "return [window.ran ?? null, sessionStorage.getItem('refused')]";
        assert_eq!(self.run(script, Vec::new()).await, json!([null, null]), "on {}", self.path().await);
        let log = self.beyond("se/log", json!({ "type": "browser" })).await;
        for line in log.as_array().into_iter().flatten() {
            let message = line["message"].as_str().unwrap_or_default();
            assert!(!message.contains("Content Security Policy") && !message.contains("Uncaught"), "{message}");
        }
    }

    /// Ends it in order.
    pub(super) async fn close(mut self) {
        self.nothing_ran().await;
        if let Some(client) = self.client.take() {
            client.close().await.expect("an end");
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver, and every process of the browser.
        let _ = kill_process_group(self.group, Signal::KILL);
        let _ = self.driver.start_kill();
        janitor::forget(self.group.as_raw_nonzero().get().unsigned_abs());
    }
}
