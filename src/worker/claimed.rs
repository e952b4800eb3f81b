//! From a claim to decisions, whatever goes wrong on the way: nothing stays in our hands undecided.

use std::panic::AssertUnwindSafe;
use std::slice;
use std::thread;

use futures_util::FutureExt as _;

use crate::send::LeaseToken;
use crate::send::Outcome;
use crate::send::SendId;
use crate::send::State;
use crate::store::Claimed;
use crate::store::Error;
use crate::worker::batch;
use crate::worker::batch::Decided;
use crate::worker::batch::Stopped;
use crate::worker::run::DATABASE_RETRY;
use crate::worker::shared::Shared;

/// Decides a claim, or gives it back. Where it panics, or a row of one person cannot be read, its sends are decided one by
/// one, and only those fail that do so by themselves.
pub(super) async fn decide(shared: &Shared, claimed: Vec<Claimed>) -> Decided {
    let held: Vec<(SendId, LeaseToken)> =
        claimed.iter().map(|claimed| (claimed.send.id.clone(), claimed.token.clone())).collect();
    match attempt(shared, claimed).await {
        Ok(Ok(decided)) => decided,
        Ok(Err(error)) if error.is_one_persons() => {
            tracing::error!("deciding {} sends one by one: {error}", held.len());
            one_by_one(shared, &held).await
        }
        Ok(Err(error)) => {
            give_back(shared, &held, &error).await;
            tokio::time::sleep(DATABASE_RETRY).await;
            Decided::default()
        }
        Err(_) => {
            tracing::error!("deciding {} sends panicked; deciding them one by one", held.len());
            one_by_one(shared, &held).await
        }
    }
}

async fn one_by_one(shared: &Shared, held: &[(SendId, LeaseToken)]) -> Decided {
    let mut decided = Decided::default();
    for held in held {
        let one = alone(shared, held).await;
        decided.jobs.extend(one.jobs);
        decided.stopped.extend(one.stopped);
    }
    decided
}

async fn attempt(shared: &Shared, claimed: Vec<Claimed>) -> thread::Result<Result<Decided, Error>> {
    AssertUnwindSafe(batch::decide(shared, claimed, shared.clock.now())).catch_unwind().await
}

/// One send of a claim that could not be decided.
async fn alone(shared: &Shared, held: &(SendId, LeaseToken)) -> Decided {
    let (send, token) = held;
    let found = match shared.store.leased(send, token).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            shared.let_go(std::iter::once(send));
            return Decided::default();
        }
        Err(error) => {
            give_back(shared, slice::from_ref(held), &error).await;
            return Decided::default();
        }
    };
    let claimed = Claimed { send: found.clone(), token: token.clone() };
    let failed = |reason: &str, detail: String| {
        let outcome = Outcome::terminal(State::Failed, reason, detail);
        let mut decided = Decided::default();
        decided.stopped.push(Stopped { send: found, token: token.clone(), to: None, outcome });
        decided
    };
    match attempt(shared, vec![claimed]).await {
        Ok(Ok(decided)) => decided,
        Ok(Err(error)) if error.is_one_persons() => failed("unreadable", error.to_string()),
        Ok(Err(error)) => {
            give_back(shared, slice::from_ref(held), &error).await;
            Decided::default()
        }
        Err(_) => failed("panic", batch::panicked(send)),
    }
}

async fn give_back(shared: &Shared, held: &[(SendId, LeaseToken)], error: &Error) {
    tracing::error!("cannot decide {} sends, giving them back: {error}", held.len());
    if let Err(error) = shared.store.release(held, shared.clock.now()).await {
        tracing::error!("cannot give {} sends back, their leases will: {error}", held.len());
    }
    shared.let_go(held.iter().map(|(send, _)| send));
}
