//! What is known of many people, where one of them has a row that cannot be read.

use std::collections::HashMap;
use std::slice;

use crate::event::Event;
use crate::history::Mail;
use crate::profile::ProfileId;
use crate::stage::StageRecord;
use crate::store::Error;
use crate::store::Store;

/// Events, mails and place on the journey of each.
#[derive(Default)]
pub(super) struct Known {
    pub(super) events: HashMap<ProfileId, Vec<Event>>,
    pub(super) mails: HashMap<ProfileId, Vec<Mail>>,
    pub(super) stages: HashMap<ProfileId, StageRecord>,
}

impl Known {
    /// Reads it of these people. Who has a row that cannot be read is told of and taken out of `ids`; all others are
    /// planned for.
    pub(super) async fn of(store: &Store, ids: &mut Vec<ProfileId>) -> Result<Self, Error> {
        match Self::read(store, ids).await {
            Err(error) if error.is_one_persons() => {}
            known => return known,
        }
        let mut all = Self::default();
        let mut readable = Vec::with_capacity(ids.len());
        for id in ids.drain(..) {
            match Self::read(store, slice::from_ref(&id)).await {
                Ok(one) => {
                    all.events.extend(one.events);
                    all.mails.extend(one.mails);
                    all.stages.extend(one.stages);
                    readable.push(id);
                }
                Err(error) if error.is_one_persons() => {
                    tracing::error!("nothing is planned for {id}: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        *ids = readable;
        Ok(all)
    }

    async fn read(store: &Store, ids: &[ProfileId]) -> Result<Self, Error> {
        let (events, mails, stages) =
            tokio::try_join!(store.events_of(ids), store.mails_of(ids), store.stages_of(ids))?;
        Ok(Self { events, mails, stages })
    }
}
