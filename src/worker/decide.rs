//! gate → history → stage → facts → select → decision: the pure part of one send.

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::ToSpan as _;
use serde_json::Map;
use serde_json::Value;
use sha2::Digest as _;
use sha2::Sha256;

use crate::campaign::Campaign;
use crate::campaign::Kind;
use crate::campaign::Trigger;
use crate::catalog::offer::OfferKind;
use crate::catalog::variant::CampaignEntry;
use crate::decision::Channel;
use crate::decision::Choice;
use crate::decision::Decision;
use crate::decision::Slice;
use crate::decision::TemplateHash;
use crate::event::Event;
use crate::facts;
use crate::history;
use crate::history::History;
use crate::history::Mail;
use crate::profile::Profile;
use crate::select;
use crate::select::Situation;
use crate::select::features::Customer;
use crate::select::recommend::Recommendations;
use crate::select::recommend::recommend;
use crate::select::slices;
use crate::send::Outcome;
use crate::send::ScheduledSend;
use crate::send::SendId;
use crate::send::State;
use crate::send::Suppression;
use crate::stage;
use crate::stage::Placement;
use crate::stage::StageRecord;
use crate::store::NO_COUPON;
use crate::worker::engine::Engine;
use crate::worker::exhausted::Exhausted;
use crate::worker::gate;
use crate::worker::gate::OptIn;
use crate::worker::guard;

mod drawn;

use drawn::Drawn;
use drawn::reasons;

/// All that is known of a send and of its person, as it was read.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The send.
    pub send: ScheduledSend,
    /// To whom.
    pub profile: Profile,
    /// What they did.
    pub events: Vec<Event>,
    /// What they were sent.
    pub mails: Vec<Mail>,
    /// Where they stood.
    pub stage: Option<StageRecord>,
    /// What stands against their address.
    pub suppressions: Vec<Suppression>,
    /// How their newest consent came, where the campaign asks.
    pub opt_in: OptIn,
}

impl Subject {
    /// Somebody of whom nothing is known.
    pub fn of_stranger(send: ScheduledSend, profile: Profile) -> Self {
        Self {
            send,
            profile,
            events: Vec::new(),
            mails: Vec::new(),
            stage: None,
            suppressions: Vec::new(),
            opt_in: OptIn::Single,
        }
    }
}

/// What is to become of a send.
#[derive(Debug)]
pub enum Verdict {
    /// Nothing is sent now.
    Stop {
        /// What becomes of it instead.
        outcome: Outcome,
        /// The step on the journey that was noticed on the way.
        placement: Option<Box<Placement>>,
        /// The decision to send nothing, where it came to one.
        decision: Option<Box<Decision>>,
    },
    /// This is to be sent.
    Go(Box<Plan>),
}

/// A decision, with what must happen beside it.
#[derive(Debug)]
pub struct Plan {
    /// To be saved before anything is rendered.
    pub decision: Decision,
    /// The step on the journey that was noticed on the way.
    pub placement: Placement,
    /// The offer whose coupon must be claimed for this person, its code written into the decision.
    pub coupon: Option<String>,
    /// Products that the mail shows.
    pub products: Vec<String>,
}

/// The seed of a send's first draw: the same send, the same draw.
pub fn seed(send: &SendId) -> u64 {
    seed_of_draw(send, 0)
}

/// The seed of a send's draw by its number: draws of one send are as independent as those of two.
fn seed_of_draw(send: &SendId, draw: usize) -> u64 {
    let mut hash = Sha256::new_with_prefix(send.as_str().as_bytes());
    if draw > 0 {
        hash.update(format!("/draw/{draw}"));
    }
    let digest = hash.finalize();
    u64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

/// The experiment by which a person has their place in an A/B test: another for each draw, and sticky all the same.
fn split(campaign: &Campaign, draw: usize) -> String {
    match draw {
        0 => format!("ab/{}", campaign.id),
        draw => format!("ab/{}/draw/{draw}", campaign.id),
    }
}

impl Engine {
    /// Decides one send at `now`. `exhausted`: what has no coupon left, and draws that fell on such a thing before.
    pub fn decide(&self, subject: &Subject, exhausted: &Exhausted, now: Timestamp) -> Verdict {
        let Some(entry) = self.catalog.campaign(&subject.send.campaign) else {
            let detail = format!("there is no campaign {} among the templates", subject.send.campaign);
            return Verdict::stop(Outcome::terminal(State::Failed, "no_campaign", detail));
        };
        let slice = slices::slice(&entry.campaign, &subject.profile.id, self.config.holdout.percent);
        let visitor = gate::Visitor {
            send: &subject.send,
            campaign: &entry.campaign,
            profile: &subject.profile,
            suppressions: &subject.suppressions,
            mails: &subject.mails,
            slice,
            opt_in: subject.opt_in,
        };
        if let Some(outcome) = gate::check(&self.rules, &visitor, now) {
            return Verdict::stop(outcome);
        }
        if let Some(outcome) = canceled(&entry.campaign, subject) {
            return Verdict::stop(outcome);
        }
        self.choose(subject, Channel::Mail, entry, slice, exhausted, now)
    }

    /// Decides what somebody would be shown whom the gate lets pass: the second half of [`Engine::decide`].
    pub fn choose(
        &self,
        subject: &Subject,
        channel: Channel,
        entry: &CampaignEntry,
        slice: Slice,
        exhausted: &Exhausted,
        now: Timestamp,
    ) -> Verdict {
        let mut history = self.history(subject, now);
        let placement = stage::place(&history, subject.stage.as_ref(), &self.config.stage, now);
        let asked = self.asked(&entry.campaign.id);
        history.events.retain(|slug, _| asked.is_none_or(|asked| asked.event(slug)));
        let recommendations = self.recommendations(subject, &entry.campaign, &history, now);
        let sources = facts::Sources {
            profile: &subject.profile,
            history: &history,
            stage: placement.stage,
            campaign: &entry.campaign,
            products: &self.products,
            recommendations: &recommendations,
            data: &subject.send.data,
            shop: &self.shop,
            now,
        };
        let mut facts = facts::build(&sources, |name| asked.is_none_or(|asked| asked.name(name)));
        if let Some(outcome) = outside_audience(entry, &facts) {
            return Verdict::Stop { outcome, placement: Some(Box::new(placement)), decision: None };
        }
        let (rings, deadline) = (self.policy.rings.load(), subject.send.expires_at);
        if let Some(outcome) = guard::waits(&entry.campaign, &rings, &history, deadline, now) {
            return Verdict::Stop { outcome, placement: Some(Box::new(placement)), decision: None };
        }
        let model = self.policy.current();
        let draw = exhausted.withdrawn().len();
        let selection = select::select(&Situation {
            entry,
            facts: &facts,
            mails: &subject.mails,
            customer: Customer::of(&history).shown(channel),
            model: model.as_deref(),
            stage: placement.stage,
            locale: subject.profile.locale.as_deref(),
            slice,
            position: slices::position(&subject.profile.id, &split(&entry.campaign, draw)),
            no_coupons: exhausted.offers(),
            now,
            seed: seed_of_draw(&subject.send.id, draw),
        });
        if let (Some(variant), Value::Object(facts)) = (selection.variant, &mut facts) {
            self.add_printed(facts, &sources, subject, &variant.template);
        }
        let drawn = Drawn { selection, withdrawn: exhausted.withdrawn(), slice };
        self.conclude(subject, drawn, placement, facts, now)
    }

    /// Adds what the template can print and no rule asked for.
    fn add_printed(
        &self,
        facts: &mut Map<String, Value>,
        sources: &facts::Sources<'_>,
        subject: &Subject,
        template: &TemplateHash,
    ) {
        let Some(printed) = self.printed.get(template) else { return };
        let history;
        let mut sources = *sources;
        if printed.contains("history") {
            // The one at hand has only the events that rules ask for.
            history = self.history(subject, sources.now);
            sources.history = &history;
            facts.remove("history");
        }
        facts::add(facts, &sources, |name| printed.contains(name));
    }

    /// The history of a subject at `now`.
    pub fn history(&self, subject: &Subject, now: Timestamp) -> History {
        self.history_of(subject.profile.created_at, &subject.events, &subject.mails, now)
    }

    /// The history of somebody known since `created_at`, at `now`.
    pub fn history_of(
        &self,
        created_at: Timestamp,
        events: &[Event],
        mails: &[Mail],
        now: Timestamp,
    ) -> History {
        let mut history = history::fold(&self.fold, &self.products, created_at, events, mails, now);
        history.value = self.value.as_ref().and_then(|model| model.of(&history.order_days, now));
        history
    }

    fn recommendations(
        &self,
        subject: &Subject,
        campaign: &Campaign,
        history: &History,
        now: Timestamp,
    ) -> Recommendations {
        let start = now - (24 * i64::from(campaign.no_repeat_product_days)).hours();
        let recent = subject.mails.iter().filter(|mail| mail.at > start);
        let shown: HashSet<&str> = recent.flat_map(|mail| &mail.products).map(String::as_str).collect();
        recommend(history, &self.items, &self.products, &shown)
    }

    /// Makes the record, adds the offer's values, and freezes the facts.
    fn conclude(
        &self,
        subject: &Subject,
        drawn: Drawn<'_>,
        placement: Placement,
        mut facts: Value,
        now: Timestamp,
    ) -> Verdict {
        let reasons = reasons(&drawn, &placement);
        let Drawn { selection, withdrawn, slice } = drawn;
        let mut coupon = None;
        if let Some(offer) =
            selection.variant.and_then(|variant| self.catalog.offer(variant.offer.as_deref()?))
        {
            match offer.values(&facts, now) {
                Ok(values) => facts["offer"] = Value::Object(values),
                Err(error) => {
                    let outcome = Outcome::terminal(State::Failed, "offer", error.to_string());
                    return Verdict::Stop { outcome, placement: Some(Box::new(placement)), decision: None };
                }
            }
            coupon = (offer.kind == OfferKind::Coupon).then(|| offer.name.clone());
        }
        let choice = selection.choice();
        let (products, inputs) = match &choice {
            Choice::Variant { template, .. } => {
                (self.products_shown(template, &facts), self.frozen(facts, template))
            }
            Choice::NoSend => (Vec::new(), Value::Null),
        };
        let decision = Decision {
            send: subject.send.id.clone(),
            campaign: subject.send.campaign.clone(),
            profile: subject.profile.id.clone(),
            at: now,
            stage: placement.stage,
            stage_reason: placement.reason.clone(),
            propensity: selection.propensity,
            slice,
            reasons,
            candidates: selection.candidates,
            ruled_out: selection.ruled_out,
            policy: self.policy_word(subject).to_owned(),
            policy_version: selection.policy_version,
            catalog_version: self.catalog.version.clone(),
            seed: seed_of_draw(&subject.send.id, withdrawn.len()),
            drawn_at: Some(selection.drawn_at),
            withdrawn: withdrawn.to_vec(),
            scoring: selection.scoring,
            inputs,
            choice,
        };
        if decision.choice == Choice::NoSend {
            return Verdict::Stop {
                outcome: nothing_to_send(&decision),
                placement: Some(Box::new(placement)),
                decision: Some(Box::new(decision)),
            };
        }
        Verdict::Go(Box::new(Plan { decision, placement, coupon, products }))
    }

    fn policy_word(&self, subject: &Subject) -> &'static str {
        self.catalog.campaign(&subject.send.campaign).map_or("-", |entry| entry.campaign.policy.as_str())
    }
}

impl Verdict {
    fn stop(outcome: Outcome) -> Self {
        Self::Stop { outcome, placement: None, decision: None }
    }
}

/// What becomes of a send for which it was decided to send nothing.
pub(super) fn nothing_to_send(decision: &Decision) -> Outcome {
    let (reason, detail) = no_send(decision);
    Outcome::terminal(State::Skipped, reason, detail)
}

fn no_send(decision: &Decision) -> (&'static str, String) {
    if decision.candidates.iter().any(|candidate| candidate.variant.as_str() != crate::decision::NO_SEND) {
        return ("no_send", "the policy chose to send nothing".to_owned());
    }
    let rules: Vec<String> =
        decision.ruled_out.iter().map(|out| format!("{}: {}", out.rule, out.detail)).collect();
    // A visitor of a page has no send that could come back.
    let for_want_of_codes = decision.ruled_out.iter().any(|out| out.rule == "offer");
    let reason = if for_want_of_codes { NO_COUPON } else { "no_variant" };
    (reason, format!("no variant may be shown; {}", rules.join("; ")))
}

/// Events that call an event-triggered send off: later than the one that started it.
pub(super) fn canceled(campaign: &Campaign, subject: &Subject) -> Option<Outcome> {
    let Trigger::Event { cancel_on, .. } = &campaign.trigger else { return None };
    let started: Timestamp = subject.send.data.get("event")?.get("at")?.as_str()?.parse().ok()?;
    let event = subject.events.iter().find(|event| event.at > started && cancel_on.contains(&event.name))?;
    let detail = format!("{} at {}", event.name, event.at);
    Some(Outcome::terminal(State::Canceled, "cancel_on", detail))
}

fn outside_audience(entry: &CampaignEntry, facts: &Value) -> Option<Outcome> {
    if entry.campaign.kind == Kind::Transactional && entry.audience.is_none() {
        return None;
    }
    let audience = entry.audience.as_ref()?;
    let detail = match audience.holds(facts) {
        Ok(true) => return None,
        Ok(false) => {
            let used: Vec<String> =
                audience.facts_used(facts).iter().map(|(path, value)| format!("{path} = {value}")).collect();
            format!("{} is false ({})", audience.source(), used.join(", "))
        }
        Err(error) => format!("{} cannot be evaluated: {error}", audience.source()),
    };
    Some(Outcome::terminal(State::Skipped, "audience", detail))
}
