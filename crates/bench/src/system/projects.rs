//! Projects and their webhooks. `project create` is a process for each project, which thousands of them cannot wait for:
//! their rows are written beside the running server, as that command does. Webhooks are registered by the API.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;

use super::services::Services;
use crate::http1::{Connection, Head, request};
use crate::load::Project;

/// Clients that register webhooks at the same time.
const AT_ONCE: usize = 16;

fn id(number: usize) -> String {
    format!("00000000-0000-7000-8000-{number:012x}")
}

fn secret(number: usize) -> String {
    format!("{number:064x}")
}

/// The projects so far, as their clients know them.
pub(super) fn known(count: usize) -> Vec<Project> {
    let project = |number| {
        let (id, secret) = (id(number), secret(number));
        let authorization = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
        Project { id, authorization }
    };
    (0..count).map(project).collect()
}

/// In PostgreSQL.
pub(super) fn write_cluster(services: &Services, count: usize) -> Result<()> {
    services.execute(&format!(
        "INSERT INTO projects (id, name, secret_hash, created_at) \
         SELECT '00000000-0000-7000-8000-' || lpad(to_hex(number), 12, '0'), 'bench', \
         sha256(convert_to(lpad(to_hex(number), 64, '0'), 'UTF8')), 0 \
         FROM generate_series(0, {count} - 1) AS number"
    ))
}

/// In the file of the embedded backends.
pub(super) fn write_embedded(file: &Path, count: usize) -> Result<()> {
    let mut database = rusqlite::Connection::open(file)?;
    database.busy_timeout(Duration::from_secs(10))?;
    let transaction = database.transaction()?;
    {
        let sql = "INSERT INTO projects (id, name, secret_hash, created_at) VALUES (?1, 'bench', ?2, 0)";
        let mut insert = transaction.prepare(sql)?;
        for number in 0..count {
            let hash: [u8; 32] = Sha256::digest(secret(number).as_bytes()).into();
            insert.execute((id(number), hash.as_slice()))?;
        }
    }
    Ok(transaction.commit()?)
}

/// Registers so many webhooks for each project, `/project/url` at the receiver, and returns their ids by project.
pub(super) async fn register(
    api: SocketAddr,
    projects: &[Project],
    urls: usize,
    receiver: SocketAddr,
) -> Result<Vec<Vec<String>>> {
    let mut clients = JoinSet::new();
    for first in 0..AT_ONCE.min(projects.len()) {
        let own: Vec<(usize, Project)> = projects.iter().cloned().enumerate().skip(first).step_by(AT_ONCE).collect();
        clients.spawn(async move {
            let mut connection = Connection::connect(api).await?;
            let (mut bytes, mut made) = (Vec::new(), Vec::new());
            for (number, project) in own {
                let mut ids = Vec::new();
                for url in 0..urls {
                    let body = format!(r#"{{"webhookUrl":"http://{receiver}/{number}/{url}"}}"#);
                    let path = format!("/projects/{}/webhooks", project.id);
                    ids.push(call(&mut connection, &mut bytes, ("POST", &path), (api, &project), &body).await?);
                }
                made.push((number, ids));
            }
            Ok::<_, anyhow::Error>(made)
        });
    }
    let mut all = vec![Vec::new(); projects.len()];
    while let Some(made) = clients.join_next().await {
        for (number, ids) in made?? {
            all[number] = ids;
        }
    }
    Ok(all)
}

/// Changes all webhooks.
pub(super) async fn change(
    api: SocketAddr,
    projects: &[Project],
    webhooks: &[Vec<String>],
    body: &'static str,
) -> Result<()> {
    let mut clients = JoinSet::new();
    for first in 0..AT_ONCE.min(projects.len()) {
        let own = projects.iter().cloned().zip(webhooks.iter().cloned()).skip(first).step_by(AT_ONCE);
        let own: Vec<(Project, Vec<String>)> = own.collect();
        clients.spawn(async move {
            let (mut connection, mut bytes) = (Connection::connect(api).await?, Vec::new());
            for (project, webhooks) in own {
                for webhook in webhooks {
                    let path = format!("/projects/{}/webhooks/{webhook}", project.id);
                    call(&mut connection, &mut bytes, ("PATCH", &path), (api, &project), body).await?;
                }
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(changed) = clients.join_next().await {
        changed??;
    }
    Ok(())
}

/// Makes a call of the API about a webhook and returns the webhook's id.
async fn call(
    connection: &mut Connection,
    bytes: &mut Vec<u8>,
    (method, path): (&str, &str),
    (host, project): (SocketAddr, &Project),
    body: &str,
) -> Result<String> {
    let authorization = &project.authorization;
    request(bytes, &Head { method, path, host, authorization, content_type: "application/json" }, body.as_bytes());
    let answer = connection.exchange(bytes).await?;
    if answer.status != 200 {
        bail!("{method} {path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    let answer: serde_json::Value = serde_json::from_slice(&answer.body)?;
    answer["data"]["id"].as_str().map(str::to_owned).context("a webhook's id")
}
