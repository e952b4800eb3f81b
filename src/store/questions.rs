//! Consent that is asked for by mail: questions, how often they may be asked, and their answers.

use jiff::SignedDuration;
use jiff::Timestamp;

use super::Error;
use super::Store;
use super::again::despite_deadlocks;
use super::aliases;
use super::batch::args;
use super::connection::Accord;
use super::connection::Held;
use super::connection::Tx;
use super::consents;
use super::keys::Trust;
use super::preferences;
use super::preferences::Wish;
use super::profiles;
use super::sends;
use super::tombstones;
use crate::clock::earlier_by;
use crate::clock::from_millisecond;
use crate::profile::ProfileId;
use crate::send::ScheduledSend;

/// An address gets one question within this long. What was answered does not count, here and below: whoever answers
/// wants questions. Nor does what [`Trust::Public`] asked count for [`Trust::Full`].
pub const QUESTION_WINDOW: SignedDuration = SignedDuration::from_mins(10);
/// Questions to one address within a day, at most.
const PER_ADDRESS_AND_DAY_MAX: usize = 5;
/// Addresses that one profile has asked within [`QUESTION_WINDOW`], at most: who mistypes theirs corrects it.
const PER_PROFILE_MAX: usize = 3;
/// Questions by one key that anybody can read, within [`QUESTION_WINDOW`], whoever they are about.
const PER_PUBLIC_KEY_MAX: usize = 600;

/// A question for consent that was mailed to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentRequest {
    /// Its name; what the link in the mail is signed over.
    pub id: String,
    /// Who is asked.
    pub profile: ProfileId,
    /// The key of the address that is asked.
    pub address: String,
    /// Where it began: `form`, `checkout` …
    pub source: String,
    /// Who asked for it.
    pub who: String,
    /// How far their word goes.
    pub trust: Trust,
    /// The words that will have been agreed to.
    pub wording: String,
    /// When it began.
    pub requested_at: Timestamp,
    /// From when on the link is worth nothing.
    pub expires_at: Timestamp,
    /// When it was confirmed.
    pub confirmed_at: Option<Timestamp>,
}

/// What became of a confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// The consent is granted now.
    Now,
    /// It was confirmed before, once is all, and nothing was changed.
    Before,
    /// The person has another address by now, or is somebody else: nothing was changed.
    Elsewhere,
}

/// What became of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A mail asks.
    Now,
    /// The same question was mailed moments ago and is still open: no second mail.
    Before(ConsentRequest),
    /// It was answered moments ago, and the answer stands: no mail.
    Answered(ConsentRequest),
    /// Nothing was mailed, because this was asked too often; the word says what.
    TooOften(&'static str),
    /// Nothing was mailed: the person, or the address, was erased.
    Erased,
}

#[derive(sqlx::FromRow)]
struct RequestRow {
    id: String,
    profile_id: String,
    address: String,
    source: String,
    who: String,
    wording: String,
    requested_at: i64,
    expires_at: i64,
    confirmed_at: Option<i64>,
    trust: String,
}

const COLUMNS: &str =
    "select id, profile_id, address, source, who, wording, requested_at, expires_at, confirmed_at, trust
     from consent_requests";

impl Store {
    /// Keeps a question and plans the mail that asks it, unless it was asked already, or too often. A visitor who was joined
    /// to somebody meanwhile is that person.
    pub async fn ask_for_consent(
        &self,
        request: &ConsentRequest,
        mail: &ScheduledSend,
    ) -> Result<Asked, Error> {
        let mut tx = self.pools.begin().await?;
        let owner = aliases::owner(&mut tx, &request.profile).await?;
        let (request, mail) = (
            &ConsentRequest { profile: owner.clone(), ..request.clone() },
            &ScheduledSend { profile: owner, ..mail.clone() },
        );
        if !tombstones::erased(&mut tx, std::iter::once((&request.profile, mail.to.as_ref())))
            .await?
            .is_empty()
        {
            return Ok(Asked::Erased);
        }
        tx.agree(Accord::Questions, Held::Alone).await?;
        if let Some(before) = asked_before(&mut tx, request).await? {
            return Ok(before);
        }
        tx.run(
            "insert into consent_requests (id, profile_id, address, source, who, wording, requested_at, expires_at, trust)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            args![
                &request.id,
                request.profile.as_str(),
                &request.address,
                &request.source,
                &request.who,
                &request.wording,
                request.requested_at,
                request.expires_at,
                request.trust.as_str()
            ],
        )
        .await?;
        sends::plan_in(&mut tx, std::slice::from_ref(mail)).await?;
        self.notify(&mut tx).await?;
        tx.commit().await?;
        self.wake();
        Ok(Asked::Now)
    }

    /// A question, by its name.
    pub async fn consent_request(&self, id: &str) -> Result<Option<ConsentRequest>, Error> {
        let row: Option<RequestRow> = self.pools.first(format!("{COLUMNS} where id = $1"), args![id]).await?;
        row.map(ConsentRequest::try_from).transpose()
    }

    /// Confirms a question that `address` was asked, the first time only, and does what follows from it.
    pub async fn confirm_consent(&self, id: &str, address: &str, wish: &Wish) -> Result<Confirmed, Error> {
        despite_deadlocks(|| self.confirm_once(id, address, wish)).await
    }

    async fn confirm_once(&self, id: &str, address: &str, wish: &Wish) -> Result<Confirmed, Error> {
        let mut tx = self.pools.begin().await?;
        let owner = aliases::owner(&mut tx, &wish.profile).await?;
        tx.agree(Accord::Erasures, Held::Shared).await?;
        // Held until the commit: whoever changes the address, or joins the person to another, comes before or after.
        let profile = profiles::find(&mut tx, &owner).await?;
        if profile.and_then(|profile| profile.address).is_none_or(|own| own.key() != address) {
            return Ok(Confirmed::Elsewhere);
        }
        let first = tx
            .run(
                "update consent_requests set confirmed_at = $2 where id = $1 and confirmed_at is null",
                args![id, wish.at],
            )
            .await?;
        if first > 0 {
            preferences::grant(&mut tx, wish).await?;
        }
        tx.commit().await?;
        Ok(if first > 0 { Confirmed::Now } else { Confirmed::Before })
    }
}

/// Why no mail goes out for this question; `None` where one may.
async fn asked_before(tx: &mut Tx, request: &ConsentRequest) -> Result<Option<Asked>, Error> {
    let now = request.requested_at;
    let since = |ago: SignedDuration| earlier_by(now, ago);
    let (recently, today) = (since(QUESTION_WINDOW), since(SignedDuration::from_hours(24)));
    let rows: Vec<RequestRow> = tx
        .all(
            format!(
                "{COLUMNS} where requested_at > $3 and (address = $1 or profile_id = $2)
                 order by requested_at desc, id limit 1000"
            ),
            args![&request.address, request.profile.as_str(), today],
        )
        .await?;
    let asked = rows.into_iter().map(ConsentRequest::try_from).collect::<Result<Vec<_>, _>>()?;
    let same = |other: &&ConsentRequest| {
        other.requested_at > recently
            && (&other.profile, &other.address, &other.wording)
                == (&request.profile, &request.address, &request.wording)
    };
    match asked.iter().find(same) {
        Some(open) if open.confirmed_at.is_none() => return Ok(Some(Asked::Before(open.clone()))),
        Some(answered) if consents::is_confirmed(tx, &request.profile, &request.address).await? => {
            return Ok(Some(Asked::Answered(answered.clone())));
        }
        // Answered, and taken back since: this is a new question.
        _ => {}
    }
    // What anybody can ask counts for anybody, and must not keep our own programs from asking.
    let counts = |other: &&ConsentRequest| request.trust == Trust::Public || other.trust == Trust::Full;
    let open = asked.iter().filter(|other| other.confirmed_at.is_none()).filter(counts);
    let at_address = || open.clone().filter(|other| other.address == request.address);
    let by_profile =
        open.clone().filter(|other| other.profile == request.profile && other.requested_at > recently);
    if at_address().any(|other| other.requested_at > recently)
        || at_address().count() >= PER_ADDRESS_AND_DAY_MAX
    {
        return Ok(Some(Asked::TooOften("address")));
    }
    if by_profile.count() >= PER_PROFILE_MAX {
        return Ok(Some(Asked::TooOften("profile")));
    }
    if request.trust == Trust::Public {
        let sql = "select count(*) from consent_requests where requested_at > $1 and who = $2
                   and confirmed_at is null";
        let count: Option<(i64,)> = tx.first(sql, args![recently, &request.who]).await?;
        if count.is_some_and(|(count,)| usize::try_from(count).unwrap_or(0) >= PER_PUBLIC_KEY_MAX) {
            return Ok(Some(Asked::TooOften("key")));
        }
    }
    Ok(None)
}

impl TryFrom<RequestRow> for ConsentRequest {
    type Error = Error;

    fn try_from(row: RequestRow) -> Result<Self, Error> {
        let trust = Trust::parse(&row.trust)
            .ok_or_else(|| Error::unreadable("consent_requests", &row.id, "the trust is no known word"))?;
        Ok(Self {
            trust,
            profile: ProfileId::parse(&row.profile_id)
                .map_err(|fault| Error::unreadable("consent_requests", &row.id, fault))?,
            id: row.id,
            address: row.address,
            source: row.source,
            who: row.who,
            wording: row.wording,
            requested_at: from_millisecond(row.requested_at),
            expires_at: from_millisecond(row.expires_at),
            confirmed_at: row.confirmed_at.map(from_millisecond),
        })
    }
}
