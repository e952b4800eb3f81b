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

/// Decides a claim, or gives it back. Where it panics, its sends are decided one by one, and only those fail that panic
/// by themselves.
pub(super) async fn decide(shared: &Shared, claimed: Vec<Claimed>) -> Decided {
    let held: Vec<(SendId, LeaseToken)> =
        claimed.iter().map(|claimed| (claimed.send.id.clone(), claimed.token.clone())).collect();
    match attempt(shared, claimed).await {
        Ok(Ok(decided)) => decided,
        Ok(Err(error)) => {
            give_back(shared, &held, &error).await;
            tokio::time::sleep(DATABASE_RETRY).await;
            Decided::default()
        }
        Err(_) => {
            tracing::error!("deciding {} sends panicked; deciding them one by one", held.len());
            let mut decided = Decided::default();
            for held in &held {
                let one = alone(shared, held).await;
                decided.jobs.extend(one.jobs);
                decided.stopped.extend(one.stopped);
            }
            decided
        }
    }
}

async fn attempt(shared: &Shared, claimed: Vec<Claimed>) -> thread::Result<Result<Decided, Error>> {
    AssertUnwindSafe(batch::decide(shared, claimed, shared.clock.now())).catch_unwind().await
}

/// One send of a claim that panicked.
async fn alone(shared: &Shared, held: &(SendId, LeaseToken)) -> Decided {
    let (send, token) = held;
    let found = match shared.store.send(send).await {
        Ok(Some(stored)) => stored.send,
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
    match attempt(shared, vec![claimed]).await {
        Ok(Ok(decided)) => decided,
        Ok(Err(error)) => {
            give_back(shared, slice::from_ref(held), &error).await;
            Decided::default()
        }
        Err(_) => {
            let outcome = Outcome::terminal(State::Failed, "panic", batch::panicked(send));
            let stopped = Stopped { send: found, token: token.clone(), to: None, outcome };
            let mut decided = Decided::default();
            decided.stopped.push(stopped);
            decided
        }
    }
}

async fn give_back(shared: &Shared, held: &[(SendId, LeaseToken)], error: &Error) {
    tracing::error!("cannot decide {} sends, giving them back: {error}", held.len());
    if let Err(error) = shared.store.release(held, shared.clock.now()).await {
        tracing::error!("cannot give {} sends back, their leases will: {error}", held.len());
    }
    shared.let_go(held.iter().map(|(send, _)| send));
}
