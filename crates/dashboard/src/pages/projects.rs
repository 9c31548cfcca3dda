//! All projects, for an operator.

use askama::Template;
use spectrum_webhook_core::ids::ProjectId;
use spectrum_webhook_core::ports::{DirectoryError, Project};
use spectrum_webhook_core::time::Millis;

use super::{Answer, ROWS};
use crate::frame::{Frame, Tab, page};
use crate::gate::Signed;
use crate::query::Place;
use crate::trouble::Trouble;
use crate::words;

#[derive(Template)]
#[template(path = "projects.html")]
struct ProjectsPage {
    frame: Frame,
    search: String,
    projects: Vec<Project>,
    all: usize,
    next: Option<String>,
}

/// `GET /dashboard/projects`
pub(crate) async fn show(signed: Signed, place: Place) -> Answer {
    signed.as_operator()?;
    let all = match signed.shared.ports.directory.list_projects().await {
        Ok(all) => all,
        Err(DirectoryError::Port(error)) => return Err(error.into()),
        Err(DirectoryError::NotFound | DirectoryError::UrlTaken) => return Err(Trouble::unavailable()),
    };
    let search = place.text("search").unwrap_or_default().to_lowercase();
    let fits = |project: &Project| {
        search.is_empty() || project.name.to_lowercase().contains(&search) || project.id.to_string().contains(&search)
    };
    let after = place.cursor::<(Millis, ProjectId)>();
    let is_behind = |project: &Project| after.is_none_or(|after| (project.created_at, project.id) < after);
    let count = all.len();
    // The newest first: that is the one that is looked for most.
    let mut found: Vec<Project> = all.into_iter().rev().filter(|project| fits(project) && is_behind(project)).collect();
    found.sort_by_key(|project| std::cmp::Reverse((project.created_at, project.id)));
    let more = found.len() > ROWS as usize;
    found.truncate(ROWS as usize);
    let next = found.last().filter(|_| more).map(|last| place.after(&(last.created_at, last.id)));
    let frame = Frame::new(&signed, "Projects", Tab::Projects);
    Ok(page(&ProjectsPage { frame, search, projects: found, all: count, next }))
}
