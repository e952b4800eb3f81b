//! `/u/…`: no more of this mail. POST does it at once (RFC 8058); whatever else comes here changes nothing.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Map;

use crate::campaign::Kind;
use crate::http::Service;
use crate::http::body::PathText;
use crate::http::mailed::Mailed;
use crate::http::mailed::nothing_here;
use crate::http::mailed::shop_name;
use crate::http::mailed::show;
use crate::http::mailed::topic_name;
use crate::http::mailed::try_again;
use crate::http::page::escape;
use crate::http::problem::NoPage;
use crate::http::problem::Problem;
use crate::profile::Consent;
use crate::send::LIFECYCLE_TOPIC;
use crate::store::ConsentProof;
use crate::store::Lift;
use crate::store::Wish;
use crate::token::Purpose;

/// The field of the form by which a person asks for more than one-click does.
const SCOPE: &str = "scope";
/// Its value.
const EVERYTHING: &str = "everything";
/// Where the proof of a withdrawal comes from.
const SOURCE: &str = "unsubscribe link";
/// The words on the button that withdraws.
const WORDING: &str = "No more mail but what belongs to my orders and my account";

/// Asks whether to unsubscribe. Changes nothing
#[utoipa::path(
    get,
    path = "/u/{token}",
    tag = "mail",
    params(("token" = String, Path, description = "Signed: which mail")),
    security(()),
    responses(
        (status = 200, description = "A page with a button", body = String, content_type = "text/html"),
        (status = 404, description = "No token of ours", body = String, content_type = "text/html"),
        (status = 503, description = "The database does not answer", body = String, content_type = "text/html"),
        NoPage,
    )
)]
pub(super) async fn ask(State(service): State<Service>, PathText(token): PathText) -> Response {
    match mailed(&service, &token).await {
        Ok(Some(mailed)) => question(&service, &mailed),
        Ok(None) => nothing_here(),
        Err(problem) => try_again(problem),
    }
}

/// Unsubscribes at once, as RFC 8058 has it: any body, no cookie, no redirect, as often as anybody likes
///
/// It ends the topic of the mail. The form field `scope=everything` ends all mail that is not transactional.
#[utoipa::path(
    post,
    path = "/u/{token}",
    tag = "mail",
    params(("token" = String, Path, description = "Signed: which mail")),
    security(()),
    responses(
        (status = 200, description = "It is committed: nothing more will be sent", body = String, content_type = "text/html"),
        (status = 404, description = "No token of ours", body = String, content_type = "text/html"),
        (status = 503, description = "The database does not answer; ask again", body = String, content_type = "text/html"),
        NoPage,
    )
)]
pub(super) async fn unsubscribe(
    State(service): State<Service>,
    PathText(token): PathText,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    // A body that cannot be read takes nobody's right away.
    let body = body.unwrap_or_default();
    let mut fields = url::form_urlencoded::parse(&body);
    let everything = fields.any(|(name, value)| name == SCOPE && value == EVERYTHING);
    let done = async {
        let Some(mailed) = mailed(&service, &token).await? else { return Ok(nothing_here()) };
        let topic = if everything { LIFECYCLE_TOPIC.to_owned() } else { topic_of(&service, &mailed) };
        service.store().grant_wish(&wish(&service, &mailed, &topic)).await?;
        Ok(farewell(&service, &mailed, &topic))
    };
    done.await.unwrap_or_else(try_again)
}

async fn mailed(service: &Service, token: &str) -> Result<Option<Mailed>, Problem> {
    match service.engine().sender.links.send_of(Purpose::Unsubscribe, token) {
        Some(send) => Mailed::read(service, &send).await,
        None => Ok(None),
    }
}

/// What the mail's reader unsubscribes from. Of mail whose campaign is gone, or has no topic, from all of it.
fn topic_of(service: &Service, mailed: &Mailed) -> String {
    let engine = service.engine();
    let campaign = engine.catalog.campaign(&mailed.send.send.campaign).map(|entry| &entry.campaign);
    campaign
        .filter(|campaign| campaign.kind == Kind::Lifecycle)
        .map_or(LIFECYCLE_TOPIC, |campaign| campaign.topic())
        .to_owned()
}

fn wish(service: &Service, mailed: &Mailed, topic: &str) -> Wish {
    let (profile, now) = (mailed.profile.id.clone(), service.now());
    let proof =
        (topic == LIFECYCLE_TOPIC && mailed.profile.consent != Consent::Withdrawn).then(|| ConsentProof {
            profile: profile.clone(),
            at: now,
            status: Consent::Withdrawn,
            source: SOURCE.to_owned(),
            who: format!("whoever holds the link of send {}", mailed.send.send.id),
            wording: WORDING.to_owned(),
            address: mailed.recipient(),
        });
    Wish {
        profile,
        addresses: mailed.addresses(),
        send: Some(mailed.send.send.id.clone()),
        at: now,
        stop: vec![topic.to_owned()],
        pause_until: None,
        lift: Lift::Nothing,
        proof,
        traits: Map::new(),
    }
}

fn question(service: &Service, mailed: &Mailed) -> Response {
    let (shop, topic) = (shop_name(service), topic_of(service, mailed));
    let one = if topic == LIFECYCLE_TOPIC {
        String::new()
    } else {
        format!(
            "<form method=\"post\"><button>Stop “{}”</button></form>\
             <p class=\"note\">You will still get other mail that you asked for.</p>",
            escape(&topic_name(&topic))
        )
    };
    let quiet = if one.is_empty() { "" } else { " class=\"quiet\"" };
    let body = format!(
        "<p>This mail came from {}. Nothing has changed yet.</p>{one}\
         <form method=\"post\"><input type=\"hidden\" name=\"{SCOPE}\" value=\"{EVERYTHING}\">\
         <button{quiet}>Stop all mail</button></form>\
         <p class=\"note\">What belongs to your orders and your account still comes.</p>{}",
        escape(&shop),
        preferences_link(service, mailed, "Choose topics, or pause for 30 days")
    );
    show(StatusCode::OK, "Unsubscribe?", &body)
}

fn farewell(service: &Service, mailed: &Mailed, topic: &str) -> Response {
    let what = if topic == LIFECYCLE_TOPIC {
        "No more mail will come, but for what belongs to your orders and your account.".to_owned()
    } else {
        format!("No more mail about “{}” will come.", escape(&topic_name(topic)))
    };
    let body = format!("<p>{what}</p>{}", preferences_link(service, mailed, "Changed your mind?"));
    show(StatusCode::OK, "You are unsubscribed", &body)
}

fn preferences_link(service: &Service, mailed: &Mailed, text: &str) -> String {
    let own = service.engine().sender.links.own(&mailed.send.send.id);
    let Some(page) = own.preferences else { return String::new() };
    format!("<p><a href=\"{}\">{}</a></p>", escape(&page), escape(text))
}
