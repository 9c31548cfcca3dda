//! What processes have used so far, where the system tells (Linux).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Whose processor time is shown apart: the role and its processes.
pub(crate) type Roles = BTreeMap<&'static str, Vec<u32>>;

struct Stat {
    name: String,
    parent: u32,
    /// In ticks: its own, and that of children which have ended and were waited for.
    ticks: u64,
}

fn stat(id: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (front, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = (11..15).map(|at| fields.get(at).and_then(|field| field.parse::<u64>().ok())).sum::<Option<u64>>()?;
    Some(Stat { name: front.split_once('(')?.1.to_owned(), parent: fields.get(1)?.parse().ok()?, ticks })
}

fn all() -> HashMap<u32, Stat> {
    let Ok(folder) = std::fs::read_dir("/proc") else { return HashMap::new() };
    let ids = folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter_map(|id| Some((id, stat(id)?))).collect()
}

/// The services among what this process has started, by the names of their programs.
pub(super) fn services() -> Roles {
    let all = all();
    let mine = |mut id: u32| {
        for _ in 0..64 {
            match all.get(&id) {
                Some(stat) if stat.parent == std::process::id() => return true,
                Some(stat) => id = stat.parent,
                None => return false,
            }
        }
        false
    };
    let mut roles = Roles::new();
    for (role, program) in [("rabbitmq", "beam.smp"), ("redis", "redis-server"), ("postgresql", "postgres")] {
        // A process whose parent has the same name is counted with it.
        let is = |id: &u32| all.get(id).is_some_and(|stat| stat.name == program);
        let ids: Vec<u32> =
            all.iter().filter(|(id, stat)| is(id) && !is(&stat.parent) && mine(**id)).map(|(id, _)| *id).collect();
        if !ids.is_empty() {
            roles.insert(role, ids);
        }
    }
    roles
}

/// Processor time so far by role: of its processes and all that they have started.
pub(crate) fn cpu(roles: &Roles) -> BTreeMap<&'static str, Duration> {
    let all = all();
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for (id, stat) in &all {
        children.entry(stat.parent).or_default().push(*id);
    }
    let whole = |ids: &Vec<u32>| {
        let (mut ticks, mut open) = (0, ids.clone());
        while let Some(id) = open.pop() {
            ticks += all.get(&id).map_or(0, |stat| stat.ticks);
            open.extend(children.get(&id).into_iter().flatten());
        }
        // Linux counts these in hundredths of a second.
        Duration::from_millis(ticks * 10)
    };
    roles.iter().map(|(role, ids)| (*role, whole(ids))).collect()
}

/// Processor time of this process alone.
pub(crate) fn own_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Asks a process to end.
pub(super) fn terminate(id: u32) -> Option<()> {
    signal(id, Signal::TERM)
}

/// As Ctrl-C does.
pub(crate) fn interrupt(id: u32) -> Option<()> {
    signal(id, Signal::INT)
}

fn signal(id: u32, signal: Signal) -> Option<()> {
    kill_process(Pid::from_raw(id.try_into().ok()?)?, signal).ok()
}

/// Resident memory in bytes.
pub(crate) fn memory(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1_024)
}
