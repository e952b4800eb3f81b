//! Why this customer got this mail, or why not: everything that was kept of one send, in plain words.
//!
//! *Invariant:* nothing is worked out again. What is told is what was recorded when it was decided and sent.

use serde::Serialize;
use serde_json::Value;
use serde_json::json;

use crate::decision::Choice;
use crate::decision::Decision;
use crate::profile::Profile;
use crate::profile::mask;
use crate::send::SendId;
use crate::send::Suppression;
use crate::store::Attempt;
use crate::store::Error;
use crate::store::Store;
use crate::store::StoredSend;

mod draw;
mod facts;
mod text;
mod wrap;

pub use text::text;

/// Everything that was kept of one send. Addresses are masked.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The row.
    pub send: StoredSend,
    /// To whom; `None` where they are gone.
    pub profile: Option<Profile>,
    /// The decision; `None` where the send never came to one.
    pub decision: Option<Decision>,
    /// What was tried, oldest first; a success at the first attempt leaves no line.
    pub attempts: Vec<Attempt>,
    /// What stands against the address now.
    pub suppressions: Vec<Suppression>,
    /// Whether the content of the mail is still there as it was sent.
    pub content: Content,
}

/// Whether the template of a decision is still known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// As it was.
    Kept,
    /// Not in the database.
    NotKept,
    /// There was none.
    None,
}

/// Reads what was kept. `None`: there is no such send.
pub async fn explain(store: &Store, id: &SendId) -> Result<Option<Explanation>, Error> {
    let Some(mut send) = store.send(id).await? else { return Ok(None) };
    let mut decision = store.decisions(std::slice::from_ref(id)).await?.remove(id);
    let profile = store.profile(&send.send.profile).await?;
    let key = send.recipient.as_ref().map(|address| address.to_lowercase());
    let suppressions = match &key {
        Some(key) => store.suppressions_of(std::slice::from_ref(key)).await?.remove(key).unwrap_or_default(),
        None => Vec::new(),
    };
    let content = match decision.as_ref().map(|decision| &decision.choice) {
        Some(Choice::Variant { template, .. }) => match store.template(template).await? {
            Some(_) => Content::Kept,
            None => Content::NotKept,
        },
        _ => Content::None,
    };
    send.recipient = send.recipient.as_deref().map(mask);
    if let Some(email) = decision.as_mut().and_then(|decision| decision.inputs.pointer_mut("/profile/email"))
        && let Some(address) = email.as_str()
    {
        *email = Value::from(mask(address));
    }
    let attempts = store.attempts(id).await?;
    Ok(Some(Explanation { send, profile, decision, attempts, suppressions, content }))
}

impl Explanation {
    /// The same as data.
    pub fn to_json(&self) -> Value {
        let StoredSend { send, .. } = &self.send;
        let attempts: Vec<Value> = self.attempts.iter().map(attempt).collect();
        let suppressions = self.suppressions.iter().map(
            |found| json!({"topic": found.topic, "reason": found.reason, "at": found.at, "send": found.send}),
        );
        json!({
            "id": send.id,
            "campaign": send.campaign,
            "kind": send.kind,
            "guarantee": send.guarantee,
            "occurrence": send.occurrence,
            "due_at": send.due_at,
            "expires_at": send.expires_at,
            "state": send.state,
            "reason": self.send.reason,
            "detail": self.send.detail,
            "relay": self.send.relay,
            "attempt": send.attempt,
            "submitted_at": self.send.submitted_at,
            "finished_at": self.send.finished_at,
            "opened_at": self.send.opened_at,
            "clicked_at": self.send.clicked_at,
            "recipient": self.send.recipient,
            "products": self.send.products,
            "profile": self.profile.as_ref().map(|profile| json!({
                "id": profile.id, "locale": profile.locale, "time_zone": profile.time_zone,
                "consent": profile.consent, "created_at": profile.created_at, "traits": profile.traits,
            })),
            "suppressions": suppressions.collect::<Vec<_>>(),
            "decision": self.decision,
            "content": self.content,
            "attempts": attempts,
        })
    }

    /// The code that this mail gave away.
    pub fn coupon(&self) -> Option<&str> {
        self.decision.as_ref()?.inputs.pointer("/offer/code")?.as_str()
    }
}

fn attempt(attempt: &Attempt) -> Value {
    json!({
        "attempt": attempt.attempt, "at": attempt.at, "times": attempt.times, "state": attempt.state,
        "reason": attempt.reason, "detail": attempt.detail, "relay": attempt.relay,
    })
}
