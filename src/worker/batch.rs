//! One claim's worth of sends: read together, decided one by one, saved together.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::campaign::Campaign;
use crate::decision::Choice;
use crate::decision::Decision;
use crate::decision::TemplateHash;
use crate::ingest::segment::ANONYMOUS;
use crate::metrics::Step;
use crate::profile::EmailAddress;
use crate::profile::ProfileId;
use crate::select::slices;
use crate::send::LeaseToken;
use crate::send::Outcome;
use crate::send::ScheduledSend;
use crate::send::SendId;
use crate::send::State;
use crate::stage::Transition;
use crate::store::Claimed;
use crate::store::Error;
use crate::store::ORPHANED_MAX;
use crate::worker::decide;
use crate::worker::decide::Plan;
use crate::worker::decide::Subject;
use crate::worker::decide::Verdict;
use crate::worker::engine::Engine;
use crate::worker::exhausted::Exhausted;
use crate::worker::gate;
use crate::worker::in_work::Entered;
use crate::worker::load::Loaded;
use crate::worker::load::load;
use crate::worker::shared::Shared;

/// A send that is to go out, with its saved decision.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) send: ScheduledSend,
    pub(super) token: LeaseToken,
    pub(super) decision: Arc<Decision>,
    pub(super) campaign: Arc<Campaign>,
    pub(super) to: EmailAddress,
    pub(super) products: Vec<String>,
}

/// A send that ends, or waits, without going out.
#[derive(Debug, Clone)]
pub(super) struct Stopped {
    pub(super) send: ScheduledSend,
    pub(super) token: LeaseToken,
    pub(super) to: Option<EmailAddress>,
    pub(super) outcome: Outcome,
}

/// What a batch came to.
#[derive(Debug, Default)]
pub(super) struct Decided {
    pub(super) jobs: Vec<Job>,
    pub(super) stopped: Vec<Stopped>,
    decisions: Vec<Arc<Decision>>,
    templates: HashSet<TemplateHash>,
    transitions: Vec<(ProfileId, Transition)>,
}

/// Reads, decides and saves. After this nothing of the batch is lost by a crash but time.
pub(super) async fn decide(shared: &Shared, claimed: Vec<Claimed>, now: Timestamp) -> Result<Decided, Error> {
    let engine = shared.engine();
    if let Err(error) = engine.refresh_policy(&shared.store, now).await {
        tracing::error!("cannot look for a newer policy model, going on with the one in use: {error}");
    }
    // One claim has one token.
    let Some(token) = claimed.first().map(|claimed| claimed.token.clone()) else {
        return Ok(Decided::default());
    };
    let loaded = load_all(shared, &engine, claimed.into_iter().map(|claimed| claimed.send).collect()).await?;
    let mut decided = Decided::default();
    for send in loaded.without_profile {
        let detail = format!("there is no profile {}", send.profile);
        let outcome = Outcome::terminal(State::Skipped, "no_profile", detail);
        decided.stopped.push(Stopped { send, token: token.clone(), to: None, outcome });
    }
    let sends = loaded.subjects.iter().map(|subject| &subject.send);
    let mut waiting = engine.steps.waiting(&shared.store, sends, now).await?;
    let mut in_work: Option<Entered<'_>> = None;
    for subject in loaded.subjects {
        if let Some(outcome) = waiting.remove(&subject.send.id) {
            decided.stop(subject, &token, outcome);
            continue;
        }
        // A host that defers spends no more than `attempts_max`; each of the others ended with its worker.
        if i64::from(subject.send.attempt) >= i64::from(shared.settings.attempts_max) + ORPHANED_MAX {
            let detail = format!("{} attempts, and none came to an end", subject.send.attempt - 1);
            decided.stop(subject, &token, Outcome::terminal(State::Failed, "attempts", detail));
            continue;
        }
        if let Some(fault) = loaded.unreadable.get(&subject.send.id) {
            // Decided again it might become another mail; the others of the batch go on.
            let outcome = Outcome::terminal(State::Failed, "unreadable", fault.clone());
            decided.stop(subject, &token, outcome);
            continue;
        }
        match &in_work {
            Some(in_work) => in_work.goes_on_with(&subject.send.id),
            None => in_work = Some(shared.in_work.enter(&subject.send.id)),
        }
        let earlier = loaded.decisions.get(&subject.send.id);
        match earlier {
            Some(decision) => again(&engine, &mut decided, subject, decision.clone(), &token, now),
            None => first(shared, &engine, &mut decided, subject, &token, now).await?,
        }
    }
    drop(in_work);
    save(shared, &engine, &mut decided).await?;
    Ok(decided)
}

/// [`load`], and once more for visitors who were joined to somebody since their sends were claimed: those are that
/// person's by now.
async fn load_all(shared: &Shared, engine: &Engine, sends: Vec<ScheduledSend>) -> Result<Loaded, Error> {
    let mut loaded = load(&shared.store, &engine.catalog, sends).await?;
    let mut moved = Vec::new();
    let is_visitor = |send: &ScheduledSend| send.profile.as_str().starts_with(ANONYMOUS);
    let (visitors, others): (Vec<_>, Vec<_>) =
        std::mem::take(&mut loaded.without_profile).into_iter().partition(is_visitor);
    loaded.without_profile = others;
    for send in visitors {
        match shared.store.send(&send.id).await? {
            Some(now) if now.send.profile != send.profile => {
                moved.push(ScheduledSend { profile: now.send.profile, ..send });
            }
            _ => loaded.without_profile.push(send),
        }
    }
    if !moved.is_empty() {
        let more = load(&shared.store, &engine.catalog, moved).await?;
        loaded.subjects.extend(more.subjects);
        loaded.without_profile.extend(more.without_profile);
        loaded.decisions.extend(more.decisions);
        loaded.unreadable.extend(more.unreadable);
    }
    Ok(loaded)
}

/// A retry keeps its decision; the gate looks again, because the world has changed. Where it was to send nothing, the
/// first attempt only failed to write down that it did so.
fn again(
    engine: &Engine,
    decided: &mut Decided,
    subject: Subject,
    decision: Decision,
    token: &LeaseToken,
    now: Timestamp,
) {
    if decision.choice == Choice::NoSend {
        return decided.stop(subject, token, decide::nothing_to_send(&decision));
    }
    let Some(entry) = engine.catalog.campaign(&subject.send.campaign) else {
        let detail = format!("there is no campaign {} among the templates any more", subject.send.campaign);
        return decided.stop(subject, token, Outcome::terminal(State::Failed, "no_campaign", detail));
    };
    let visitor = gate::Visitor {
        send: &subject.send,
        campaign: &entry.campaign,
        profile: &subject.profile,
        suppressions: &subject.suppressions,
        mails: &subject.mails,
        slice: slices::slice(&entry.campaign, &subject.profile.id, engine.config.holdout.percent),
        opt_in: subject.opt_in,
    };
    let outcome =
        gate::check(&engine.rules, &visitor, now).or_else(|| decide::canceled(&entry.campaign, &subject));
    if let Some(outcome) = outcome {
        return decided.stop(subject, token, outcome);
    }
    let to = gate::recipient(&subject.send, &subject.profile).cloned();
    decided.keep_to(engine, subject.send, token.clone(), to, decision);
}

async fn first(
    shared: &Shared,
    engine: &Engine,
    decided: &mut Decided,
    subject: Subject,
    token: &LeaseToken,
    now: Timestamp,
) -> Result<(), Error> {
    let mut exhausted = Exhausted::new(shared.empty_offers());
    loop {
        // A bug that one person's data brings out must not take the others with it.
        let decide = || shared.metrics.step(Step::Decide, || engine.decide(&subject, &exhausted, now));
        let verdict = catch_unwind(AssertUnwindSafe(decide));
        match verdict {
            Err(_) => {
                let detail = panicked(&subject.send.id);
                decided.stop(subject, token, Outcome::terminal(State::Failed, "panic", detail));
            }
            Ok(Verdict::Stop { outcome, placement, decision }) => {
                let transition = placement.and_then(|placement| placement.transition);
                decided.transitions.extend(transition.map(|step| (subject.profile.id.clone(), step)));
                decided.decisions.extend(decision.map(Arc::from));
                decided.stop(subject, token, outcome);
            }
            Ok(Verdict::Go(plan)) => {
                let mut plan = *plan;
                if let Some(offer) = claim_coupon(shared, &mut plan, &subject, now).await? {
                    exhausted.withdraw(&plan, &offer);
                    continue;
                }
                decided.go(engine, subject, plan, token);
            }
        }
        return Ok(());
    }
}

/// What is said of a send that failed by a bug of ours.
pub(super) fn panicked(send: &SendId) -> String {
    format!("deciding {send} panicked; please report it")
}

/// Writes this person's own code into the decision. The offer, when its pool is empty: it must be decided again.
async fn claim_coupon(
    shared: &Shared,
    plan: &mut Plan,
    subject: &Subject,
    now: Timestamp,
) -> Result<Option<String>, Error> {
    let Some(offer) = &plan.coupon else { return Ok(None) };
    let Some(code) = shared.store.claim_coupon(offer, &subject.profile.id, now).await? else {
        tracing::warn!(
            offer,
            "no coupon is left for offer {offer}: import more with `bespoke import coupons`; `bespoke sends retry` then \
             brings back who got nothing for want of one"
        );
        shared.offer_is_empty(offer);
        return Ok(Some(offer.clone()));
    };
    plan.decision.inputs["offer"]["code"] = Value::from(code);
    Ok(None)
}

impl Decided {
    fn stop(&mut self, subject: Subject, token: &LeaseToken, outcome: Outcome) {
        let to = gate::recipient(&subject.send, &subject.profile).cloned();
        self.stopped.push(Stopped { send: subject.send, token: token.clone(), to, outcome });
    }

    fn go(&mut self, engine: &Engine, subject: Subject, plan: Plan, token: &LeaseToken) {
        let entry = engine.catalog.campaign(&subject.send.campaign);
        let to = gate::recipient(&subject.send, &subject.profile);
        let (Some(entry), Some(to)) = (entry, to) else { return };
        if let Choice::Variant { template, .. } = &plan.decision.choice {
            self.templates.insert(template.clone());
        }
        self.transitions.extend(plan.placement.transition.map(|step| (subject.profile.id.clone(), step)));
        let decision = Arc::new(plan.decision);
        self.decisions.push(Arc::clone(&decision));
        let (to, campaign) = (to.clone(), Arc::clone(&entry.campaign));
        self.jobs.push(Job {
            send: subject.send,
            token: token.clone(),
            decision,
            campaign,
            to,
            products: plan.products,
        });
    }
}

impl Decided {
    /// Goes on with a decision that is stored already.
    fn keep_to(
        &mut self,
        engine: &Engine,
        send: ScheduledSend,
        token: LeaseToken,
        to: Option<EmailAddress>,
        decision: Decision,
    ) {
        let stop = |to, outcome| Stopped { send: send.clone(), token: token.clone(), to, outcome };
        let Choice::Variant { template, .. } = &decision.choice else {
            return self.stopped.push(stop(to, decide::nothing_to_send(&decision)));
        };
        let Some(to) = to else {
            let outcome = Outcome::terminal(State::Skipped, "no_address", "the profile has no address");
            return self.stopped.push(stop(None, outcome));
        };
        let Some(entry) = engine.catalog.campaign(&send.campaign) else {
            let detail = format!("there is no campaign {} among the templates", send.campaign);
            return self
                .stopped
                .push(stop(Some(to), Outcome::terminal(State::Failed, "no_campaign", detail)));
        };
        let products = engine.products_shown(template, &decision.inputs);
        let (decision, campaign) = (Arc::new(decision), Arc::clone(&entry.campaign));
        self.jobs.push(Job { send, token, decision, campaign, to, products });
    }

    /// Somebody who held these sends before has decided them meanwhile: their decisions hold, not these.
    async fn yield_to_stored(
        &mut self,
        shared: &Shared,
        engine: &Engine,
        saved: &HashSet<SendId>,
    ) -> Result<(), Error> {
        let others = self.decisions.iter().map(|decision| &decision.send);
        let others: Vec<SendId> = others.filter(|send| !saved.contains(*send)).cloned().collect();
        if others.is_empty() {
            return Ok(());
        }
        let mut stored = shared.store.decisions(&others).await?;
        for job in std::mem::take(&mut self.jobs) {
            match stored.remove(&job.send.id) {
                Some(decision) => self.keep_to(engine, job.send, job.token, Some(job.to), decision),
                None => self.jobs.push(job),
            }
        }
        for stopped in std::mem::take(&mut self.stopped) {
            match stored.remove(&stopped.send.id) {
                Some(decision) => self.keep_to(engine, stopped.send, stopped.token, stopped.to, decision),
                None => self.stopped.push(stopped),
            }
        }
        Ok(())
    }
}

async fn save(shared: &Shared, engine: &Engine, decided: &mut Decided) -> Result<(), Error> {
    let new: Vec<(TemplateHash, String)> = shared
        .unsaved(std::mem::take(&mut decided.templates))
        .into_iter()
        .filter_map(|hash| engine.stored_form(&hash).map(|body| (hash, body)))
        .collect();
    if !new.is_empty() {
        shared.store.save_templates(&new).await?;
        shared.saved(new.into_iter().map(|(hash, _)| hash));
    }
    if decided.decisions.iter().any(|decision| decision.scoring.is_some()) {
        save_traits(shared, engine).await?;
    }
    for decision in &decided.decisions {
        let probabilities = decision.candidates.iter().map(|candidate| candidate.probability);
        shared.metrics.decided(decision.campaign.as_str(), probabilities);
    }
    if !decided.decisions.is_empty() {
        let saved = shared.store.save_decisions(&decided.decisions).await?;
        decided.yield_to_stored(shared, engine, &saved).await?;
    }
    shared.store.record_transitions(&decided.transitions).await
}

/// What the variants of the catalogue are: decisions name it, and are scored again by it. Saved once a catalogue.
async fn save_traits(shared: &Shared, engine: &Engine) -> Result<(), Error> {
    let version = &engine.catalog.version;
    let key = TemplateHash(format!("traits of {version}"));
    if shared.unsaved(HashSet::from([key.clone()])).is_empty() {
        return Ok(());
    }
    let traits = serde_json::to_string(engine.policy.traits()).expect("traits are plain texts and numbers");
    shared.store.put_catalog_traits(version, &traits).await?;
    shared.saved(std::iter::once(key));
    Ok(())
}
