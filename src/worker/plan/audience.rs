//! Who is in a campaign's audience, as far as it can be told when planning. The worker asks again before it sends.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::Map;

use super::Wanted;
use super::known::Known;
use crate::catalog::rule::Rule;
use crate::catalog::variant::CampaignEntry;
use crate::facts;
use crate::facts::Asked;
use crate::profile::ProfileId;
use crate::select::recommend::Recommendations;
use crate::stage;
use crate::store::Error;
use crate::store::Store;
use crate::worker::decide::Subject;
use crate::worker::engine::Engine;
use crate::worker::gate::OptIn;

pub(super) struct Audience<'a> {
    store: &'a Store,
    engine: &'a Engine,
    entry: &'a CampaignEntry,
    asked: Asked,
    now: Timestamp,
}

impl<'a> Audience<'a> {
    pub(super) fn new(
        store: &'a Store,
        engine: &'a Engine,
        entry: &'a CampaignEntry,
        now: Timestamp,
    ) -> Self {
        let mut asked = Asked::default();
        entry.audience.iter().flat_map(Rule::paths).for_each(|path| asked.path(&path));
        Self { store, engine, entry, asked, now }
    }

    /// Keeps those in the audience; everybody where none is stated.
    pub(super) async fn keep(&self, wanted: Vec<Wanted>) -> Result<Vec<Wanted>, Error> {
        if self.entry.audience.is_none() {
            return Ok(wanted);
        }
        let mut ids: Vec<ProfileId> = wanted.iter().map(|wanted| wanted.profile.id.clone()).collect();
        let Known { mut events, mut mails, mut stages } = Known::of(self.store, &mut ids).await?;
        let mut inside: HashSet<ProfileId> = HashSet::new();
        let mut to_ask: HashSet<ProfileId> = ids.into_iter().collect();
        for wanted in &wanted {
            let id = &wanted.profile.id;
            if !to_ask.remove(id) {
                continue;
            }
            let subject = Subject {
                send: wanted.send(&self.entry.campaign),
                profile: wanted.profile.clone(),
                events: events.remove(id).unwrap_or_default(),
                mails: mails.remove(id).unwrap_or_default(),
                stage: stages.remove(id),
                suppressions: Vec::new(),
                opt_in: OptIn::default(),
            };
            if self.holds(&subject) {
                inside.insert(id.clone());
            }
        }
        Ok(wanted.into_iter().filter(|wanted| inside.contains(&wanted.profile.id)).collect())
    }

    /// A rule that cannot be evaluated keeps nobody in; the worker would say so again.
    fn holds(&self, subject: &Subject) -> bool {
        let Some(audience) = &self.entry.audience else { return true };
        let mut history = self.engine.history(subject, self.now);
        let placement = stage::place(&history, subject.stage.as_ref(), &self.engine.config.stage, self.now);
        history.events.retain(|slug, _| self.asked.event(slug));
        let sources = facts::Sources {
            profile: &subject.profile,
            history: &history,
            stage: placement.stage,
            campaign: &self.entry.campaign,
            products: &self.engine.products,
            recommendations: &Recommendations::default(),
            // No audience names data: the catalogue refuses it.
            data: &Map::new(),
            shop: &self.engine.shop,
            now: self.now,
        };
        let facts = facts::build(&sources, |name| self.asked.name(name));
        audience.holds(&facts).unwrap_or(false)
    }
}
