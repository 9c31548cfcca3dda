//! The program with defects, to see whether the oracle of the chaos runs cries. It is the whole product; between its
//! dispatcher and the backends stand saboteurs, and each project that the variable `SABOTAGE` names
//! (`drop=PROJECT,swap=PROJECT,…`) has one defect. Every event that is harmed is named in the log.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `defect` | the defects, and who has which |
//! | `saboteur` | what they share: victims, and what is not acknowledged |
//! | `queue` | drops, swaps and rebuilds what is taken |
//! | `store` | signs by an old key, forgets deletions, lets acknowledgements go before their rows |

mod defect;
mod queue;
mod saboteur;
mod store;

use std::process::ExitCode;
use std::sync::Arc;

use spectrum_webhook::Ports;

use queue::BadQueue;
use saboteur::Saboteur;
use store::BadStore;

fn main() -> ExitCode {
    spectrum_webhook::main_with(sabotage)
}

#[expect(clippy::panic, reason = "a test whose defects cannot be read has failed")]
fn sabotage(ports: Ports) -> Ports {
    let Ok(victims) = std::env::var("SABOTAGE") else { return ports };
    let victims = defect::victims(&victims).unwrap_or_else(|wrong| panic!("SABOTAGE: {wrong}"));
    let saboteur = Arc::new(Saboteur::of(victims));
    Ports {
        queue: Arc::new(BadQueue::over(ports.queue, Arc::clone(&saboteur))),
        store: Arc::new(BadStore::over(ports.store, saboteur)),
        ..ports
    }
}
