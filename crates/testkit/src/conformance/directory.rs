//! The directory: what people see of projects and webhooks, and the registry that deliveries go by.

use std::time::Duration;

use spectrum_webhook_core::headers::CustomHeaders;
use spectrum_webhook_core::ids::{ProjectId, RegistryVersion, WebhookId};
use spectrum_webhook_core::ordering::Ordering;
use spectrum_webhook_core::ports::{DirectoryError, NewWebhook, Project, WebhookPatch};
use spectrum_webhook_core::shape::{RateLimit, Shape};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::{DisabledReason, Registry, SigningSecret};
use uuid::Uuid;

use super::samples::{NOW, project};
use super::store::{create_project, register};
use super::{Fixture, StoreWorld, checks};

const LATER: Millis = Millis(NOW.0 + 5_000);

/// Checks a directory.
pub async fn directory(fixture: &dyn Fixture<StoreWorld>) {
    checks!(fixture;
        the_number_of_partitions_is_fixed_at_the_first_start,
        projects_are_kept_oldest_first,
        a_projects_secret_can_be_replaced,
        a_webhook_is_registered_as_it_was_sent,
        webhooks_come_oldest_first_with_their_keys,
        a_url_can_be_registered_once_in_a_project,
        urls_are_compared_to_the_byte,
        every_change_raises_the_version,
        a_patch_changes_what_it_names,
        a_webhook_keeps_the_shape_that_it_asked_for,
        a_patch_cannot_take_anothers_url,
        a_deleted_webhook_is_gone_and_its_url_free,
        during_an_overlap_there_are_two_keys,
        without_an_overlap_there_is_one_key,
        a_deleted_project_has_no_webhooks_and_a_new_version,
        what_is_not_there_is_not_found,
        a_project_changes_only_its_own_webhooks,
    );
}

async fn registry(world: &StoreWorld, project: ProjectId) -> Registry {
    world.store.registry(project).await.expect("registry")
}

fn new_webhook(project: ProjectId, url: &str) -> NewWebhook {
    NewWebhook {
        id: WebhookId(Uuid::now_v7()),
        project,
        url: url.to_owned(),
        secret: SigningSecret::from_random([2; 32]),
        event_types: None,
        shape: Shape::default(),
    }
}

fn is_not_found<T>(result: Result<T, DirectoryError>) -> bool {
    matches!(result, Err(DirectoryError::NotFound))
}

fn is_taken<T>(result: Result<T, DirectoryError>) -> bool {
    matches!(result, Err(DirectoryError::UrlTaken))
}

async fn the_number_of_partitions_is_fixed_at_the_first_start(world: StoreWorld) {
    assert_eq!(world.directory.partitions(64).await.expect("partitions"), 64);
    assert_eq!(world.directory.partitions(8).await.expect("partitions"), 64);
}

async fn projects_are_kept_oldest_first(world: StoreWorld) {
    let mut expected = Vec::new();
    for n in 0..3_u8 {
        let project = Project {
            id: project(),
            name: format!("Näme '{n}'"),
            secret_hash: [n; 32],
            registry: RegistryVersion(0),
            created_at: Millis(NOW.0 + i64::from(n)),
        };
        world.directory.create_project(&project).await.expect("create");
        assert_eq!(world.directory.project(project.id).await.expect("project"), project);
        expected.push(project);
    }
    assert_eq!(world.directory.list_projects().await.expect("list"), expected);
}

async fn a_projects_secret_can_be_replaced(world: StoreWorld) {
    let id = create_project(&world).await;
    world.directory.rotate_project_secret(id, [42; 32]).await.expect("rotate");
    assert_eq!(world.directory.project(id).await.expect("project").secret_hash, [42; 32]);
}

async fn a_webhook_is_registered_as_it_was_sent(world: StoreWorld) {
    let project = create_project(&world).await;
    let url = "HTTPS://Example.com:443/a%2Fb/../c?q=é'#x ";
    let new =
        NewWebhook { event_types: Some(vec!["messages".to_owned(), "\"".to_owned()]), ..new_webhook(project, url) };
    let (webhook, version) = world.directory.register(new.clone(), NOW).await.expect("register");
    assert_eq!((webhook.id, webhook.project, webhook.url.as_str()), (new.id, project, url));
    assert_eq!((webhook.event_types.clone(), webhook.disabled), (new.event_types, None));
    assert_eq!((webhook.added, webhook.created_at, webhook.updated_at), (version, NOW, NOW));
    assert_eq!(version, RegistryVersion(1));
    assert_eq!(world.directory.list(project).await.expect("list"), std::slice::from_ref(&webhook));
    let registry = registry(&world, project).await;
    assert_eq!(registry.version, version);
    assert_eq!(registry.webhooks[0].0, webhook);
    assert_eq!(registry.webhooks[0].1.current, new.secret);
    assert_eq!(registry.webhooks[0].1.previous, None);
}

async fn webhooks_come_oldest_first_with_their_keys(world: StoreWorld) {
    let project = create_project(&world).await;
    let mut ids = Vec::new();
    for n in 0..5_u8 {
        let secret = SigningSecret::from_random([n; 32]);
        let new = NewWebhook { secret, ..new_webhook(project, &format!("https://example.com/{n}")) };
        // In the same millisecond.
        ids.push(world.directory.register(new, NOW).await.expect("register").0.id);
    }
    let listed: Vec<WebhookId> = world.directory.list(project).await.expect("list").iter().map(|w| w.id).collect();
    assert_eq!(listed, ids);
    let registry = registry(&world, project).await;
    for (n, (webhook, keys)) in (0..5_u8).zip(&registry.webhooks) {
        assert_eq!(webhook.id, ids[usize::from(n)]);
        assert_eq!(keys.current, SigningSecret::from_random([n; 32]));
    }
}

async fn a_url_can_be_registered_once_in_a_project(world: StoreWorld) {
    let (one, two) = (create_project(&world).await, create_project(&world).await);
    register(&world, one, "https://example.com/").await;
    assert!(is_taken(world.directory.register(new_webhook(one, "https://example.com/"), NOW).await));
    assert_eq!(registry(&world, one).await.version, RegistryVersion(1), "nothing changed");
    register(&world, two, "https://example.com/").await;
}

async fn urls_are_compared_to_the_byte(world: StoreWorld) {
    let project = create_project(&world).await;
    let urls = ["https://example.com", "https://example.com/", "https://EXAMPLE.com/", "https://example.com/ "];
    for url in urls {
        register(&world, project, url).await;
    }
    assert_eq!(world.directory.list(project).await.expect("list").len(), urls.len());
}

async fn every_change_raises_the_version(world: StoreWorld) {
    let project = create_project(&world).await;
    assert_eq!(registry(&world, project).await.version, RegistryVersion(0));
    let (webhook, first) =
        world.directory.register(new_webhook(project, "https://example.com/"), NOW).await.expect("register");
    let patch = WebhookPatch { enabled: Some(false), ..WebhookPatch::default() };
    let patched = world.directory.patch(project, webhook.id, patch, LATER).await.expect("patch").1;
    let secret = SigningSecret::from_random([3; 32]);
    let rotated = world.directory.rotate(project, webhook.id, secret, LATER, NOW).await.expect("rotate").1;
    let deleted = world.directory.delete(project, webhook.id, LATER).await.expect("delete");
    assert_eq!([first, patched, rotated, deleted].map(|version| version.0), [1, 2, 3, 4]);
    assert_eq!(registry(&world, project).await.version, deleted);
    assert_eq!(world.directory.project(project).await.expect("project").registry, deleted);
}

async fn a_patch_changes_what_it_names(world: StoreWorld) {
    let project = create_project(&world).await;
    let id = register(&world, project, "https://example.com/").await;
    let none = WebhookPatch::default();
    let url = WebhookPatch { url: Some("https://example.com/new".to_owned()), ..none.clone() };
    let off = WebhookPatch { enabled: Some(false), ..none.clone() };
    let on = WebhookPatch { enabled: Some(true), ..none.clone() };
    let some = WebhookPatch { event_types: Some(Some(vec!["a".to_owned()])), ..none.clone() };
    let all = WebhookPatch { event_types: Some(None), ..none };
    let mut expected = world.directory.list(project).await.expect("list").remove(0);
    for (n, patch) in (1..).zip([url, off, some, on, all]) {
        let now = Millis(NOW.0 + n);
        if let Some(url) = &patch.url {
            expected.url.clone_from(url);
        }
        match patch.enabled {
            Some(true) => expected.disabled = None,
            Some(false) => expected.disabled = Some((now, DisabledReason::Manual)),
            None => {}
        }
        if let Some(types) = &patch.event_types {
            expected.event_types.clone_from(types);
        }
        expected.updated_at = now;
        let (webhook, version) = world.directory.patch(project, id, patch, now).await.expect("patch");
        assert_eq!(webhook, expected);
        let registry = registry(&world, project).await;
        assert_eq!(registry.version, version);
        assert_eq!(registry.webhooks[0].0, expected);
    }
}

fn headers(pairs: &[(&str, &str)]) -> CustomHeaders {
    CustomHeaders::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).expect("headers")
}

async fn a_webhook_keeps_the_shape_that_it_asked_for(world: StoreWorld) {
    let project = create_project(&world).await;
    let shape = Shape {
        headers: headers(&[("Authorization", "Bearer \"'\\"), ("x-a", "1")]),
        rate_limit: RateLimit::new(1_000),
        attempt_timeout: Some(Duration::from_millis(1_500)),
        ordering: Ordering::Space,
    };
    let new = NewWebhook { shape: shape.clone(), ..new_webhook(project, "https://example.com/") };
    let (webhook, _) = world.directory.register(new, NOW).await.expect("register");
    assert_eq!(webhook.shape, shape);
    // The other one asks for nothing.
    let plain = register(&world, project, "https://example.com/plain").await;
    let none = WebhookPatch::default();
    let mut expected = shape;
    for patch in [
        none.clone(),
        WebhookPatch { headers: Some(headers(&[("x-b", "2")])), ..none.clone() },
        WebhookPatch { rate_limit: Some(None), ..none.clone() },
        WebhookPatch { rate_limit: Some(RateLimit::new(1)), attempt_timeout: Some(None), ..none.clone() },
        WebhookPatch { attempt_timeout: Some(Some(Duration::from_secs(30))), ..none.clone() },
        WebhookPatch { ordering: Some(Ordering::None), ..none.clone() },
        WebhookPatch { ordering: Some(Ordering::Project), ..none.clone() },
        WebhookPatch { headers: Some(CustomHeaders::default()), ..none },
    ] {
        expected.headers = patch.headers.clone().unwrap_or(expected.headers);
        expected.rate_limit = patch.rate_limit.unwrap_or(expected.rate_limit);
        expected.attempt_timeout = patch.attempt_timeout.unwrap_or(expected.attempt_timeout);
        expected.ordering = patch.ordering.unwrap_or(expected.ordering);
        let (patched, _) = world.directory.patch(project, webhook.id, patch, LATER).await.expect("patch");
        assert_eq!(patched.shape, expected);
        let secret = SigningSecret::from_random([9; 32]);
        let (rotated, _) = world.directory.rotate(project, webhook.id, secret, LATER, NOW).await.expect("rotate");
        assert_eq!(rotated.shape, expected);
        let listed = world.directory.list(project).await.expect("list");
        let loaded = registry(&world, project).await.webhooks.into_iter().map(|(webhook, _)| webhook);
        assert_eq!(loaded.collect::<Vec<_>>(), listed);
        assert_eq!(listed.iter().map(|webhook| &webhook.shape).collect::<Vec<_>>(), [&expected, &Shape::default()]);
        assert_eq!(listed[1].id, plain);
    }
}

async fn a_patch_cannot_take_anothers_url(world: StoreWorld) {
    let project = create_project(&world).await;
    register(&world, project, "https://example.com/1").await;
    let id = register(&world, project, "https://example.com/2").await;
    let to = |url: &str| WebhookPatch { url: Some(url.to_owned()), ..WebhookPatch::default() };
    assert!(is_taken(world.directory.patch(project, id, to("https://example.com/1"), NOW).await));
    assert_eq!(registry(&world, project).await.version, RegistryVersion(2), "nothing changed");
    world.directory.patch(project, id, to("https://example.com/2"), NOW).await.expect("its own");
}

async fn a_deleted_webhook_is_gone_and_its_url_free(world: StoreWorld) {
    let project = create_project(&world).await;
    let id = register(&world, project, "https://example.com/").await;
    world.directory.delete(project, id, NOW).await.expect("delete");
    assert!(world.directory.list(project).await.expect("list").is_empty());
    assert!(registry(&world, project).await.webhooks.is_empty());
    assert!(is_not_found(world.directory.delete(project, id, NOW).await));
    let again = register(&world, project, "https://example.com/").await;
    assert_ne!(again, id);
    assert_eq!(registry(&world, project).await.webhooks[0].0.added, RegistryVersion(3));
}

async fn during_an_overlap_there_are_two_keys(world: StoreWorld) {
    let project = create_project(&world).await;
    let id = register(&world, project, "https://example.com/").await;
    let secrets = [7, 8].map(|n| SigningSecret::from_random([n; 32]));
    let mut before = SigningSecret::from_random([1; 32]);
    for secret in secrets {
        let rotated = world.directory.rotate(project, id, secret.clone(), LATER, NOW).await.expect("rotate");
        assert_eq!(rotated.0.updated_at, NOW);
        let keys = registry(&world, project).await.webhooks.remove(0).1;
        assert_eq!(keys.current, secret);
        assert_eq!(keys.previous, Some((before, LATER)));
        assert_eq!(keys.overlapping(LATER), None);
        before = secret;
    }
}

async fn without_an_overlap_there_is_one_key(world: StoreWorld) {
    let project = create_project(&world).await;
    let id = register(&world, project, "https://example.com/").await;
    let secrets = [7, 8].map(|n| SigningSecret::from_random([n; 32]));
    world.directory.rotate(project, id, secrets[0].clone(), LATER, NOW).await.expect("rotate");
    world.directory.rotate(project, id, secrets[1].clone(), NOW, NOW).await.expect("rotate");
    let keys = registry(&world, project).await.webhooks.remove(0).1;
    assert_eq!(keys.current, secrets[1]);
    assert_eq!(keys.overlapping(NOW), None, "the old key is not used any more");
}

async fn a_deleted_project_has_no_webhooks_and_a_new_version(world: StoreWorld) {
    let (project, other) = (create_project(&world).await, create_project(&world).await);
    let id = register(&world, project, "https://example.com/").await;
    register(&world, other, "https://example.com/").await;
    let version = world.directory.delete_project(project, NOW).await.expect("delete");
    assert_eq!(version, RegistryVersion(2));
    let registry = registry(&world, project).await;
    assert_eq!((registry.version, registry.webhooks.len()), (version, 0), "its owner learns of it");
    assert!(is_not_found(world.directory.project(project).await));
    assert!(is_not_found(world.directory.delete_project(project, NOW).await));
    assert!(is_not_found(world.directory.rotate_project_secret(project, [0; 32]).await));
    assert!(is_not_found(world.directory.register(new_webhook(project, "https://example.com/2"), NOW).await));
    assert!(is_not_found(world.directory.delete(project, id, NOW).await));
    let projects = world.directory.list_projects().await.expect("list");
    assert_eq!(projects.iter().map(|project| project.id).collect::<Vec<_>>(), [other]);
    assert_eq!(world.directory.list(other).await.expect("list").len(), 1);
}

async fn what_is_not_there_is_not_found(world: StoreWorld) {
    let (project, id) = (create_project(&world).await, WebhookId(Uuid::now_v7()));
    let nobody = super::samples::project();
    assert!(is_not_found(world.directory.project(nobody).await));
    assert!(is_not_found(world.directory.register(new_webhook(nobody, "https://example.com/"), NOW).await));
    assert!(is_not_found(world.directory.patch(project, id, WebhookPatch::default(), NOW).await));
    assert!(is_not_found(world.directory.delete(project, id, NOW).await));
    let secret = SigningSecret::from_random([3; 32]);
    assert!(is_not_found(world.directory.rotate(project, id, secret, LATER, NOW).await));
    let registry = registry(&world, nobody).await;
    assert_eq!((registry.version, registry.webhooks.len()), (RegistryVersion(0), 0));
    assert_eq!(world.directory.project(project).await.expect("project").registry, RegistryVersion(0));
}

async fn a_project_changes_only_its_own_webhooks(world: StoreWorld) {
    let (one, two) = (create_project(&world).await, create_project(&world).await);
    let id = register(&world, one, "https://example.com/").await;
    assert!(is_not_found(world.directory.patch(two, id, WebhookPatch::default(), NOW).await));
    assert!(is_not_found(world.directory.delete(two, id, NOW).await));
    let secret = SigningSecret::from_random([3; 32]);
    assert!(is_not_found(world.directory.rotate(two, id, secret, LATER, NOW).await));
    assert!(world.directory.list(two).await.expect("list").is_empty());
    assert_eq!(registry(&world, two).await.version, RegistryVersion(0));
}
