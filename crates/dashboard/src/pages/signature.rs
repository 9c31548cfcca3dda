//! What is wrong with a signature. Everything is worked out in the browser: what is pasted there never leaves the page.

use askama::Template;
use spectrum_webhook_core::ids::ProjectId;

use super::Answer;
use crate::frame::{Frame, Tab, page};
use crate::gate::Signed;
use crate::query::Place;

#[derive(Template)]
#[template(path = "signature.html")]
struct SignaturePage {
    frame: Frame,
}

/// `GET /dashboard/signature` and `GET /dashboard/projects/{project}/signature`
pub(crate) async fn show(signed: Signed, place: Place) -> Answer {
    let title = "Check a signature";
    let frame = match place.id(2).map(ProjectId) {
        Some(_) => {
            let project = signed.project(&place).await?;
            Frame::of(&signed, &project, &place, title, Tab::Signature)
        }
        None => Frame::new(&signed, title, Tab::Signature),
    };
    Ok(page(&SignaturePage { frame }))
}
