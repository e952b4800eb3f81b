//! Reserves this worker's share of the rates from the database, for as long as somebody wants to send.

use std::sync::Arc;
use std::time::Duration;

use crate::store::Reserve;
use crate::worker::shared::Shared;

/// While mail goes out, slots are reserved this often.
const ROUND: Duration = Duration::from_millis(100);
/// However many wait, the database is not asked more often than this.
const GAP: Duration = Duration::from_millis(10);
/// After a fault it is asked again after this long.
const RETRY: Duration = Duration::from_millis(500);

/// Never returns. A worker whose reservations fail has no slots soon after, and sends nothing more.
pub(super) async fn reserve(shared: Arc<Shared>) {
    let mut failing = false;
    loop {
        let idle = !shared.limiter.is_in_use();
        tokio::select! {
            () = shared.limiter.asked() => {}
            () = tokio::time::sleep(ROUND), if !idle => {}
        }
        let wants = shared.limiter.wants();
        if wants.is_empty() {
            tokio::time::sleep(GAP).await;
            continue;
        }
        let reserves: Vec<Reserve> = wants
            .into_iter()
            .map(|want| Reserve {
                key: want.key,
                slots: want.slots,
                interval_us: want.interval_us,
                ahead_us: want.ahead_us,
                credit_us: want.credit_us,
            })
            .collect();
        match shared.store.reserve(&reserves, shared.clock.now()).await {
            Ok(granted) => {
                failing = false;
                for (wanted, granted) in reserves.iter().zip(granted) {
                    shared.limiter.grant(&wanted.key, granted.slots, granted.starts_us, granted.wait_us);
                }
                tokio::time::sleep(GAP).await;
            }
            Err(error) => {
                if !failing {
                    tracing::error!(
                        "cannot reserve a share of the rates, sending nothing until then: {error}"
                    );
                }
                failing = true;
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
