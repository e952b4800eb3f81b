//! How fast one key may ask, so that one client that runs wild does not take the service from all others.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::DefaultKeyedRateLimiter;
use governor::Quota;
use governor::RateLimiter;
use governor::clock::Clock as _;

/// The requests of each key. What was not used for a minute may go at once; nothing is made up for beyond that.
#[derive(Debug)]
pub(super) struct Pace(Option<DefaultKeyedRateLimiter<String>>);

impl Pace {
    /// So many requests a minute for each key; 0 is no limit.
    pub(super) fn per_minute(requests: u32) -> Self {
        Self(NonZeroU32::new(requests).map(|requests| RateLimiter::dashmap(Quota::per_minute(requests))))
    }

    /// Counts a request of this key, or says after how long it may come again. Only keys that exist are counted, so
    /// that what is remembered does not grow.
    pub(super) fn count(&self, key_id: &str) -> Result<(), Duration> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        limiter.check_key(&key_id.to_owned()).map_err(|until| until.wait_time_from(limiter.clock().now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_minute() {
        let pace = Pace::per_minute(2);
        assert_eq!([pace.count("a"), pace.count("a")], [Ok(()), Ok(())]);
        let wait = pace.count("a").unwrap_err();
        assert!(wait > Duration::from_secs(20) && wait <= Duration::from_secs(30), "{wait:?}");
        assert_eq!(pace.count("b"), Ok(()));
        assert!((0..1_000).all(|_| Pace::per_minute(0).count("a").is_ok()));
    }
}
