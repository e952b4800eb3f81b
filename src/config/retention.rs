//! The section that says how long what is kept; `bespoke prune` deletes what is older.

use serde::Deserialize;

/// `[retention]`: days by table; what is not stated is kept for ever.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// What people did. Histories, stages and recommendations see no further back.
    pub events_days: Option<u32>,
    /// How people moved along the journey.
    pub stage_transitions_days: Option<u32>,
    /// Sends that came to their end, with their decisions, attempts, files and hits. Reports see no further back.
    pub sends_days: Option<u32>,
    /// Why people got what they got; learning and `bespoke explain` see no further back.
    pub decisions_days: Option<u32>,
    /// Requests for links and pixels, as they came.
    pub hits_days: Option<u32>,
    /// Files of sends that came to their end.
    pub attachments_days: Option<u32>,
    /// What receivers of webhooks have not been told, or did not take; less only while they are called all the time.
    pub webhooks_days: Option<u32>,
    /// Which request made which send; at least 24, so that a client may repeat a request for a day.
    pub idempotency_keys_hours: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            events_days: None,
            stage_transitions_days: None,
            sends_days: None,
            decisions_days: None,
            hits_days: None,
            attachments_days: Some(30),
            webhooks_days: Some(30),
            idempotency_keys_hours: 48,
        }
    }
}
