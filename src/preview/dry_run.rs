//! One mail that a program might ask for: as the worker would make it, and nothing of it is kept.

use jiff::Timestamp;
use serde_json::Map;
use serde_json::Value;

use super::Gate;
use super::PreviewError;
use super::ruling::Answer;
use super::ruling::rule;
use super::subject;
use super::subject::Candidate;
use super::subject::Start;
use super::warnings;
use crate::catalog::variant::CampaignEntry;
use crate::decision::Decision;
use crate::profile::EmailAddress;
use crate::profile::Profile;
use crate::render::Rendered;
use crate::send::Outcome;
use crate::send::State;
use crate::store::Store;
use crate::worker::decide::Subject;
use crate::worker::engine::Engine;

/// For whom, and with what.
#[derive(Debug)]
pub struct DryRunRequest {
    /// To whom.
    pub profile: Profile,
    /// Where it would go instead of to the profile's own address.
    pub to: Option<EmailAddress>,
    /// What the request would bring along; where none is stated, what starts the campaign, or a sample's.
    pub data: Option<Map<String, Value>>,
}

/// What would become of it.
#[derive(Debug)]
pub struct DryRun {
    /// Why this content; none where it did not come to a choice.
    pub decision: Option<Box<Decision>>,
    /// The mail, or what would become of the send instead.
    pub answer: Result<Rendered, Outcome>,
    /// Sentences for people.
    pub notes: Vec<String>,
    /// Sentences for people about what to look at.
    pub warnings: Vec<String>,
}

/// Decides and renders as of `now`.
pub async fn dry_run(
    store: &Store,
    engine: &Engine,
    entry: &CampaignEntry,
    request: DryRunRequest,
    now: Timestamp,
) -> Result<DryRun, PreviewError> {
    let ids = [request.profile.id.clone()];
    let mut candidate = match subject::load(store, engine, entry, &ids, now).await?.pop() {
        Some(candidate) => candidate,
        None => stranger(entry, request.profile, now),
    };
    if let Some(data) = request.data {
        candidate.subject.send.data = data;
        candidate.start = Start::Own;
    }
    candidate.subject.send.to = request.to;
    let ruling = rule(store, engine, entry, &candidate, Gate::Kept, now).await?;
    let (notes, mut warnings) = (ruling.notes, ruling.warnings);
    let (decision, answer) = match ruling.answer {
        Answer::Nothing(outcome, decision) => (decision, Err(outcome)),
        Answer::Mail(decision) => {
            let rendered = engine.render(&decision, &entry.campaign, None);
            let failed = |error: crate::worker::make::MakeError| {
                Outcome::terminal(State::Failed, error.reason(), error.to_string())
            };
            (Some(decision), rendered.map(|(rendered, _)| rendered).map_err(failed))
        }
    };
    if let Ok(rendered) = &answer {
        warnings.extend(warnings::warnings(rendered));
    }
    Ok(DryRun { decision, answer, notes, warnings })
}

/// Somebody of whom nothing is known.
fn stranger(entry: &CampaignEntry, profile: Profile, now: Timestamp) -> Candidate {
    let send = subject::hypothetical(&entry.campaign, &profile.id, now);
    Candidate { subject: Subject::of_stranger(send, profile), start: Start::Own }
}
