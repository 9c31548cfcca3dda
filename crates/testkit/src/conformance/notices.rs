//! Notices: written with what they tell of, once, for whoever is to be told.

use spectrum_webhook_core::delivery::{DeadReason, Fault, LastAttempt, Message};
use spectrum_webhook_core::ids::{OwnerId, ProjectId};
use spectrum_webhook_core::ports::{Change, Happened, LaneMode, LaneRecord, Notice, NoticeKind};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_core::webhook::DisabledReason;

use super::samples::{NOW, key, owner};
use super::store::{Scene, create_project};
use super::{Fixture, StoreWorld, checks};

/// Checks notices.
pub async fn notices(fixture: &dyn Fixture<StoreWorld>) {
    checks!(fixture;
        nobody_is_told_unless_a_project_is_named,
        an_outage_is_told_at_its_start_and_at_its_end,
        what_is_given_up_or_disabled_is_told_once,
        what_happens_to_the_told_projects_own_webhooks_is_not_told,
        one_process_has_them_until_its_time_is_over,
    );
}

/// A scene, and another project that is told of it.
async fn told(world: StoreWorld) -> (Scene, ProjectId) {
    let scene = Scene::new(world, 1).await;
    let operations = create_project(&scene.world).await;
    scene.world.notices.tell(Some(operations)).await.expect("tell");
    (scene, operations)
}

async fn claimed(scene: &Scene, runner: OwnerId, now: i64) -> Option<(ProjectId, Vec<Notice>)> {
    let (now, until) = (Millis(NOW.0 + now), Millis(NOW.0 + now + 100));
    scene.world.notices.claim_notices(runner, now, until, 10).await.expect("claim")
}

fn kinds(notices: &[Notice]) -> Vec<NoticeKind> {
    notices.iter().map(|notice| notice.kind).collect()
}

fn outage(scene: &Scene, since: i64, probes: u32) -> Change {
    let since = Millis(NOW.0 + since);
    let mode = LaneMode::Outage { since, probes, next_probe: since, proven: false };
    Change::Lane { webhook: scene.webhooks[0], record: Some(LaneRecord { mode, exhausted: 1 }), at: since }
}

fn bury(scene: &Scene, message: &Message) -> Change {
    Change::Bury {
        key: key(message, scene.webhooks[0]),
        reason: DeadReason::Fatal,
        fault: Fault::Receiver,
        attempts: 1,
        last: None,
        at: NOW,
    }
}

async fn nobody_is_told_unless_a_project_is_named(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    let held = scene.hold(&[1]).await;
    scene.commit(&[outage(&scene, 0, 0), bury(&scene, &held[0])]).await;
    let operations = create_project(&scene.world).await;
    scene.world.notices.tell(Some(operations)).await.expect("tell");
    assert_eq!(claimed(&scene, owner(), 1).await, None, "what was before is not told");
    scene.commit(&[Change::Lane { webhook: scene.webhooks[0], record: None, at: NOW }]).await;
    scene.world.notices.tell(None).await.expect("tell");
    assert_eq!(claimed(&scene, owner(), 1).await, None);
}

async fn an_outage_is_told_at_its_start_and_at_its_end(world: StoreWorld) {
    let (scene, operations) = told(world).await;
    let suspect = LaneRecord { mode: LaneMode::Suspect, exhausted: 1 };
    let webhook = scene.webhooks[0];
    scene.commit(&[Change::Lane { webhook, record: Some(suspect), at: NOW }]).await;
    assert_eq!(claimed(&scene, owner(), 1).await, None, "a suspicion is none");
    let since = Millis(NOW.0 + 5);
    let end = Change::Lane { webhook, record: None, at: Millis(NOW.0 + 9) };
    for (change, happened) in [
        (outage(&scene, 5, 0), vec![Happened::OutageBegan { webhook }]),
        (outage(&scene, 5, 1), vec![]),
        (end.clone(), vec![Happened::OutageEnded { webhook, since }]),
        (end, vec![]),
    ] {
        assert_eq!(scene.commit(&[change]).await.happened, happened);
    }
    let (project, notices) = claimed(&scene, owner(), 10).await.expect("notices");
    assert_eq!(project, operations);
    assert_eq!(kinds(&notices), [NoticeKind::OutageStarted, NoticeKind::OutageEnded]);
    assert_eq!((notices[0].at, notices[1].at), (Millis(NOW.0 + 5), Millis(NOW.0 + 9)));
    assert_eq!((notices[0].webhook, notices[0].project), (webhook, scene.project));
}

async fn what_is_given_up_or_disabled_is_told_once(world: StoreWorld) {
    let (scene, _) = told(world).await;
    let webhook = scene.webhooks[0];
    let held = scene.hold(&[1, 2, 3]).await;
    let last = LastAttempt::Status(500);
    let mut happened = Vec::new();
    for _ in 0..2 {
        let aside = Change::SetAside { key: key(&held[1], webhook), attempts: 6, last, at: NOW };
        for changes in [
            vec![bury(&scene, &held[0])],
            vec![aside, Change::BurySetAside { webhook, at: NOW }],
            vec![Change::Expire { webhook, before: Millis(i64::MAX), at: NOW, limit: 10 }],
            vec![Change::Disable { webhook, reason: DisabledReason::Outage, seen: NOW, at: NOW }],
        ] {
            happened.extend(scene.commit(&changes).await.happened);
        }
    }
    let died = |message, reason| Happened::Died { key: key(message, webhook), reason };
    let once = [
        died(&held[0], DeadReason::Fatal),
        died(&held[1], DeadReason::Poison),
        died(&held[2], DeadReason::Expired),
        Happened::Disabled { webhook, reason: DisabledReason::Outage },
    ];
    assert_eq!(happened, once, "a commit that is made again says nothing again");
    let (_, notices) = claimed(&scene, owner(), 1).await.expect("notices");
    let mut told: Vec<_> = notices.iter().map(|notice| (notice.event, notice.detail.clone())).collect();
    told.sort();
    let expected =
        [(None, "outage"), (Some(held[0].id), "fatal"), (Some(held[1].id), "poison"), (Some(held[2].id), "expired")];
    assert_eq!(told, expected.map(|(event, detail)| (event, Some(detail.to_owned()))));
}

async fn what_happens_to_the_told_projects_own_webhooks_is_not_told(world: StoreWorld) {
    let scene = Scene::new(world, 1).await;
    scene.world.notices.tell(Some(scene.project)).await.expect("tell");
    let held = scene.hold(&[1]).await;
    let webhook = scene.webhooks[0];
    scene.commit(&[outage(&scene, 0, 0), bury(&scene, &held[0])]).await;
    scene.commit(&[Change::Disable { webhook, reason: DisabledReason::Gone, seen: NOW, at: NOW }]).await;
    assert_eq!(claimed(&scene, owner(), 1).await, None);
}

async fn one_process_has_them_until_its_time_is_over(world: StoreWorld) {
    let (scene, _) = told(world).await;
    let (one, other) = (owner(), owner());
    scene.commit(&[outage(&scene, 0, 0)]).await;
    let (_, notices) = claimed(&scene, one, 1).await.expect("notices");
    assert_eq!(claimed(&scene, other, 50).await, None);
    assert_eq!(claimed(&scene, one, 50).await.expect("its own").1, notices, "until they are forgotten");
    let ids: Vec<String> = notices.iter().map(|notice| notice.id.clone()).collect();
    scene.world.notices.forget_notices(&ids).await.expect("forget");
    assert_eq!(claimed(&scene, one, 60).await, None);
    scene.commit(&[Change::Lane { webhook: scene.webhooks[0], record: None, at: NOW }]).await;
    assert_eq!(claimed(&scene, other, 149).await, None);
    assert_eq!(kinds(&claimed(&scene, other, 151).await.expect("its time is over").1), [NoticeKind::OutageEnded]);
}
