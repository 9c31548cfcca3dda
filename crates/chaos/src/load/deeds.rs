//! Changes of webhooks: each is repeated until it is certain, and written down with what was known when.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Hook, World, again};
use crate::history::{Call, Move, Pause, ProjectNo, Secret, Webhook, WebhookId};
use crate::plan::{Change, Deed, Temper};

/// Does one.
pub(super) async fn run(world: &World, change: Change) {
    let project = change.project;
    if change.deed == Deed::Register {
        return register(world, project, format!("/p{}/x{}/healthy", project.0, change.at.0).into()).await;
    }
    let Some((place, id)) = choose(world, &change) else { return };
    match change.deed {
        Deed::Register => {}
        Deed::Delete => delete(world, project, place, &id).await,
        Deed::Rotate(overlap) => rotate(world, project, place, &id, overlap).await,
        Deed::Pause(seconds) => pause(world, project, place, &id, seconds).await,
        Deed::Move => relocate(world, &change, place, &id).await,
        Deed::ReplayAll => replay(world, project, &id, "all").await,
        Deed::ReplayDead => replay(world, project, &id, "dead").await,
    }
    // What was deleted is left alone for ever.
    if change.deed != Deed::Delete {
        with(world, project, place, |hook| hook.busy = false);
    }
}

fn with<T>(world: &World, project: ProjectNo, place: usize, work: impl FnOnce(&mut Hook) -> T) -> Option<T> {
    world.tenant(project).hooks.lock().get_mut(place).map(work)
}

/// A webhook to which nothing else is being done.
fn choose(world: &World, change: &Change) -> Option<(usize, WebhookId)> {
    let mut hooks = world.tenant(change.project).hooks.lock();
    let rotate = matches!(change.deed, Deed::Rotate(_));
    let mut free: Vec<(usize, &mut Hook)> =
        hooks.iter_mut().enumerate().filter(|(_, hook)| !(hook.busy || rotate && hook.rotated)).collect();
    let count = u64::try_from(free.len()).ok().filter(|count| *count > 0)?;
    let (place, hook) = free.swap_remove(usize::try_from(change.pick % count).ok()?);
    hook.busy = true;
    hook.rotated |= rotate;
    Some((place, hook.seen.id.clone()))
}

/// Registers a URL; when the answer is lost, it is left as it is, and nothing is asked of it.
pub(super) async fn register(world: &World, project: ProjectNo, path: Arc<str>) {
    let begun = world.clock.now();
    let body = json!({ "webhookUrl": world.receivers.url(&path) }).to_string();
    let tenant = world.tenant(project);
    let call = (Method::POST, "/webhooks/");
    let answer = world.api.call(begun.0, &tenant.project, call, Some(body), None).await;
    let data = answer.as_ref().filter(|(status, _)| *status == 200).map(|(_, json)| &json["data"]);
    let text = |name: &str| data.and_then(|data| data[name].as_str());
    match (text("id"), text("signingSecret")) {
        (Some(id), Some(secret)) => {
            let registered = Call { begun, answered: Some(world.clock.now()) };
            let secret = Secret { text: Some(secret.to_owned()), made: registered, overlap: 0 };
            let seen = Webhook {
                id: WebhookId(id.into()),
                project,
                path,
                moves: Vec::new(),
                registered,
                secrets: vec![secret],
                deleted: None,
                pauses: Vec::new(),
                revived: Vec::new(),
            };
            tenant.hooks.lock().push(Hook { seen, busy: false, rotated: false });
        }
        _ => {
            if let Some((status, json)) = answer.filter(|(status, _)| *status != 503) {
                world.odd(format!("registering {path}: {status} {json}"));
            }
            world.uncertain.lock().push(path);
        }
    }
}

async fn delete(world: &World, project: ProjectNo, place: usize, id: &WebhookId) {
    let begun = world.clock.now();
    with(world, project, place, |hook| hook.seen.deleted = Some(Call { begun, answered: None }));
    let path = format!("/webhooks/{id}/");
    let mut tries = 0;
    loop {
        let call = (Method::DELETE, path.as_str());
        let answer = world.api.call(begun.0 + tries, &world.tenant(project).project, call, None, None).await;
        match answer {
            // A repeated DELETE answers 404, with the same certainty.
            Some((200, _)) => break,
            Some((404, _)) if tries > 0 => break,
            Some((503, _)) | None => {}
            Some((status, json)) => world.odd(format!("deleting {id}: {status} {json}")),
        }
        tries += 1;
        if !again(&world.clock, begun).await {
            return world.odd(format!("deleting {id}: no certain answer in time"));
        }
    }
    let answered = Some(world.clock.now());
    with(world, project, place, |hook| hook.seen.deleted = Some(Call { begun, answered }));
}

async fn rotate(world: &World, project: ProjectNo, place: usize, id: &WebhookId, overlap: u64) {
    let (path, first) = (format!("/webhooks/{id}/secret/rotate"), world.clock.now());
    loop {
        let begun = world.clock.now();
        let secret = Secret { text: None, made: Call { begun, answered: None }, overlap: overlap * 1_000_000 };
        // Until its answer is there, nobody here knows the key.
        with(world, project, place, |hook| hook.seen.secrets.push(secret));
        let body = json!({ "overlapSeconds": overlap }).to_string();
        let call = (Method::POST, path.as_str());
        let answer = world.api.call(begun.0, &world.tenant(project).project, call, Some(body), None).await;
        match answer {
            Some((200, json)) => {
                let answered = Some(world.clock.now());
                with(world, project, place, |hook| {
                    if let Some(secret) = hook.seen.secrets.last_mut() {
                        secret.text = json["data"]["signingSecret"].as_str().map(str::to_owned);
                        secret.made.answered = answered;
                    }
                });
                return;
            }
            Some((503, _)) | None => {}
            Some((status, json)) => world.odd(format!("rotating {id}: {status} {json}")),
        }
        if !again(&world.clock, first).await {
            return;
        }
    }
}

async fn pause(world: &World, project: ProjectNo, place: usize, id: &WebhookId, seconds: u64) {
    let begun = world.clock.now();
    let disabled = Call { begun, answered: None };
    with(world, project, place, |hook| hook.seen.pauses.push(Pause { disabled, enabled: None }));
    if !patch(world, project, id, &json!({ "enabled": false })).await {
        return;
    }
    let answered = Some(world.clock.now());
    let last = |hook: &mut Hook, change: &dyn Fn(&mut Pause)| {
        if let Some(pause) = hook.seen.pauses.last_mut() {
            change(pause);
        }
    };
    with(world, project, place, |hook| last(hook, &|pause| pause.disabled.answered = answered));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let begun = world.clock.now();
    with(world, project, place, |hook| last(hook, &|pause| pause.enabled = Some(Call { begun, answered: None })));
    if patch(world, project, id, &json!({ "enabled": true })).await {
        let enabled = Some(Call { begun, answered: Some(world.clock.now()) });
        with(world, project, place, |hook| last(hook, &|pause| pause.enabled = enabled));
    }
}

/// Gives a webhook another URL, of the same temper.
async fn relocate(world: &World, change: &Change, place: usize, id: &WebhookId) {
    let project = change.project;
    let temper = with(world, project, place, |hook| Temper::of_path(&hook.seen.path)).unwrap_or(Temper::Healthy);
    let path: Arc<str> = format!("/p{}/m{}/{}", project.0, change.at.0, temper.name()).into();
    let url = world.receivers.url(&path);
    let mut made = Call { begun: world.clock.now(), answered: None };
    with(world, project, place, |hook| hook.seen.moves.push(Move { made, path }));
    if patch(world, project, id, &json!({ "webhookUrl": url })).await {
        made.answered = Some(world.clock.now());
        with(world, project, place, |hook| {
            if let Some(last) = hook.seen.moves.last_mut() {
                last.made = made;
            }
        });
    }
}

/// Enables what its receiver's `410` may have disabled, but for those to which something else is being done.
pub(super) async fn revive(world: &World) {
    for project in (0..).map(ProjectNo).take(world.tenants.len()) {
        let ids: Vec<(usize, WebhookId)> = {
            let mut hooks = world.tenant(project).hooks.lock();
            let gone = hooks
                .iter_mut()
                .enumerate()
                .filter(|(_, hook)| !hook.busy && Temper::of_path(&hook.seen.path) == Temper::Gone);
            let ids = gone.map(|(place, hook)| {
                hook.busy = true;
                hook.seen.revived.push(Call { begun: world.clock.now(), answered: None });
                (place, hook.seen.id.clone())
            });
            ids.collect()
        };
        for (place, id) in ids {
            let done = patch(world, project, &id, &json!({ "enabled": true })).await;
            let answered = done.then(|| world.clock.now());
            with(world, project, place, |hook| {
                if let Some(last) = hook.seen.revived.last_mut() {
                    last.answered = answered;
                }
                hook.busy = false;
            });
        }
    }
}

/// Changes a webhook, again and again until that is certain.
async fn patch(world: &World, project: ProjectNo, id: &WebhookId, change: &Value) -> bool {
    let (begun, path) = (world.clock.now(), format!("/webhooks/{id}"));
    let mut tries = 0;
    loop {
        let body = change.to_string();
        let call = (Method::PATCH, path.as_str());
        let answer = world.api.call(begun.0 + tries, &world.tenant(project).project, call, Some(body), None).await;
        match answer {
            Some((200, _)) => return true,
            Some((503, _)) | None => {}
            Some((status, json)) => world.odd(format!("changing {id}: {status} {json}")),
        }
        tries += 1;
        if !again(&world.clock, begun).await {
            world.odd(format!("changing {id}: no certain answer in time"));
            return false;
        }
    }
}

/// What it sends is known by a header: whether the answer comes or not is all the same.
async fn replay(world: &World, project: ProjectNo, id: &WebhookId, what: &str) {
    let path = format!("/webhooks/{id}/replays");
    let body = json!({ "what": what, "reason": "a replay under load", "ratePerSecond": 50 }).to_string();
    let call = (Method::POST, path.as_str());
    let answer = world.api.call(world.clock.now().0, &world.tenant(project).project, call, Some(body), None).await;
    if let Some((status, json)) = answer.filter(|(status, _)| !matches!(status, 202 | 503 | 409)) {
        world.odd(format!("replaying {id}: {status} {}", short(&json)));
    }
}

fn short(json: &Value) -> String {
    json.to_string().chars().take(200).collect()
}
