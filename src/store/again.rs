//! Transactions that met in a deadlock: the database gave one of them up, and the same again will do.

use super::Error;

/// Deadlocks after which one gives up.
const DEADLOCKS_MAX: usize = 10;

/// Makes attempts until one is not given up for a deadlock. Each begins its transaction anew.
pub(super) async fn despite_deadlocks<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut deadlocks = 0;
    loop {
        match attempt().await {
            Err(error) if error.is_deadlock() && deadlocks < DEADLOCKS_MAX => deadlocks += 1,
            done => return done,
        }
    }
}
