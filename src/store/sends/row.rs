//! A row of `sends` as it is read.

use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;

use crate::campaign::CampaignId;
use crate::campaign::Guarantee;
use crate::campaign::Kind;
use crate::clock::from_millisecond;
use crate::decision::VariantId;
use crate::profile::EmailAddress;
use crate::profile::ProfileId;
use crate::send::ScheduledSend;
use crate::send::SendId;
use crate::send::State;
use crate::store::Error;
use crate::store::packed::Packed;

/// A send with everything that became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredSend {
    /// What is to be done.
    pub send: ScheduledSend,
    /// Machine word for the state: `hard_bounce`, `quiet_hours`, `cap` …
    pub reason: Option<String>,
    /// The relay's reply, or a sentence for people.
    pub detail: Option<String>,
    /// Which relay took or refused it.
    pub relay: Option<String>,
    /// Where it goes: where it was last put on the wire to, else its own address, else the profile's.
    pub recipient: Option<String>,
    /// Which variant was put on the wire.
    pub variant: Option<VariantId>,
    /// Product ids that it showed.
    pub products: Vec<String>,
    /// When it was put on the wire; absent where it was not taken.
    pub submitted_at: Option<Timestamp>,
    /// When it came to its terminal state.
    pub finished_at: Option<Timestamp>,
    /// When a person first opened it.
    pub opened_at: Option<Timestamp>,
    /// When a person first clicked in it.
    pub clicked_at: Option<Timestamp>,
    /// Until when a worker holds it.
    pub lease_until: Option<Timestamp>,
}

/// What a [`ScheduledSend`] is made of, as one text that [`SendRow::unpack`] reads: a driver's cost is by column too.
pub(super) const SEND_PACKED: &str =
    "format('%s:%s%s:%s%s:%s%s:%s%s:%s%s:%s%s:%s:%s:%s:%s:%s%s:%s%s:%s', octet_length(id), id, octet_length(campaign),
       campaign, octet_length(profile_id), profile_id, octet_length(occurrence), occurrence, octet_length(kind), kind,
       octet_length(guarantee), guarantee, due_at, expires_at, attempt, orphaned, octet_length(state), state,
       octet_length(data), data, octet_length(coalesce(to_address, '')), coalesce(to_address, ''))";

impl SendRow {
    /// Reads [`SEND_PACKED`].
    pub(super) fn unpack(packed: &mut Packed<'_>) -> Result<Self, String> {
        let mut text = || packed.text().map(str::to_owned);
        let (id, campaign, profile_id, occurrence) = (text()?, text()?, text()?, text()?);
        let (kind, guarantee) = (text()?, text()?);
        let mut number = || packed.number()?.ok_or_else(|| "a number is missing".to_owned());
        let (due_at, expires_at, attempt, orphaned) = (number()?, number()?, number()?, number()?);
        let mut text = || packed.text().map(str::to_owned);
        let (state, data, to_address) = (text()?, text()?, text()?);
        Ok(Self {
            id,
            campaign,
            profile_id,
            occurrence,
            kind,
            guarantee,
            due_at,
            expires_at,
            state,
            attempt,
            orphaned,
            data,
            to_address: Some(to_address).filter(|address| !address.is_empty()),
        })
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct SendRow {
    id: String,
    campaign: String,
    profile_id: String,
    occurrence: String,
    kind: String,
    guarantee: String,
    due_at: i64,
    expires_at: i64,
    state: String,
    attempt: i64,
    orphaned: i64,
    data: String,
    to_address: Option<String>,
}

impl TryFrom<SendRow> for ScheduledSend {
    type Error = Error;

    fn try_from(row: SendRow) -> Result<Self, Error> {
        let bad = |fault: &dyn std::fmt::Display| Error::unreadable("sends", &row.id, fault);
        let kind = match row.kind.as_str() {
            "lifecycle" => Kind::Lifecycle,
            "transactional" => Kind::Transactional,
            _ => return Err(bad(&"the kind is no known word")),
        };
        Ok(Self {
            id: SendId::parse(&row.id).ok_or_else(|| bad(&"the id is not 32 hex digits"))?,
            campaign: CampaignId(row.campaign),
            kind,
            guarantee: Guarantee::parse(&row.guarantee)
                .ok_or_else(|| bad(&"the guarantee is no known word"))?,
            profile: ProfileId::parse(&row.profile_id).map_err(|fault| bad(&fault))?,
            occurrence: row.occurrence,
            due_at: from_millisecond(row.due_at),
            expires_at: from_millisecond(row.expires_at),
            state: State::parse(&row.state).ok_or_else(|| bad(&"the state is no known word"))?,
            attempt: u32::try_from(row.attempt).unwrap_or(0),
            orphaned: u32::try_from(row.orphaned).unwrap_or(0),
            data: serde_json::from_str(&row.data).map_err(|fault| bad(&fault))?,
            to: row
                .to_address
                .as_deref()
                .map(EmailAddress::parse)
                .transpose()
                .map_err(|fault| bad(&fault))?,
        })
    }
}

/// What a [`StoredSend`] is made of; `s` is the send, `p` its profile.
pub(super) const STORED_SELECT: &str =
    "select s.id, s.campaign, s.profile_id, s.occurrence, s.kind, s.guarantee, s.due_at, s.expires_at, s.state,
       s.attempt, s.orphaned, s.data, s.to_address, s.reason, s.detail, s.relay,
       coalesce(s.address, s.to_address, p.address) as recipient, s.variant, s.products, s.submitted_at,
       s.finished_at, s.opened_at, s.clicked_at, s.lease_until
     from sends as s left join profiles as p on p.id = s.profile_id";

#[derive(sqlx::FromRow)]
pub(super) struct StoredRow {
    #[sqlx(flatten)]
    send: SendRow,
    reason: Option<String>,
    detail: Option<String>,
    relay: Option<String>,
    recipient: Option<String>,
    variant: Option<String>,
    products: Option<String>,
    submitted_at: Option<i64>,
    finished_at: Option<i64>,
    opened_at: Option<i64>,
    clicked_at: Option<i64>,
    lease_until: Option<i64>,
}

impl TryFrom<StoredRow> for StoredSend {
    type Error = Error;

    fn try_from(row: StoredRow) -> Result<Self, Error> {
        let products = match &row.products {
            None => Vec::new(),
            Some(list) => {
                serde_json::from_str(list).map_err(|fault| Error::unreadable("sends", &row.send.id, fault))?
            }
        };
        Ok(Self {
            send: row.send.try_into()?,
            reason: row.reason,
            detail: row.detail,
            relay: row.relay,
            recipient: row.recipient,
            variant: row.variant.map(VariantId::new),
            products,
            submitted_at: row.submitted_at.map(from_millisecond),
            finished_at: row.finished_at.map(from_millisecond),
            opened_at: row.opened_at.map(from_millisecond),
            clicked_at: row.clicked_at.map(from_millisecond),
            lease_until: row.lease_until.map(from_millisecond),
        })
    }
}
