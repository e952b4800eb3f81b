//! `/p/…`: which mail somebody wants: topics, a pause, all or none. Only POST changes anything.

use std::collections::BTreeSet;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use serde_json::Map;
use serde_json::Value;

use crate::campaign::Kind;
use crate::http::Service;
use crate::http::body::PathText;
use crate::http::mailed::Mailed;
use crate::http::mailed::nothing_here;
use crate::http::mailed::show;
use crate::http::mailed::try_again;
use crate::http::problem::NoPage;
use crate::http::problem::Problem;
use crate::http::words::Accepted;
use crate::http::words::Words;
use crate::profile::Consent;
use crate::profile::TRACKING_TRAIT;
use crate::profile::refuses_tracking;
use crate::send::EVERY_TOPIC;
use crate::send::LIFECYCLE_TOPIC;
use crate::send::PAUSE_TOPIC;
use crate::send::Suppression;
use crate::store::ConsentProof;
use crate::store::Lift;
use crate::store::Wish;
use crate::token::Purpose;

mod form;

/// How long a pause is.
const PAUSE: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Where the proofs come from: one of [`crate::store::LINK_SOURCES`].
const SOURCE: &str = "preferences link";

/// How things stand for one person.
#[derive(Debug)]
pub(super) struct Standing {
    mailed: Mailed,
    words: Words,
    /// Every topic of the catalogue, and whether it is wanted.
    topics: Vec<(String, bool)>,
    consent: Consent,
    /// Until when nothing is sent.
    paused_until: Option<jiff::Timestamp>,
    /// The zone of the person, in which days are told.
    zone: TimeZone,
    /// Nothing is sent, because they, or their mail host, said so.
    stopped: bool,
    /// Nothing can be sent, and no wish changes it: the address bounced, or an operator stopped it.
    unreachable: bool,
    /// Clicks and opens are counted.
    tracked: bool,
}

/// What somebody asked for by the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// These topics, and no others.
    Save,
    /// Nothing for 30 days.
    Pause,
    /// The pause is over.
    Resume,
    /// Nothing any more.
    Stop,
    /// Everything again.
    Subscribe,
}

impl Action {
    /// All of them, with their words in forms.
    pub(super) const WORDS: [(Self, &'static str); 5] = [
        (Self::Save, "save"),
        (Self::Pause, "pause"),
        (Self::Resume, "resume"),
        (Self::Stop, "stop"),
        (Self::Subscribe, "subscribe"),
    ];

    pub(super) fn as_str(self) -> &'static str {
        Self::WORDS.into_iter().find(|(action, _)| *action == self).map_or("", |(_, word)| word)
    }

    fn parse(text: &str) -> Option<Self> {
        Self::WORDS.into_iter().find(|(_, word)| *word == text).map(|(action, _)| action)
    }
}

/// Shows what somebody gets and lets them choose. Changes nothing
#[utoipa::path(
    get,
    path = "/p/{token}",
    tag = "mail",
    params(("token" = String, Path, description = "Signed: which mail")),
    security(()),
    responses(
        (status = 200, description = "A page with a form", body = String, content_type = "text/html"),
        (status = 404, description = "No token of ours", body = String, content_type = "text/html"),
        (status = 503, description = "The database does not answer", body = String, content_type = "text/html"),
        NoPage,
    )
)]
pub(super) async fn show_preferences(
    State(service): State<Service>,
    accepted: Accepted,
    PathText(token): PathText,
) -> Response {
    match standing(&service, &token, &accepted).await {
        Ok(Some(standing)) => form::page(&standing, None),
        Ok(None) => nothing_here(&service.words(None, &accepted)),
        Err(problem) => try_again(&service.words(None, &accepted), problem),
    }
}

/// Does what the form asks for: `action` is `save` (with `topic` for each that is wanted), `pause`, `resume`, `stop` or
/// `subscribe`
///
/// The page's own form also says what it showed (`on` and `off`, each with `topic:` and a topic, or with `tracking`): then only what
/// differs from that is changed, so that an old tab takes nothing back that was done in another.
#[utoipa::path(
    post,
    path = "/p/{token}",
    tag = "mail",
    params(("token" = String, Path, description = "Signed: which mail")),
    security(()),
    responses(
        (status = 200, description = "It is committed", body = String, content_type = "text/html"),
        (status = 404, description = "No token of ours", body = String, content_type = "text/html"),
        (status = 422, description = "No action that there is", body = String, content_type = "text/html"),
        (status = 503, description = "The database does not answer; ask again", body = String, content_type = "text/html"),
        NoPage,
    )
)]
pub(super) async fn change(
    State(service): State<Service>,
    accepted: Accepted,
    PathText(token): PathText,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = body.unwrap_or_default();
    let fields: Vec<(String, String)> = url::form_urlencoded::parse(&body).into_owned().collect();
    let done = async {
        let nothing = || nothing_here(&service.words(None, &accepted));
        let Some(before) = standing(&service, &token, &accepted).await? else { return Ok(nothing()) };
        let action =
            fields.iter().find(|(name, _)| name == "action").and_then(|(_, word)| Action::parse(word));
        let Some(action) = action else {
            let words = &before.words;
            let body = words.paragraph(&words.no_choice);
            return Ok(show(words, StatusCode::UNPROCESSABLE_ENTITY, &words.no_choice_title, &body));
        };
        let form = Form(&fields);
        service.store().grant_wish(&before.wish(action, &form, service.now())).await?;
        let after = standing(&service, &token, &accepted).await?;
        Ok(after.map_or_else(nothing, |after| form::page(&after, Some(action))))
    };
    done.await.unwrap_or_else(|problem| try_again(&service.words(None, &accepted), problem))
}

async fn standing(service: &Service, token: &str, accepted: &Accepted) -> Result<Option<Standing>, Problem> {
    let Some(send) = service.engine().sender.links.send_of(Purpose::Preferences, token) else {
        return Ok(None);
    };
    let Some(mailed) = Mailed::read(service, &send).await? else { return Ok(None) };
    let addresses = mailed.addresses();
    let found = service.store().suppressions_of(&addresses).await?;
    let now = service.now();
    let holding: Vec<Suppression> =
        found.into_values().flatten().filter(|found| found.until.is_none_or(|until| until > now)).collect();
    let words = mailed.words(service, accepted);
    Ok(Some(Standing::new(service, mailed, words, &holding)))
}

impl Standing {
    fn new(service: &Service, mailed: Mailed, words: Words, holding: &[Suppression]) -> Self {
        let engine = service.engine();
        let lifecycle = engine.catalog.campaigns().filter(|entry| entry.campaign.kind == Kind::Lifecycle);
        let topics: BTreeSet<&str> = lifecycle.map(|entry| entry.campaign.topic()).collect();
        let stops = |topic: &str| holding.iter().any(|found| found.topic == topic);
        let theirs = |found: &Suppression| matches!(found.reason.as_str(), "unsubscribe" | "complaint");
        let of_all = |found: &&Suppression| [EVERY_TOPIC, LIFECYCLE_TOPIC].contains(&found.topic.as_str());
        Self {
            topics: topics.into_iter().map(|topic| (topic.to_owned(), !stops(topic))).collect(),
            paused_until: holding
                .iter()
                .find(|found| found.topic == PAUSE_TOPIC)
                .and_then(|found| found.until),
            stopped: holding.iter().filter(of_all).any(theirs),
            unreachable: holding.iter().filter(of_all).any(|found| !theirs(found)),
            consent: mailed.profile.consent,
            tracked: !refuses_tracking(mailed.profile.traits.get(TRACKING_TRAIT)),
            zone: mailed.profile.zone(&engine.rules.default_zone),
            words,
            mailed,
        }
    }

    /// Whether mail comes, topics aside.
    fn subscribed(&self) -> bool {
        self.consent == Consent::Granted && !self.stopped
    }

    /// The words that a new consent is given to.
    fn wording(&self) -> String {
        self.words.plain(&self.words.subscribe_wording, &[])
    }

    fn wish(&self, action: Action, form: &Form<'_>, now: jiff::Timestamp) -> Wish {
        let proof = |status: Consent, wording: String| ConsentProof {
            profile: self.mailed.profile.id.clone(),
            at: now,
            status,
            source: SOURCE.to_owned(),
            who: format!("whoever holds the link of send {}", self.mailed.send.send.id),
            wording,
            address: self.mailed.recipient(),
        };
        let mut wish = Wish {
            profile: self.mailed.profile.id.clone(),
            addresses: self.mailed.addresses(),
            send: Some(self.mailed.send.send.id.clone()),
            at: now,
            stop: Vec::new(),
            pause_until: None,
            lift: Lift::Nothing,
            proof: None,
            traits: Map::new(),
        };
        match action {
            Action::Save => {
                let changed = |(topic, had): &(String, bool)| {
                    let wanted = form.has("topic", topic);
                    form.changes(&form::topic(topic), wanted).then(|| (topic.clone(), *had, wanted))
                };
                let (lift, stop): (Vec<_>, Vec<_>) =
                    self.topics.iter().filter_map(changed).partition(|(_, _, wanted)| *wanted);
                wish.stop = stop.into_iter().map(|(topic, ..)| topic).collect();
                let again = lift.iter().any(|(_, had, _)| !had);
                if again && self.subscribed() {
                    wish.proof = Some(proof(Consent::Granted, self.wording()));
                }
                wish.lift = Lift::Topics(lift.into_iter().map(|(topic, ..)| topic).collect());
                let tracked = form.has(TRACKING_TRAIT, "on");
                if form.changes(TRACKING_TRAIT, tracked) && tracked != self.tracked {
                    let value = if tracked { Value::Null } else { Value::from("off") };
                    wish.traits.insert(TRACKING_TRAIT.to_owned(), value);
                }
            }
            Action::Pause => wish.pause_until = now.checked_add(PAUSE).ok(),
            Action::Resume => wish.lift = Lift::Topics(vec![PAUSE_TOPIC.to_owned()]),
            Action::Stop => {
                wish.stop = vec![LIFECYCLE_TOPIC.to_owned()];
                if self.consent != Consent::Withdrawn {
                    let wording = self.words.plain(&self.words.stop_wording, &[]);
                    wish.proof = Some(proof(Consent::Withdrawn, wording));
                }
            }
            Action::Subscribe => {
                wish.lift = Lift::All;
                wish.proof = Some(proof(Consent::Granted, self.wording()));
            }
        }
        wish
    }
}

/// What was sent with a form.
struct Form<'a>(&'a [(String, String)]);

impl Form<'_> {
    /// Whether a box is ticked, or a hidden field is there.
    fn has(&self, name: &str, value: &str) -> bool {
        self.0.iter().any(|(known, said)| known == name && said == value)
    }

    /// Whether this is another answer than the page showed. A form that does not say what it showed means what it says.
    fn changes(&self, what: &str, wanted: bool) -> bool {
        let says = self.0.iter().any(|(name, _)| [form::SHOWN_ON, form::SHOWN_OFF].contains(&name.as_str()));
        !says || self.has(if wanted { form::SHOWN_OFF } else { form::SHOWN_ON }, what)
    }
}
