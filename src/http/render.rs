//! `POST /v1/render`: what a send would be. Nothing is stored, nothing is sent.

use axum::extract::State;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::auth::MayDecide;
use crate::http::body::Json;
use crate::http::problem::Problem;
use crate::http::problem::Refused;
use crate::http::send::read_data;
use crate::http::sends::Why;
use crate::http::service::Service;
use crate::http::whom::person;
use crate::preview::PreviewError;
use crate::preview::dry_run::DryRunRequest;
use crate::preview::dry_run::dry_run;

/// One mail to one person.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RenderAsk {
    /// Which campaign.
    #[schema(max_length = 255)]
    campaign: String,
    /// For whom, by the id under which they were identified.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 255)]
    profile: Option<String>,
    /// For whom, by where they read mail.
    #[serde(default)]
    #[schema(format = "email", max_length = 254)]
    address: Option<String>,
    /// What templates see as `data`, money as in `POST /v1/send`; where it is left out, that of what starts the campaign, or of a sample.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    data: Option<Map<String, Value>>,
}

/// What would become of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Render {
    /// Whether a mail would go out.
    sent: bool,
    /// What would become of the send instead.
    state: Option<&'static str>,
    /// One word why.
    reason: Option<String>,
    /// A sentence why.
    detail: Option<String>,
    /// The mail's subject.
    subject: Option<String>,
    /// What inboxes show beside the subject.
    preheader: Option<String>,
    /// The HTML part.
    html: Option<String>,
    /// The plain-text part.
    text: Option<String>,
    /// Why this content.
    decision: Option<Why>,
    /// Sentences for people.
    notes: Vec<String>,
    /// Sentences for people about what to look at.
    warnings: Vec<String>,
}

/// Renders one mail as the worker would, without sending or storing anything
#[utoipa::path(
    post,
    path = "/v1/render",
    tag = "sends",
    request_body = RenderAsk,
    security(("bearer" = []), ("basic" = [])),
    responses(
        (status = 200, description = "The mail, or why there would be none", body = Render),
        (status = 404, description = "There is no such campaign or profile", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The profile has no address, or was erased", body = Problem, content_type = "application/problem+json"),
        Refused,
    )
)]
pub(super) async fn render(
    State(service): State<Service>,
    _: MayDecide,
    Json(ask): Json<RenderAsk>,
) -> Result<axum::Json<Render>, Problem> {
    let engine = service.engine();
    let entry = engine
        .catalog
        .known_campaign(&ask.campaign)
        .map_err(|unknown| Problem::not_found(format!("campaign: {unknown}")))?;
    let data = ask.data.map(|data| read_data(data, engine.minor_digits())).transpose()?;
    let person = person(&service, ask.profile.as_deref(), ask.address.as_deref()).await?;
    let request = DryRunRequest { profile: person.profile, to: person.to, data };
    let done =
        dry_run(service.store(), &engine, entry, request, service.now()).await.map_err(
            |error| match error {
                PreviewError::Store(error) => Problem::from(error),
                other => Problem::unprocessable(other.to_string()),
            },
        )?;
    let (mail, outcome) = match done.answer {
        Ok(mail) => (Some(mail), None),
        Err(outcome) => (None, Some(outcome)),
    };
    Ok(axum::Json(Render {
        sent: mail.is_some(),
        state: outcome.as_ref().map(|outcome| outcome.state.as_str()),
        reason: outcome.as_ref().map(|outcome| outcome.reason.clone()),
        detail: outcome.map(|outcome| outcome.detail),
        subject: mail.as_ref().map(|mail| mail.subject.clone()),
        preheader: mail.as_ref().map(|mail| mail.preheader.clone()),
        html: mail.as_ref().map(|mail| mail.html.clone()),
        text: mail.map(|mail| mail.text),
        decision: done.decision.as_deref().map(Why::of),
        notes: done.notes,
        warnings: done.warnings,
    }))
}
