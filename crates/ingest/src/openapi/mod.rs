//! The description of the API in OpenAPI 3.1, made from the handlers: what [`router`](mod@crate::router) serves is
//! what is described.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `parameters`, `bodies` | what is read: parameters, and bodies of requests |
//! | `words` | strings that are one of a few words |
//! | `refusals` | with what each call can be refused |
//! | `site` | the description and its page, as they are served |

pub(crate) mod bodies;
pub(crate) mod parameters;
pub(crate) mod refusals;
pub(crate) mod site;
pub(crate) mod words;

use std::collections::BTreeMap;

use utoipa::openapi::schema::{Array, ArrayItems, Schema};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi, Ref, RefOr, Required};
use utoipa::{Modify, OpenApi as _};

use crate::problem::{self, ProblemBody};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Spectrum webhooks",
        description = "Takes events over HTTP and delivers them to webhooks: signed, in order for each URL, at least \
                       once.\n\n\
                       Answers are `{\"succeed\":true,\"data\":…}` or `{\"succeed\":false,\"code\":\"…\",\
                       \"message\":\"…\"}`: decide by `code`. Every path is served with and without the trailing \
                       slash. Unknown fields and parameters are ignored. Limits are those of the default settings.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers((url = "/", description = "This server")),
    security(("project" = []), ("operator" = [])),
    tags(
        (name = "Events", description = "Posting events, and what became of them"),
        (name = "Webhooks", description = "The project and its webhooks"),
        (name = "Steering", description = "Trying a webhook, and what people do about its deliveries"),
        (name = "Dead letters", description = "What was given up: kept until someone sends it again or discards it"),
        (name = "Replays", description = "Many events again to one webhook, in their order, as a job"),
        (name = "Description", description = "This description"),
    ),
    components(schemas(ProblemBody)),
    modifiers(&Secured),
)]
struct Base;

struct Secured;

impl Modify for Secured {
    fn modify(&self, api: &mut OpenApi) {
        let components = api.components.get_or_insert_default();
        let scheme = |scheme, what: &str| {
            let mut http = Http::new(scheme);
            http.description = Some(what.to_owned());
            SecurityScheme::Http(http)
        };
        let project = "User: the project's id; password: its secret. Good for paths with that id only.";
        components.add_security_scheme("project", scheme(HttpAuthScheme::Basic, project));
        let operator = "An operator's token, good for every project.";
        components.add_security_scheme("operator", scheme(HttpAuthScheme::Bearer, operator));
    }
}

/// What is said beside the calls.
pub(crate) fn base() -> OpenApi {
    Base::openapi()
}

/// The description as it is served and committed: JSON in lines, ended by a line's end.
pub(crate) fn text(mut api: OpenApi) -> String {
    let calls = json(&api.paths);
    let alone = problem::ALL.iter().map(refusals::alone);
    let used = alone.filter(|(name, _)| calls.contains(&format!("\"#/components/responses/{name}\"")));
    // The macro knows no body that may be left out.
    let rotate = api.paths.paths.get_mut("/projects/{projectId}/webhooks/{webhookId}/secret/rotate");
    let rotate = rotate.and_then(|path| path.post.as_mut()?.request_body.as_mut());
    if let Some(RefOr::T(body)) = rotate {
        body.required = Some(Required::False);
    }
    let components = api.components.get_or_insert_default();
    name_answers(&mut components.schemas);
    components.responses.extend(used.map(|(name, response)| (name, response.into())));
    json(&api) + "\n"
}

/// Names what an answer holds: the macro writes the parameter of a type out where it stands.
fn name_answers(schemas: &mut BTreeMap<String, RefOr<Schema>>) {
    let known: Vec<_> = schemas.iter().map(|(name, schema)| (name.clone(), schema.clone())).collect();
    for answer in schemas.values_mut() {
        let RefOr::T(Schema::Object(answer)) = answer else { continue };
        let held = match answer.properties.get_mut("data") {
            Some(RefOr::T(Schema::Array(Array { items: ArrayItems::RefOrSchema(item), .. }))) => item.as_mut(),
            Some(data) => data,
            None => continue,
        };
        if let Some((name, _)) = known.iter().find(|(_, schema)| schema == held) {
            *held = Ref::from_schema_name(name).into();
        }
    }
}

fn json<T: serde::Serialize>(value: &T) -> String {
    #[expect(clippy::expect_used, reason = "a description is made of strings, numbers and lists")]
    serde_json::to_string_pretty(value).expect("JSON")
}
