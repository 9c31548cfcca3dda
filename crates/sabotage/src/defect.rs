//! The defects, and which project has which.

use std::collections::HashMap;
use std::fmt;

use spectrum_webhook_core::ids::ProjectId;

/// A defect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Defect {
    /// What comes again after a crash is taken for done.
    Drop,
    /// Two events change places.
    Swap,
    /// The body is parsed and printed again.
    Rebuild,
    /// After a rotation the old key signs on, beyond its overlap.
    Stale,
    /// The owner confirms a deletion, and goes on delivering.
    Late,
    /// A message is acknowledged before the row is committed that it waits for.
    Early,
}

impl Defect {
    const ALL: [Self; 6] = [Self::Drop, Self::Swap, Self::Rebuild, Self::Stale, Self::Late, Self::Early];

    fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Swap => "swap",
            Self::Rebuild => "rebuild",
            Self::Stale => "stale",
            Self::Late => "late",
            Self::Early => "early",
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads `drop=PROJECT,swap=PROJECT,…`.
pub(crate) fn victims(text: &str) -> Result<HashMap<ProjectId, Defect>, String> {
    let one = |victim: &str| {
        let (name, project) = victim.split_once('=')?;
        let defect = Defect::ALL.into_iter().find(|defect| defect.name() == name)?;
        Some((project.parse().ok()?, defect))
    };
    text.split(',').map(|victim| one(victim).ok_or_else(|| format!("`{victim}` is no defect of a project"))).collect()
}
