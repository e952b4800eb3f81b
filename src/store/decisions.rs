//! Why people got what they got, and the templates that it was made from.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::collections::HashSet;

use serde::Serialize;

use super::Error;
use super::Store;
use super::batch::Arg;
use super::batch::Heap;
use super::batch::HeapText;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::Rows;
use super::batch::args;
use super::connection::Tx;
use super::sends::send_rows;
use crate::decision::Choice;
use crate::decision::Decision;
use crate::decision::StoredDecision;
use crate::decision::TemplateHash;
use crate::send::SendId;

#[derive(Serialize)]
struct NewRow<'a> {
    send: &'a str,
    at: i64,
    stage: &'a str,
    variant: Option<&'a str>,
    template: Option<&'a str>,
    slice: &'a str,
    propensity: f64,
    policy: &'a str,
    policy_version: &'a str,
    body: HeapText,
}

impl<'a> NewRow<'a> {
    fn of(decision: &'a Decision, heap: &mut Heap) -> Self {
        let (variant, template) = match &decision.choice {
            Choice::Variant { variant, template } => (Some(variant.as_str()), Some(template.0.as_str())),
            Choice::NoSend => (None, None),
        };
        Self {
            send: decision.send.as_str(),
            at: decision.at.as_millisecond(),
            stage: decision.stage.as_str(),
            variant,
            template,
            slice: decision.slice.as_str(),
            propensity: decision.propensity,
            policy: &decision.policy,
            policy_version: &decision.policy_version,
            body: heap.json(&StoredDecision::from(decision)),
        }
    }
}

impl Store {
    /// Saves decisions of planned sends and returns the sends for which they hold. A decision is made once: where the
    /// send has another already, that stays, and whoever made this one must go on with what [`Store::decisions`] says.
    /// Of a send that was called off because its person was erased nothing is kept.
    pub async fn save_decisions<D>(&self, decisions: &[D]) -> Result<HashSet<SendId>, Error>
    where
        D: Borrow<Decision> + Sync,
    {
        let mut tx = self.pools.begin().await?;
        let saved = save(&mut tx, decisions).await?;
        tx.commit().await?;
        Ok(saved)
    }

    /// The decisions of these sends, by send. A send that was not decided has no entry.
    pub async fn decisions(&self, sends: &[SendId]) -> Result<HashMap<SendId, Decision>, Error> {
        let found = self.decisions_one_by_one(sends).await?;
        found.into_iter().map(|(send, decision)| Ok((send, decision?))).collect()
    }

    /// [`Store::decisions`], where one that cannot be read does not keep the others back.
    pub async fn decisions_one_by_one(
        &self,
        sends: &[SendId],
    ) -> Result<HashMap<SendId, Result<Decision, Error>>, Error> {
        let mut found = HashMap::with_capacity(sends.len());
        for chunk in sends.chunks(ROWS_PER_STATEMENT_MAX) {
            let rows: Vec<(String, String)> = self
                .pools
                .all(
                    "select d.send_id, d.body from sends as s join decisions as d on d.send_seq = s.seq
                     where s.id in (select value->>0 from {rows})",
                    args![send_rows(chunk)],
                )
                .await?;
            for (send, body) in rows {
                let id = SendId::parse(&send)
                    .ok_or_else(|| Error::unreadable("decisions", &send, "the send is not 32 hex digits"))?;
                let decision =
                    serde_json::from_str(&body).map_err(|fault| Error::unreadable("decisions", &send, fault));
                found.insert(id, decision);
            }
        }
        Ok(found)
    }

    /// Saves compiled templates, as JSON, under the hash of their content; what is known already is not written.
    pub async fn save_templates(&self, templates: &[(TemplateHash, String)]) -> Result<u64, Error> {
        let mut rows: Vec<[&str; 2]> =
            templates.iter().map(|(hash, body)| [hash.0.as_str(), body.as_str()]).collect();
        // In one order everywhere: workers that begin together save the same, and cannot wait for each other.
        rows.sort_unstable();
        let mut saved = 0;
        let mut tx = self.pools.begin().await?;
        for chunk in rows.chunks(ROWS_PER_STATEMENT_MAX) {
            saved += tx
                .run(
                    "insert into templates (hash, body) select value->>0, value->>1 from {rows} where true
                     on conflict (hash) do nothing",
                    args![Rows::of(chunk)],
                )
                .await?;
        }
        tx.commit().await?;
        Ok(saved)
    }

    /// The compiled template of this hash, as JSON.
    pub async fn template(&self, hash: &TemplateHash) -> Result<Option<String>, Error> {
        let row: Option<(String,)> =
            self.pools.first("select body from templates where hash = $1", args![hash.0.as_str()]).await?;
        Ok(row.map(|(body,)| body))
    }
}

/// `$1` decisions, `$2` their bodies. The rows are locked: a person who is being erased is either erased before, and
/// nothing is kept of what was decided for them, or after, and it is deleted with the rest.
const SAVE_SQL: &str =
    "insert into decisions (send_seq, send_id, profile_id, campaign, at, stage, variant, template, slice, propensity,
       policy, policy_version, body)
     select s.seq, s.id, s.profile_id, s.campaign, cast(value->>'at' as bigint), value->>'stage', value->>'variant',
       value->>'template', value->>'slice', cast(value->>'propensity' as double precision), value->>'policy',
       value->>'policy_version', {heap:body}
     from {rows} join sends as s on s.id = value->>'send' where coalesce(s.reason, '') <> 'erased'
     order by s.id {for_update_of_s}
     on conflict (send_seq) do nothing";

/// `$1` decisions, `$2` their bodies: the sends for which it is these that are stored.
const HELD_SQL: &str = "select d.send_id
     from {rows} join sends as s on s.id = value->>'send' join decisions as d on d.send_seq = s.seq
     where d.body = {heap:body}";

pub(super) async fn save<D>(tx: &mut Tx, decisions: &[D]) -> Result<HashSet<SendId>, Error>
where
    D: Borrow<Decision> + Sync,
{
    let mut saved = HashSet::with_capacity(decisions.len());
    for chunk in decisions.chunks(ROWS_PER_STATEMENT_MAX) {
        let inserted = tx.run(SAVE_SQL, batch(chunk)).await?;
        if inserted == chunk.len() as u64 {
            saved.extend(chunk.iter().map(|decision| decision.borrow().send.clone()));
            continue;
        }
        let held: Vec<(String,)> = tx.all(HELD_SQL, batch(chunk)).await?;
        saved.extend(held.iter().filter_map(|(send,)| SendId::parse(send)));
    }
    Ok(saved)
}

/// Rows and bodies. Made anew where they are needed twice, which is rare: a copy would be a megabyte each time.
fn batch<D: Borrow<Decision>>(decisions: &[D]) -> Vec<Arg> {
    let mut heap = Heap::default();
    let rows: Vec<NewRow<'_>> =
        decisions.iter().map(|decision| NewRow::of(decision.borrow(), &mut heap)).collect();
    args![Rows::of(&rows), heap]
}
