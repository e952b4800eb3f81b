//! For those who run it: whether it lives, whether it can work, and what there is to ask for.

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::Html;
use axum::routing::get;
use serde_json::Value;

use crate::http::docs::docs;
use crate::http::exact::be_exact;
use crate::http::problem::Problem;
use crate::http::segment;
use crate::http::service::Service;

/// The process lives. Says nothing of the database: a restart would not mend it.
#[utoipa::path(get, path = "/healthz", tag = "operation", security(()), responses((status = 200, body = String)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The database answers, so requests can be served.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operation",
    security(()),
    responses((status = 200, body = String), (status = 503, body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn readyz(State(service): State<Service>) -> Result<&'static str, Problem> {
    match service.store().ping().await {
        Ok(()) => Ok("ok\n"),
        Err(error) => {
            tracing::warn!(%error, "the database does not answer");
            Err(Problem::unavailable("the database does not answer"))
        }
    }
}

/// `/openapi.json`, and `/docs` to read it.
pub(super) fn description(description: &utoipa::openapi::OpenApi) -> Router<Service> {
    let mut value = serde_json::to_value(description).unwrap_or_default();
    if let Value::Object(schemas) = &mut value["components"]["schemas"] {
        schemas.extend(segment::shapes::shapes());
    }
    require_bodies(&mut value);
    be_exact(&mut value);
    let page = docs(&value);
    let json = serde_json::to_string_pretty(&value).unwrap_or_default();
    let json = get(async move || ([(header::CONTENT_TYPE, "application/json")], json));
    Router::new().route("/openapi.json", json).route("/docs", get(async move || Html(page)))
}

/// A body that is described is wanted; the description leaves that out where the shape is named by a reference.
fn require_bodies(description: &mut Value) {
    let items = description["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    let operations = items.filter_map(Value::as_object_mut).flat_map(|item| item.values_mut());
    for body in operations.filter_map(|operation| operation.get_mut("requestBody")) {
        if body.get("required").is_none() {
            body["required"] = Value::Bool(true);
        }
    }
}
