//! What was measured: figures, each of one or more contenders over rounds, and curves.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `machine` | where it was measured |
//! | `page` | the same as a page to read |
//! | `plots`, `svg` | pictures |
//! | `compare` | two reports side by side |

pub(crate) mod compare;
mod machine;
mod page;
mod plots;
mod svg;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use machine::Machine;

/// The form of `report.json`. It rises when a reader of the old form would misunderstand the new one.
const SCHEMA: u32 = 1;

/// Everything that a run of the suite tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    schema: u32,
    pub(crate) machine: Machine,
    /// The arguments of the run.
    arguments: Vec<String>,
    pub(crate) figures: Vec<Figure>,
    pub(crate) curves: Vec<Curve>,
}

/// One figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// What it belongs to, like `throughput`.
    pub(crate) measure: String,
    /// Unique in its measure.
    pub(crate) name: String,
    pub(crate) unit: Unit,
    /// By contender, or what else it is compared with.
    pub(crate) of: BTreeMap<String, Spread>,
    /// With whom the product is compared.
    pub(crate) beside: Option<String>,
    pub(crate) goal: Option<Goal>,
}

/// What a figure counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    PerSecond,
    Millis,
    Micros,
    Bytes,
    Seconds,
    Ratio,
}

/// All rounds, in their order, and what lies in the middle and at the ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) rounds: Vec<f64>,
}

/// What is to be reached.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// The ratio to whom it is compared with.
    RatioAtLeast(f64),
    RatioAtMost(f64),
    /// The product's own figure.
    AtMost(f64),
}

/// A line in a picture.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Curve {
    pub(crate) measure: String,
    /// The picture that it is in.
    pub(crate) picture: String,
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Spread {
    fn of(rounds: Vec<f64>) -> Self {
        let mut sorted = rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or_default();
        let median = f64::midpoint(at(sorted.len().saturating_sub(1) / 2), at(sorted.len() / 2));
        Self { median, low: at(0), high: at(sorted.len().saturating_sub(1)), rounds }
    }
}

impl Figure {
    pub(crate) fn median(&self, contender: &str) -> Option<f64> {
        self.of.get(contender).map(|spread| spread.median)
    }

    /// The product's beside that which it is compared with.
    pub(crate) fn ratio(&self) -> Option<f64> {
        let beside = self.median(self.beside.as_ref()?)?;
        (beside != 0.0).then_some(self.median("product")? / beside)
    }

    /// Whether the goal is reached, if there is one.
    pub(crate) fn reached(&self) -> Option<bool> {
        match self.goal? {
            Goal::RatioAtLeast(least) => Some(self.ratio()? >= least),
            Goal::RatioAtMost(most) => Some(self.ratio()? <= most),
            Goal::AtMost(most) => Some(self.median("product")? <= most),
        }
    }
}

impl Report {
    pub(crate) fn new() -> Self {
        let arguments = std::env::args().skip(1).collect();
        Self { schema: SCHEMA, machine: Machine::this(), arguments, figures: Vec::new(), curves: Vec::new() }
    }

    /// Notes one round of a figure.
    pub(crate) fn note(&mut self, (measure, name): (&str, &str), unit: Unit, contender: &str, value: f64) {
        let figure = self.figure(measure, name, unit);
        let mut rounds = figure.of.remove(contender).map_or_else(Vec::new, |spread| spread.rounds);
        rounds.push(value);
        figure.of.insert(contender.to_owned(), Spread::of(rounds));
    }

    /// With whom a figure is compared, and what is to be reached.
    pub(crate) fn aim(&mut self, (measure, name): (&str, &str), beside: Option<&str>, goal: Option<Goal>) {
        let figures = self.figures.iter_mut().filter(|figure| figure.measure == measure && figure.name == name);
        for figure in figures {
            figure.beside = beside.map(str::to_owned);
            figure.goal = goal;
        }
    }

    /// The median of a figure so far.
    pub(crate) fn median(&self, (measure, name): (&str, &str), contender: &str) -> Option<f64> {
        let figure = self.figures.iter().find(|figure| figure.measure == measure && figure.name == name);
        figure?.median(contender)
    }

    fn figure(&mut self, measure: &str, name: &str, unit: Unit) -> &mut Figure {
        let at = self.figures.iter().position(|figure| figure.measure == measure && figure.name == name);
        let at = at.unwrap_or_else(|| {
            let (measure, name) = (measure.to_owned(), name.to_owned());
            let of = BTreeMap::new();
            self.figures.push(Figure { measure, name, unit, of, beside: Some("limit".to_owned()), goal: None });
            self.figures.len() - 1
        });
        &mut self.figures[at]
    }

    /// Reads `report.json`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| path.display().to_string())?;
        let report: Self = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        ensure!(report.schema == SCHEMA, "{}: of schema {}, not {SCHEMA}", path.display(), report.schema);
        Ok(report)
    }

    /// Writes `report.json`, `report.md` and the pictures.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("report.json"), serde_json::to_vec_pretty(self)?)?;
        let pictures = plots::all(self);
        for (name, svg) in &pictures {
            std::fs::write(folder.join(name), svg)?;
        }
        let names: Vec<&str> = pictures.iter().map(|(name, _)| name.as_str()).collect();
        std::fs::write(folder.join("report.md"), self.page(&names))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_its_median_its_ratio_and_its_goal() {
        let mut report = Report::new();
        let name = ("throughput", "a");
        for (contender, value) in
            [("product", 8.0), ("limit", 9.0), ("product", 6.0), ("limit", 11.0), ("product", 9.0)]
        {
            report.note(name, Unit::PerSecond, contender, value);
        }
        report.aim(name, Some("limit"), Some(Goal::RatioAtLeast(0.8)));
        let figure = &report.figures[0];
        assert_eq!(figure.of["product"].median.to_bits(), 8.0_f64.to_bits());
        assert_eq!(figure.of["product"].rounds, [8.0, 6.0, 9.0]);
        assert_eq!((figure.ratio(), figure.reached()), (Some(0.8), Some(true)));
    }
}
