//! `/k/…`: whoever reads the address says yes. The link works once; only the button, never the link alone, says it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Map;

use crate::http::Service;
use crate::http::body::PathText;
use crate::http::mailed::nothing_here;
use crate::http::mailed::show;
use crate::http::mailed::try_again;
use crate::http::page::escape;
use crate::http::problem::NoPage;
use crate::http::problem::Problem;
use crate::http::words::Accepted;
use crate::http::words::Words;
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
pub(in crate::http) async fn ask(
    State(service): State<Service>,
    accepted: Accepted,
    PathText(token): PathText,
) -> Response {
    match open_request(&service, &token, &accepted).await {
        Ok((Open::Yes(request), words)) => question(&words, &request),
        Ok((Open::Done, words)) => done(&words),
        Ok((Open::Over, words)) => over(&words),
        Ok((Open::Unknown, words)) => nothing_here(&words),
        Err(problem) => try_again(&service.words(None, &accepted), problem),
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
pub(in crate::http) async fn confirm(
    State(service): State<Service>,
    accepted: Accepted,
    PathText(token): PathText,
) -> Response {
    let confirmed = async {
        let (open, words) = open_request(&service, &token, &accepted).await?;
        Ok(match open {
            Open::Yes(request) => {
                let wish = wish(&service, &request);
                match service.store().confirm_consent(&request.id, &request.address, &wish).await? {
                    Confirmed::Now | Confirmed::Before => done(&words),
                    Confirmed::Elsewhere => over(&words),
                }
            }
            Open::Done => done(&words),
            Open::Over => over(&words),
            Open::Unknown => nothing_here(&words),
        })
    };
    confirmed.await.unwrap_or_else(|problem| try_again(&service.words(None, &accepted), problem))
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

/// Whether the question can still be answered, and the words for whom it asks.
async fn open_request(service: &Service, token: &str, accepted: &Accepted) -> Result<(Open, Words), Problem> {
    let unknown = || (Open::Unknown, service.words(None, accepted));
    let Some(id) = service.engine().sender.links.text_of(Purpose::Confirm, token) else {
        return Ok(unknown());
    };
    let Some(request) = service.store().consent_request(&id).await? else { return Ok(unknown()) };
    let profile = service.store().profile(&request.profile).await?;
    let locale = profile.as_ref().and_then(|profile| profile.locale.as_deref());
    let words = service.words(locale, accepted);
    if request.confirmed_at.is_some() {
        return Ok((Open::Done, words));
    }
    let Some(profile) = profile else { return Ok((Open::Unknown, words)) };
    let same = profile.address.as_ref().is_some_and(|address| address.key() == request.address);
    let is_open = same && service.now() < request.expires_at;
    Ok((if is_open { Open::Yes(Box::new(request)) } else { Open::Over }, words))
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

fn question(words: &Words, request: &ConsentRequest) -> Response {
    let address =
        EmailAddress::parse(&request.address).map_or(String::new(), |address| mask(address.as_str()));
    let body = format!(
        "<p>{}</p><blockquote>{}</blockquote><form method=\"post\"><button>{}</button></form>{}",
        words.html(&words.confirm_question, &[("address", &address)]),
        escape(&request.wording),
        words.html(&words.confirm_button, &[]),
        words.note(&words.confirm_note)
    );
    show(words, StatusCode::OK, &words.confirm_title, &body)
}

fn done(words: &Words) -> Response {
    show(words, StatusCode::OK, &words.confirmed_title, &words.paragraph(&words.confirmed))
}

fn over(words: &Words) -> Response {
    show(words, StatusCode::GONE, &words.expired_title, &words.paragraph(&words.expired))
}
