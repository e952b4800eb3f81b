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
use crate::http::mailed::show;
use crate::http::mailed::try_again;
use crate::http::page::escape;
use crate::http::problem::NoPage;
use crate::http::problem::Problem;
use crate::http::words::Accepted;
use crate::http::words::Words;
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
pub(super) async fn ask(
    State(service): State<Service>,
    accepted: Accepted,
    PathText(token): PathText,
) -> Response {
    match mailed(&service, &token).await {
        Ok(Some(mailed)) => question(&service, &mailed, &mailed.words(&service, &accepted)),
        Ok(None) => nothing_here(&service.words(None, &accepted)),
        Err(problem) => try_again(&service.words(None, &accepted), problem),
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
    accepted: Accepted,
    PathText(token): PathText,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    // A body that cannot be read takes nobody's right away.
    let body = body.unwrap_or_default();
    let mut fields = url::form_urlencoded::parse(&body);
    let everything = fields.any(|(name, value)| name == SCOPE && value == EVERYTHING);
    let done = async {
        let Some(mailed) = mailed(&service, &token).await? else {
            return Ok(nothing_here(&service.words(None, &accepted)));
        };
        let words = mailed.words(&service, &accepted);
        let topic = if everything { LIFECYCLE_TOPIC.to_owned() } else { topic_of(&service, &mailed) };
        service.store().grant_wish(&wish(&service, &mailed, &words, &topic)).await?;
        Ok(farewell(&service, &mailed, &words, &topic))
    };
    done.await.unwrap_or_else(|problem| try_again(&service.words(None, &accepted), problem))
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

fn wish(service: &Service, mailed: &Mailed, words: &Words, topic: &str) -> Wish {
    let (profile, now) = (mailed.profile.id.clone(), service.now());
    let proof =
        (topic == LIFECYCLE_TOPIC && mailed.profile.consent != Consent::Withdrawn).then(|| ConsentProof {
            profile: profile.clone(),
            at: now,
            status: Consent::Withdrawn,
            source: SOURCE.to_owned(),
            who: format!("whoever holds the link of send {}", mailed.send.send.id),
            wording: words.plain(&words.stop_wording, &[]),
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

fn question(service: &Service, mailed: &Mailed, words: &Words) -> Response {
    let topic = topic_of(service, mailed);
    let one = if topic == LIFECYCLE_TOPIC {
        String::new()
    } else {
        let stop = words.html(&words.stop_topic_button, &[("topic", &words.topic_name(&topic))]);
        format!("<form method=\"post\"><button>{stop}</button></form>{}", words.note(&words.stop_topic_note))
    };
    let quiet = if one.is_empty() { "" } else { " class=\"quiet\"" };
    let body = format!(
        "{}{one}<form method=\"post\"><input type=\"hidden\" name=\"{SCOPE}\" value=\"{EVERYTHING}\">\
         <button{quiet}>{}</button></form>{}{}",
        words.paragraph(&words.unsubscribe_question),
        words.html(&words.stop_all_button, &[]),
        words.note(&words.still_comes_note),
        preferences_link(service, mailed, words, &words.preferences_link)
    );
    show(words, StatusCode::OK, &words.unsubscribe_title, &body)
}

fn farewell(service: &Service, mailed: &Mailed, words: &Words, topic: &str) -> Response {
    let what = if topic == LIFECYCLE_TOPIC {
        words.html(&words.unsubscribed_from_all, &[])
    } else {
        words.html(&words.unsubscribed_from_topic, &[("topic", &words.topic_name(topic))])
    };
    let back = preferences_link(service, mailed, words, &words.changed_mind_link);
    show(words, StatusCode::OK, &words.unsubscribed_title, &format!("<p>{what}</p>{back}"))
}

fn preferences_link(service: &Service, mailed: &Mailed, words: &Words, text: &str) -> String {
    let own = service.engine().sender.links.own(&mailed.send.send.id);
    let Some(page) = own.preferences else { return String::new() };
    format!("<p><a href=\"{}\">{}</a></p>", escape(&page), words.html(text, &[]))
}
