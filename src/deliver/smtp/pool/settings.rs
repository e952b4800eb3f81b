//! How long a pool keeps off a relay that failed.

/// Longest wait that can be asked for, in milliseconds.
pub(super) const WEEK_MS: u64 = 7 * 24 * 3_600_000;

/// Pauses and back-offs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSettings {
    /// First pause of a relay whose host or account is at fault; doubles with each fault that follows.
    pub pause_first_ms: u64,
    /// Longest pause.
    pub pause_max_ms: u64,
    /// First wait before another connection is tried, after one failed; doubles.
    pub backoff_first_ms: u64,
    /// Longest such wait.
    pub backoff_max_ms: u64,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            pause_first_ms: 60_000,
            pause_max_ms: 3_600_000,
            backoff_first_ms: 1_000,
            backoff_max_ms: 60_000,
        }
    }
}

/// `first` doubled for each time after the first, at most `max` and a week.
pub(super) fn doubled(first_ms: u64, times: u32, max_ms: u64) -> u64 {
    let factor = 1_u64.checked_shl(times.saturating_sub(1)).unwrap_or(u64::MAX);
    first_ms.saturating_mul(factor).min(max_ms).min(WEEK_MS)
}
