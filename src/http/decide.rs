//! `POST /v1/decide`: the same choice for a web page or a pop-up, rewarded as mail is.

use std::collections::BTreeMap;

use axum::extract::State;
use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use utoipa::ToSchema;

use crate::campaign::Campaign;
use crate::catalog::variant::CampaignEntry;
use crate::decision::Channel;
use crate::decision::Choice;
use crate::decision::Decision;
use crate::decision::Slice;
use crate::decision::VariantId;
use crate::http::auth::MayDecide;
use crate::http::body::Json;
use crate::http::problem::Problem;
use crate::http::problem::Refused;
use crate::http::send::read_data;
use crate::http::service::Service;
use crate::http::whom::read_id;
use crate::ingest::segment::ANONYMOUS;
use crate::profile::Profile;
use crate::profile::ProfileId;
use crate::select::slices;
use crate::send::ScheduledSend;
use crate::send::SendId;
use crate::send::State as SendState;
use crate::store::Store;
use crate::worker::decide::Plan;
use crate::worker::decide::Subject;
use crate::worker::decide::Verdict;
use crate::worker::engine::Engine;
use crate::worker::exhausted::Exhausted;
use crate::worker::load::load;
pub(super) use log::DecisionLog;

mod log;

/// Slots that one request may name.
const SLOTS_MAX: usize = 20;

/// For whom, and what is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DecideAsk {
    /// Which campaign; may be left out where only one has the slots.
    #[serde(default)]
    #[schema(max_length = 255)]
    campaign: Option<String>,
    /// For whom, by the id under which they were identified.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 255)]
    profile: Option<String>,
    /// For whom, by the id that the page gave them.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 250)]
    anonymous_id: Option<String>,
    /// Only these slots are wanted; all of the content where none is named.
    #[serde(default)]
    #[schema(max_items = 20)]
    slots: Vec<String>,
    /// What templates see as `data`; money as in `POST /v1/send`.
    #[serde(default)]
    #[schema(value_type = Object)]
    data: Map<String, Value>,
}

/// What was chosen.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Chosen {
    /// Names this choice: put it as `decision_id` into the properties of the events that it should be rewarded for.
    /// None where nobody chose, because the person is kept without content so that lift can be measured.
    decision_id: Option<String>,
    /// Which campaign.
    campaign: String,
    /// What was chosen; none where showing nothing was.
    variant: Option<String>,
    /// The option of each slot.
    options: BTreeMap<String, String>,
    /// Where the person stands on the journey.
    stage: Option<&'static str>,
    /// The exact probability with which the variant was chosen.
    propensity: f64,
    /// The exact probability with which these options of the wanted slots were chosen, by whichever variant.
    slots_propensity: f64,
    /// `policy`, `uniform` or `holdout`.
    slice: &'static str,
    /// The offer that it carries.
    #[schema(value_type = Option<Object>)]
    offer: Option<Value>,
    /// Products that it shows.
    products: Vec<String>,
    /// The content as HTML, where no slots are named.
    html: Option<String>,
    /// Each wanted slot as HTML.
    slots: BTreeMap<String, String>,
    /// One word why nothing was chosen.
    reason: Option<String>,
}

/// Chooses content for a page
///
/// The choice is committed before it is answered. An event of the same person whose property `decision_id` names it
/// rewards it: a click, an order.
#[utoipa::path(
    post,
    path = "/v1/decide",
    tag = "decisions",
    request_body = DecideAsk,
    security(("bearer" = []), ("basic" = [])),
    responses(
        (status = 200, description = "What to show", body = Chosen),
        (status = 404, description = "There is no such campaign, or none with these slots", body = Problem, content_type = "application/problem+json"),
        Refused,
    )
)]
pub(super) async fn decide(
    State(service): State<Service>,
    _: MayDecide,
    Json(mut ask): Json<DecideAsk>,
) -> Result<axum::Json<Chosen>, Problem> {
    let engine = service.engine();
    ask.data = read_data(ask.data, engine.minor_digits())?;
    let entry = entry(&engine, &ask)?;
    let now = service.now();
    if let Err(error) = engine.refresh_policy(service.store(), now).await {
        tracing::error!(%error, "cannot take up the newest model, going on with the one that is here");
    }
    let subject = subject(&service, &engine, entry, &ask, now).await?;
    let slice = slices::slice(&entry.campaign, &subject.profile.id, engine.config.holdout.percent);
    if slice == Slice::Holdout {
        return Ok(axum::Json(Chosen::nothing(entry, "holdout")));
    }
    let (decision, products) = match choose(service.store(), &engine, entry, &subject, slice, now).await? {
        Choosing::Chosen(plan) => (plan.decision, plan.products),
        Choosing::Nothing(decision) => (*decision, Vec::new()),
        Choosing::None(reason) => return Ok(axum::Json(Chosen::nothing(entry, &reason))),
    };
    service
        .metrics()
        .decided(entry.campaign.id.as_str(), decision.candidates.iter().map(|one| one.probability));
    let mut chosen = Chosen::of(entry, &decision, products, &ask.slots);
    if chosen.variant.is_some() {
        let content = [String::new()];
        let wanted = if ask.slots.is_empty() { &content[..] } else { &ask.slots };
        let mut regions = engine.regions(&decision, wanted.iter().map(String::as_str)).map_err(|error| {
            tracing::error!(decision = %decision.send, %error, "a decision could not be rendered");
            Problem::unprocessable(format!(
                "campaign: its content cannot be rendered for this person: {error}"
            ))
        })?;
        chosen.html = regions.remove("");
        chosen.slots = regions;
    }
    service.decisions().keep(decision).await?;
    Ok(axum::Json(chosen))
}

/// The campaign that is named, or the only one that has the slots.
fn entry<'e>(engine: &'e Engine, ask: &DecideAsk) -> Result<&'e CampaignEntry, Problem> {
    if ask.slots.len() > SLOTS_MAX {
        return Err(Problem::unprocessable(format!("slots: name at most {SLOTS_MAX}")));
    }
    let has_slots = |entry: &&CampaignEntry| {
        entry.variants().any(|variant| ask.slots.iter().all(|slot| variant.options.contains_key(slot)))
    };
    if let Some(name) = &ask.campaign {
        let entry = engine
            .catalog
            .known_campaign(name)
            .map_err(|unknown| Problem::not_found(format!("campaign: {unknown}")))?;
        if !has_slots(&entry) {
            return Err(Problem::not_found(format!("slots: no variant of {name} has all of them")));
        }
        return Ok(entry);
    }
    if ask.slots.is_empty() {
        return Err(Problem::unprocessable("campaign: name a campaign, or slots that only one campaign has"));
    }
    let mut found = engine.catalog.campaigns().filter(has_slots);
    match (found.next(), found.next()) {
        (Some(entry), None) => Ok(entry),
        (None, _) => Err(Problem::not_found("slots: no variant of any campaign has all of them")),
        _ => Err(Problem::unprocessable("campaign: several campaigns have these slots; name one")),
    }
}

/// Everything that is known of the person; nothing, of a visitor whom nobody has seen.
async fn subject(
    service: &Service,
    engine: &Engine,
    entry: &CampaignEntry,
    ask: &DecideAsk,
    now: Timestamp,
) -> Result<Subject, Problem> {
    let id = match (&ask.profile, &ask.anonymous_id) {
        (Some(id), _) => read_id(id)?,
        (None, Some(id)) => read_id(&format!("{ANONYMOUS}{id}")).map_err(|_| {
            Problem::unprocessable("anonymous_id: write 1 to 250 bytes without control characters")
        })?,
        (None, None) => return Err(Problem::unprocessable("profile: name a profile or an anonymous_id")),
    };
    let mut id = service.store().resolve(&id).await?;
    // A visitor who is being joined to somebody is not found any more, and is that person.
    let mut follows = true;
    loop {
        let send = visit(&entry.campaign, &id, ask.data.clone(), now);
        let mut loaded = load(service.store(), &engine.catalog, vec![send.clone()]).await?;
        if let Some(subject) = loaded.subjects.pop() {
            return Ok(subject);
        }
        let owner = service.store().resolve(&id).await?;
        if !follows || owner == id {
            return Ok(Subject::of_stranger(send, Profile::nameless(id, now)));
        }
        id = owner;
        follows = false;
    }
}

/// A visit stands where a send stands for mail: its id names the decision.
fn visit(
    campaign: &Campaign,
    profile: &ProfileId,
    data: Map<String, Value>,
    now: Timestamp,
) -> ScheduledSend {
    let occurrence = format!("web/{}", uuid::Uuid::new_v4().simple());
    ScheduledSend {
        id: SendId::derive(now, &campaign.id, profile, &occurrence),
        campaign: campaign.id.clone(),
        kind: campaign.kind,
        guarantee: campaign.guarantee(),
        profile: profile.clone(),
        occurrence,
        due_at: now,
        expires_at: Timestamp::MAX,
        state: SendState::Scheduled,
        attempt: 0,
        orphaned: 0,
        data,
        to: None,
    }
}

/// What choosing came to.
enum Choosing {
    Chosen(Box<Plan>),
    /// The policy chose to show nothing.
    Nothing(Box<Decision>),
    /// It did not come to a choice.
    None(String),
}

/// Chooses, and claims the code of a unique offer. Whoever has no address is chosen for without such offers.
async fn choose(
    store: &Store,
    engine: &Engine,
    entry: &CampaignEntry,
    subject: &Subject,
    slice: Slice,
    now: Timestamp,
) -> Result<Choosing, Problem> {
    let is_visitor = subject.profile.address.is_none();
    let mut exhausted =
        if is_visitor { Exhausted::of_visitor(&engine.catalog) } else { Exhausted::default() };
    loop {
        let mut plan = match engine.choose(subject, Channel::Page, entry, slice, &exhausted, now) {
            Verdict::Go(plan) => plan,
            Verdict::Stop { decision: Some(decision), .. } => return Ok(Choosing::Nothing(decision)),
            Verdict::Stop { outcome, .. } => return Ok(Choosing::None(outcome.reason)),
        };
        let Some(offer) = plan.coupon.clone() else { return Ok(Choosing::Chosen(plan)) };
        match store.claim_coupon(&offer, &subject.profile.id, now).await? {
            Some(code) => {
                plan.decision.inputs["offer"]["code"] = Value::from(code);
                return Ok(Choosing::Chosen(plan));
            }
            None => exhausted.withdraw(&plan, &offer),
        }
    }
}

impl Chosen {
    fn nothing(entry: &CampaignEntry, reason: &str) -> Self {
        Self {
            decision_id: None,
            campaign: entry.campaign.id.to_string(),
            variant: None,
            options: BTreeMap::new(),
            stage: None,
            propensity: 1.0,
            slots_propensity: 1.0,
            slice: if reason == "holdout" { Slice::Holdout.as_str() } else { Slice::Policy.as_str() },
            offer: None,
            products: Vec::new(),
            html: None,
            slots: BTreeMap::new(),
            reason: Some(reason.to_owned()),
        }
    }

    fn of(entry: &CampaignEntry, decision: &Decision, products: Vec<String>, slots: &[String]) -> Self {
        let variant = match &decision.choice {
            Choice::Variant { variant, .. } => Some(variant),
            Choice::NoSend => None,
        };
        let options = variant.map(|variant| options(entry, variant)).unwrap_or_default();
        let same = |other: &VariantId| {
            let theirs = self::options(entry, other);
            slots.iter().all(|slot| theirs.get(slot) == options.get(slot))
        };
        let probabilities = decision.candidates.iter().filter(|candidate| same(&candidate.variant));
        Self {
            decision_id: Some(decision.send.to_string()),
            campaign: decision.campaign.to_string(),
            variant: variant.map(|variant| variant.as_str().to_owned()),
            stage: Some(decision.stage.as_str()),
            propensity: decision.propensity,
            slots_propensity: if slots.is_empty() {
                decision.propensity
            } else {
                probabilities.map(|candidate| candidate.probability).sum::<f64>().min(1.0)
            },
            slice: decision.slice.as_str(),
            offer: decision.inputs.get("offer").filter(|offer| !offer.is_null()).cloned(),
            products,
            html: None,
            slots: BTreeMap::new(),
            reason: variant.is_none().then(|| "no_send".to_owned()),
            options,
        }
    }
}

/// The option of each slot of a variant.
fn options(entry: &CampaignEntry, id: &VariantId) -> BTreeMap<String, String> {
    let arm = entry.arms.iter().find(|arm| arm.id == *id);
    arm.and_then(|arm| arm.locales.first()).map(|variant| variant.options.clone()).unwrap_or_default()
}
