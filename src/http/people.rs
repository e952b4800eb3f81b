//! `GET` and `DELETE /v1/profiles/{id}`: what is held on a person, and forgetting it.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::auth::MaySeePeople;
use crate::http::body::PathText;
use crate::http::problem::Problem;
use crate::http::problem::Refused;
use crate::http::service::Service;
use crate::http::whom::read_id;
use crate::profile::ProfileId;

/// Everything that is held on a person.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Export {
    /// Who.
    profile: String,
    /// Every row of theirs, by table. Times are milliseconds since 1970.
    #[schema(value_type = BTreeMap<String, Vec<Object>>)]
    tables: BTreeMap<String, Vec<Value>>,
}

/// What forgetting somebody did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Erasure {
    /// Rows that are gone, by table.
    deleted: BTreeMap<String, u64>,
    /// Sends that stay, without a name, so that figures stay right.
    sends_kept: u64,
    /// Addresses that stay suppressed, as keyed hashes.
    addresses: usize,
}

/// Every row of a person in every table
#[utoipa::path(
    get,
    path = "/v1/profiles/{id}",
    tag = "people",
    params(("id" = String, Path, min_length = 1, max_length = 255, description = "As they were identified")),
    security(("bearer" = []), ("basic" = [])),
    responses(
        (status = 200, description = "All of it", body = Export),
        (status = 404, description = "Nothing is held on them", body = Problem, content_type = "application/problem+json"),
        Refused,
    )
)]
pub(super) async fn export(
    State(service): State<Service>,
    _: MaySeePeople,
    PathText(id): PathText,
) -> Result<axum::Json<Export>, Problem> {
    let id = resolve(&service, &id).await?;
    let tables = service.store().person(&id).await?;
    if tables.is_empty() {
        return Err(nothing(&id));
    }
    Ok(axum::Json(Export { profile: id.to_string(), tables }))
}

/// Forgets a person
///
/// Their rows are deleted, sends stay without a name, what is not yet on the wire is called off. Their id and addresses
/// are kept as keyed hashes only, by which they stay suppressed and are not taken in again by accident.
#[utoipa::path(
    delete,
    path = "/v1/profiles/{id}",
    tag = "people",
    params(("id" = String, Path, min_length = 1, max_length = 255, description = "As they were identified")),
    security(("bearer" = []), ("basic" = [])),
    responses(
        (status = 200, description = "They are forgotten", body = Erasure),
        (status = 404, description = "Nothing is held on them", body = Problem, content_type = "application/problem+json"),
        Refused,
    )
)]
pub(super) async fn erase(
    State(service): State<Service>,
    _: MaySeePeople,
    PathText(id): PathText,
) -> Result<axum::Json<Erasure>, Problem> {
    let id = read_id(&id)?;
    let erased = service.store().erase(&id, service.now()).await?.ok_or_else(|| nothing(&id))?;
    let (deleted, sends_kept, addresses) = (erased.deleted, erased.sends_kept, erased.addresses);
    Ok(axum::Json(Erasure { deleted, sends_kept, addresses }))
}

async fn resolve(service: &Service, text: &str) -> Result<ProfileId, Problem> {
    Ok(service.store().resolve(&read_id(text)?).await?)
}

fn nothing(id: &ProfileId) -> Problem {
    Problem::not_found(format!("nothing is held on {id}"))
}
