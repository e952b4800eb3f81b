//! Calling sends off, and bringing them back.

use jiff::Timestamp;

use super::claim::send_rows;
use crate::send::SendId;
use crate::send::State;
use crate::store::Error;
use crate::store::Store;
use crate::store::batch::ROWS_PER_STATEMENT_MAX;
use crate::store::batch::args;

/// Why a send was skipped for which no variant was left because codes had run out.
pub const NO_COUPON: &str = "no_coupon";

/// What calling off one send did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canceled {
    /// It will not go out.
    Now,
    /// It could not be stopped: it is on the wire, or has come to this state already.
    TooLate(State),
    /// There is no such send.
    Missing,
}

impl Store {
    /// Calls one send off. What a worker holds is called off too, as long as its body has not been marked; the
    /// worker finds its lease lost.
    pub async fn cancel_send(&self, id: &SendId, detail: &str, now: Timestamp) -> Result<Canceled, Error> {
        let mut tx = self.pools.begin().await?;
        let canceled = tx
            .run(
                "update sends set state = 'canceled', reason = 'canceled', detail = $3, finished_at = {now},
                   lease_token = null, lease_until = null
                 where id = $1 and state in ('scheduled', 'deferred', 'leased')",
                args![id.as_str(), now, detail],
            )
            .await?;
        let state: Option<(String,)> =
            tx.first("select state from sends where id = $1", args![id.as_str()]).await?;
        tx.commit().await?;
        match state.map(|(state,)| State::parse(&state)) {
            None => Ok(Canceled::Missing),
            Some(_) if canceled > 0 => Ok(Canceled::Now),
            Some(Some(state)) => Ok(Canceled::TooLate(state)),
            Some(None) => Err(Error::unreadable("sends", id.as_str(), "the state is no known word")),
        }
    }

    /// Brings failed sends back, and those for which no code was left: due now, their attempts counted anew, with as
    /// much time until their deadline as they had when they were first brought back. What was decided stays decided;
    /// that there was nothing to send is decided again. Sends in other states are left alone. Returns how many came
    /// back.
    pub async fn retry(&self, sends: &[SendId], now: Timestamp) -> Result<u64, Error> {
        Ok(self.bring_back(sends, State::Failed, now).await?
            + self.bring_back(sends, State::Skipped, now).await?)
    }

    /// Sends mails again of which nobody knows whether the relay took them: some people get them twice, the same
    /// bytes under the same Message-ID. Sends in other states are left alone. Returns how many came back.
    pub async fn resend_unknown(&self, sends: &[SendId], now: Timestamp) -> Result<u64, Error> {
        self.bring_back(sends, State::Unknown, now).await
    }

    async fn bring_back(&self, sends: &[SendId], from: State, now: Timestamp) -> Result<u64, Error> {
        let mut back = 0;
        let mut tx = self.pools.begin().await?;
        for chunk in sends.chunks(ROWS_PER_STATEMENT_MAX) {
            if from == State::Skipped {
                tx.run(
                    "delete from decisions where send_seq in (
                       select seq from sends where id in (select value->>0 from {rows}) and state = $2 and reason = $3)",
                    args![send_rows(chunk), from.as_str(), NO_COUPON],
                )
                .await?;
            }
            back += tx
                .run(
                    "update sends set state = 'scheduled', attempt = 0, orphaned = 0, held = 0, finished_at = null,
                       due_at = {now}, expires_at = {now} + coalesce(given_ms, expires_at - first_due_at),
                       given_ms = coalesce(given_ms, expires_at - first_due_at)
                     where id in (select value->>0 from {rows}) and state = $3 and (state <> 'skipped' or reason = $4)",
                    args![send_rows(chunk), now, from.as_str(), NO_COUPON],
                )
                .await?;
        }
        if back > 0 {
            self.notify(&mut tx).await?;
        }
        tx.commit().await?;
        if back > 0 {
            self.wake();
        }
        Ok(back)
    }
}
