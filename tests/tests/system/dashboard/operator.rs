//! The deployment as a whole.

use spectrum_webhook_receiver::{Always, Receiver, Reply};
use spectrum_webhook_testkit::process::Server;
use spectrum_webhook_testkit::services::{Redis, shared};

use super::{OPERATOR, SETTINGS, at};
use crate::world::{accept_texts, on_both, taken};

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_the_books_the_processes_and_every_project() {
    on_both(&SETTINGS, async |server| {
        let (client, project) = (server.client(), server.create_project("Seen by the operator").await);
        let receiver = Receiver::on_loopback(Always(Reply::ok())).expect("a receiver");
        client.register(&project, &receiver.url("/hook")).await;
        accept_texts(&client, &project, "books", 7).await;
        taken(&receiver, "/hook", 7).await;
        let browser = at(&server).await;
        browser.sign_in_as_operator(OPERATOR).await;
        browser.shows("Adds up").await;
        browser.shows("7 made of events = 7 delivered").await;
        browser.wait("a process", "[...document.querySelectorAll('#now tbody tr')].some((row) => row.innerText.includes('serve') && row.innerText.includes('0–'))").await;
        if server.settings().get("SPECTRUM_REDIS_URL").is_some() {
            for service in ["postgresql", "rabbitmq", "redis"] {
                let script = format!("[...document.querySelectorAll('.services li')].some((one) => one.innerText.includes('{service}') && one.querySelector('.good'))");
                browser.wait(service, &script).await;
            }
        } else {
            browser.shows("Embedded: no service is needed").await;
        }
        browser.shows("Slowest URLs of the last hour").await;
        browser.press("Projects").await;
        browser.fill("input[name=search]", "seen by").await;
        browser.press("Search").await;
        browser.press("Seen by the operator").await;
        browser.shows("1 webhook of this project").await;
        browser.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_processes_of_a_cluster_say_who_holds_which_partitions_and_what_is_down_is_seen() {
    let redis = Redis::start().await;
    let (rabbit, postgres) = tokio::join!(shared().rabbit(), shared().postgres());
    let settings = crate::cluster::settings(&rabbit.url(), &redis.url(), &postgres.database().await)
        .set("SPECTRUM_OPERATOR_TOKEN", OPERATOR);
    let ingest = Server::start_as("ingest", settings.clone()).await;
    let (_first, mut second) =
        (Server::start_as("dispatcher", settings.clone()).await, Server::start_as("dispatcher", settings).await);
    let browser = at(&ingest).await;
    browser.sign_in_as_operator(OPERATOR).await;
    let rows = "[...document.querySelectorAll('#now tbody tr')].filter((row) => row.innerText.includes('dispatcher')";
    // Twelve partitions, shared.
    browser.wait("both dispatchers", &format!("{rows} && !row.innerText.includes('none')).length === 2")).await;
    browser.shows("ingest").await;
    browser.wait("all partitions", "!document.body.innerText.includes('held by nobody')").await;
    second.kill().await;
    browser.wait("its silence", &format!("{rows} && row.innerText.includes('Silent')).length === 1")).await;
    browser.wait("the other to have all", &format!("{rows} && row.innerText.includes('0–11')).length === 1")).await;
    let is = |tone: &str| {
        let services = "[...document.querySelectorAll('.services li')]";
        format!("{services}.some((one) => one.innerText.includes('redis') && one.querySelector('.chip.{tone}'))")
    };
    browser.wait("Redis to be up", &is("good")).await;
    redis.kill().await;
    browser.wait("Redis to be down", &is("bad")).await;
    redis.start_again().await;
    browser.wait("Redis to be back", &is("good")).await;
    browser.close().await;
}
