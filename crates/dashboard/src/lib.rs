//! The dashboard: pages over what the HTTP API does, for people without a terminal. It reads by the same ports, and acts
//! by calling the API within the process: there is no second set of rules.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`settings`] | what can be set |
//! | [`state`] | what every request shares |
//! | [`router`](mod@router) | which path is served by what, and the headers of every answer |
//! | `session` | cookies that hold a session, sealed |
//! | `gate` | who is there, and where a form comes from |
//! | `limits` | sign-ins that fail, and live streams: so many and no more |
//! | `api` | calls of the API |
//! | `assets` | the style sheet and the script |
//! | `query`, `form` | what a URL and a form say |
//! | `frame`, `trouble` | what stands around a page, and pages that say what went wrong |
//! | `words` | times, numbers and states, as they are shown |
//! | `plot` | numbers as pictures, and as tables beside them |
//! | `live` | pages that change while they are looked at |
//! | `pages` | the pages, one file each |

mod api;
mod assets;
mod form;
mod frame;
mod gate;
mod limits;
mod live;
mod pages;
mod plot;
mod query;
pub mod router;
mod session;
pub mod settings;
pub mod state;
mod trouble;
mod words;

pub use router::router;
pub use settings::Settings;
pub use state::{Dashboard, Ports};
