//! `rotate-master-key`: what rests under another master key is encrypted anew, beside running processes. It can be
//! interrupted and begun again at any time.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use spectrum_webhook_core::ports::{Fleet as _, Member};
use spectrum_webhook_core::time::Millis;
use spectrum_webhook_sql::{KeyFile, SqlStore};

use super::{printable, say, small_runtime};
use crate::cli::RotateMasterKey;
use crate::config::Settings;
use crate::wire::ProjectRegistry;

/// A process that has said nothing for so long does not run any more: it says something every 5 s.
const LIVES: Duration = Duration::from_secs(20);
/// How often is looked whether all processes are ready.
const LOOK: Duration = Duration::from_millis(500);
/// How often is said how far it is.
const SAY: Duration = Duration::from_secs(1);
/// How often all is looked through, when processes went on to encrypt under another key.
const ROUNDS: u32 = 3;
/// Values that are named, of those that cannot be read.
const NAMED: usize = 10;

/// Rotates, or shows how far it is.
///
/// # Errors
/// When there is no database, a process is not ready, or something cannot be read: all is said, and nothing is lost.
pub(super) fn rotate_master_key(arguments: RotateMasterKey) -> anyhow::Result<ExitCode> {
    let settings = crate::settings(arguments.flags)?;
    ProjectRegistry::must_exist(&settings)?;
    let done = small_runtime()?.block_on(async {
        if arguments.status {
            with_registry(&settings, async |registry| status(registry).await).await
        } else {
            rotate(&settings, arguments.wait).await
        }
    });
    done.map(|()| ExitCode::SUCCESS)
}

async fn with_registry(
    settings: &Settings,
    work: impl AsyncFnOnce(&ProjectRegistry) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let registry = ProjectRegistry::open(settings).await?;
    let done = work(&registry).await;
    registry.close().await?;
    done
}

/// Without a key in the settings, a new one comes into the key file first, and the one before goes out of it at last.
async fn rotate(settings: &Settings, wait: Duration) -> anyhow::Result<()> {
    let exchange = match settings.master_key {
        Some(_) => None,
        None => Some(KeyFile::of(&settings.data_dir).exchange()?),
    };
    with_registry(settings, async |registry| {
        let master = registry.keys.master().to_string();
        wait_for_processes(&registry.store, &master, wait).await?;
        encrypt_anew(&registry.store, &master).await
    })
    .await?;
    match exchange {
        Some(exchange) => {
            exchange.finish()?;
            say("the key file holds the new key alone");
        }
        None => say("SPECTRUM_MASTER_KEY_OTHERS may be taken away from all processes"),
    }
    say("keep the key before as long as backups of the time before may be needed");
    Ok(())
}

/// Waits until no process that runs encrypts under another key.
async fn wait_for_processes(store: &SqlStore, master: &str, patience: Duration) -> anyhow::Result<()> {
    let (begun, mut said) = (Instant::now(), String::new());
    loop {
        let members = living(store).await?;
        let behind: Vec<String> = members.iter().filter(|member| encrypts(member) != Some(master)).map(shown).collect();
        if behind.is_empty() {
            return Ok(());
        }
        let behind = behind.join("\n  ");
        if begun.elapsed() >= patience {
            bail!(
                "these processes do not encrypt under master key {master} yet:\n  {behind}\nnothing was encrypted anew: \
                 give them that key, with the one before in SPECTRUM_MASTER_KEY_OTHERS, and run this again (a process \
                 that was killed is forgotten after {} s)",
                LIVES.as_secs()
            );
        }
        if behind != said {
            say(format_args!("waiting until these encrypt under master key {master}:\n  {behind}"));
            said = behind;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn living(store: &SqlStore) -> anyhow::Result<Vec<Member>> {
    let lives = i64::try_from(LIVES.as_millis())?;
    let now = jiff::Timestamp::now().as_millisecond();
    Ok(store.members(Millis(now.saturating_sub(lives))).await?)
}

/// The key under which a process encrypts; a release that knows of none says nothing.
fn encrypts(member: &Member) -> Option<&str> {
    member.keys.first().map(String::as_str)
}

fn shown(member: &Member) -> String {
    let keys = match member.keys.split_first() {
        Some((master, [])) => format!("encrypts under {master}"),
        Some((master, others)) => format!("encrypts under {master}, knows {} too", others.join(" and ")),
        None => "does not say its keys".to_owned(),
    };
    let started = jiff::Timestamp::from_millisecond(member.started_at.0).unwrap_or_default();
    let who = format!("{} on {}, started {started:.0}: {keys}", member.role, member.host);
    printable(&who, 400)
}

/// Encrypts everything anew that does not rest under the master key, and says at the end that no other is needed.
async fn encrypt_anew(store: &SqlStore, master: &str) -> anyhow::Result<()> {
    let mut left = store.under_other_keys().await?;
    say(format_args!("{left} values to encrypt under master key {master}"));
    let (mut done, mut said) = (0, Instant::now());
    for _ in 0..ROUNDS {
        let (mut unreadable, mut after) = (Vec::new(), None);
        loop {
            let step = store.reseal(after).await?;
            done += step.done;
            left = left.saturating_sub(step.done);
            unreadable.extend(step.unreadable);
            if said.elapsed() >= SAY {
                say(format_args!("{done} done, {left} left"));
                said = Instant::now();
            }
            after = step.next;
            if after.is_none() {
                break;
            }
        }
        if !unreadable.is_empty() {
            let named = unreadable.iter().take(NAMED);
            let named: Vec<_> =
                named.map(|one| format!("{} of webhook {}: it {}", one.column, one.webhook, one.why)).collect();
            bail!(
                "{done} done; {} values cannot be read, and the other keys are still needed:\n  {}",
                unreadable.len(),
                named.join("\n  ")
            );
        }
        left = store.retire_other_keys().await?;
        if left == 0 {
            say(format_args!("{done} done, 0 left: nothing rests under another key than {master}"));
            return Ok(());
        }
    }
    bail!("{done} done, {left} left: a process goes on to encrypt under another key; `--status` shows which");
}

async fn status(registry: &ProjectRegistry) -> anyhow::Result<()> {
    let master = registry.keys.master();
    let used = registry.store.keys_in_use().await?;
    say(format_args!("in the database: {}", used.join(" and ")));
    say(format_args!("{} values do not rest under master key {master}", registry.store.under_other_keys().await?));
    for member in living(&registry.store).await? {
        say(shown(&member));
    }
    Ok(())
}
