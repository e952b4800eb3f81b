//! `/k/…`: whoever reads the address says yes. The link works once; only the button, never the link alone, says it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Map;

use crate::http::Service;
use crate::http::body::PathText;
use crate::http::mailed::nothing_here;
use crate::http::mailed::shop_name;
use crate::http::mailed::show;
use crate::http::mailed::try_again;
use crate::http::page::escape;
use crate::http::problem::NoPage;
use crate::http::problem::Problem;
use crate::profile::Consent;
use crate::profile::EmailAddress;
use crate::profile::mask;
use crate::store::Confirmed;
use crate::store::ConsentProof;
use crate::store::ConsentRequest;
use crate::store::Lift;
use crate::store::Wish;
use crate::token::Purpose;

/// Where the proof comes from: one of [`crate::store::LINK_SOURCES`].
const SOURCE: &str = "confirmation link";

/// Asks whether to confirm. Changes nothing
#[utoipa::path(
    get,
    path = "/k/{token}",
    tag = "mail",
    params(("token" = String, Path, description = "Signed: which question")),
    security(()),
    responses(
        (status = 200, description = "A page with a button", body = String, content_type = "text/html"),
        (status = 404, description = "No token of ours", body = String, content_type = "text/html"),
        (status = 410, description = "It is too late", body = String, content_type = "text/html"),
        (status = 503, description = "The database does not answer", body = String, content_type = "text/html"),
        NoPage,
    )
)]
pub(in crate::http) async fn ask(State(service): State<Service>, PathText(token): PathText) -> Response {
    match open_request(&service, &token).await {
        Ok(Open::Yes(request)) => question(&service, &request),
        Ok(Open::Done) => done(&service),
        Ok(Open::Over) => over(),
        Ok(Open::Unknown) => nothing_here(),
        Err(problem) => try_again(problem),
    }
}

/// Grants the consent that was asked for, once
#[utoipa::path(
    post,
    path = "/k/{token}",
    tag = "mail",
    params(("token" = String, Path, description = "Signed: which question")),
    security(()),
    responses(
        (status = 200, description = "It is committed, or was before", body = String, content_type = "text/html"),
        (status = 404, description = "No token of ours", body = String, content_type = "text/html"),
        (status = 410, description = "It is too late", body = String, content_type = "text/html"),
        (status = 503, description = "The database does not answer; ask again", body = String, content_type = "text/html"),
        NoPage,
    )
)]
pub(in crate::http) async fn confirm(State(service): State<Service>, PathText(token): PathText) -> Response {
    let confirmed = async {
        Ok(match open_request(&service, &token).await? {
            Open::Yes(request) => {
                let wish = wish(&service, &request);
                match service.store().confirm_consent(&request.id, &request.address, &wish).await? {
                    Confirmed::Now | Confirmed::Before => done(&service),
                    Confirmed::Elsewhere => over(),
                }
            }
            Open::Done => done(&service),
            Open::Over => over(),
            Open::Unknown => nothing_here(),
        })
    };
    confirmed.await.unwrap_or_else(try_again)
}

/// Whether a question can still be answered.
enum Open {
    Yes(Box<ConsentRequest>),
    /// It was.
    Done,
    /// Its time is over, or the person has another address by now.
    Over,
    /// There is none.
    Unknown,
}

async fn open_request(service: &Service, token: &str) -> Result<Open, Problem> {
    let Some(id) = service.engine().sender.links.text_of(Purpose::Confirm, token) else {
        return Ok(Open::Unknown);
    };
    let Some(request) = service.store().consent_request(&id).await? else { return Ok(Open::Unknown) };
    if request.confirmed_at.is_some() {
        return Ok(Open::Done);
    }
    let profile = service.store().profile(&request.profile).await?;
    let Some(profile) = profile else { return Ok(Open::Unknown) };
    let same = profile.address.as_ref().is_some_and(|address| address.key() == request.address);
    Ok(if same && service.now() < request.expires_at { Open::Yes(Box::new(request)) } else { Open::Over })
}

fn wish(service: &Service, request: &ConsentRequest) -> Wish {
    let now = service.now();
    Wish {
        profile: request.profile.clone(),
        addresses: vec![request.address.clone()],
        send: None,
        at: now,
        stop: Vec::new(),
        pause_until: None,
        lift: Lift::All,
        proof: Some(ConsentProof {
            profile: request.profile.clone(),
            at: now,
            status: Consent::Granted,
            source: SOURCE.to_owned(),
            who: format!(
                "whoever reads the address; asked {} by {} ({})",
                request.requested_at, request.source, request.who
            ),
            wording: request.wording.clone(),
            address: Some(request.address.clone()),
        }),
        traits: Map::new(),
    }
}

fn question(service: &Service, request: &ConsentRequest) -> Response {
    let address =
        EmailAddress::parse(&request.address).map_or(String::new(), |address| mask(address.as_str()));
    let body = format!(
        "<p>{} asks for {}:</p><blockquote>{}</blockquote><form method=\"post\"><button>Yes, I confirm</button></form>\
         <p class=\"note\">Was it not you? Close this page, and nothing will come.</p>",
        escape(&shop_name(service)),
        escape(&address),
        escape(&request.wording)
    );
    show(StatusCode::OK, "One more click", &body)
}

fn done(service: &Service) -> Response {
    let body = format!(
        "<p>Thank you. Mail from {} will come; every one has a link to stop it.</p>",
        escape(&shop_name(service))
    );
    show(StatusCode::OK, "Confirmed", &body)
}

fn over() -> Response {
    let body =
        "<p>This link has expired. Subscribe once more where you did before, and a new one will come.</p>";
    show(StatusCode::GONE, "That took too long", body)
}
