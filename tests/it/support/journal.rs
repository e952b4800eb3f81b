//! What the scripted server wrote down, counted.

use super::live::Live;

/// When the server took each mail, in seconds.
pub(crate) fn accepted_at(live: &Live) -> Vec<f64> {
    let accepts = live.journal().into_iter().filter(|line| line["ev"] == "accept");
    let mut times: Vec<f64> = accepts.map(|line| line["t"].as_f64().unwrap()).collect();
    times.sort_by(f64::total_cmp);
    times
}

/// How many mails the server took to addresses that hold this, such as `@slow.test`.
pub(crate) fn taken(live: &Live, part: &str) -> usize {
    let accepts = live.journal().into_iter().filter(|line| line["ev"] == "accept");
    accepts.filter(|line| line["rcpt"].to_string().contains(part)).count()
}

/// The most mails within any second.
pub(crate) fn busiest_second(times: &[f64]) -> usize {
    most_within(times, 1.0)
}

/// The most mails within any so many seconds.
pub(crate) fn most_within(times: &[f64], seconds: f64) -> usize {
    let within =
        |(index, begin): (usize, &f64)| times[index..].partition_point(|time| *time < begin + seconds);
    times.iter().enumerate().map(within).max().unwrap_or(0)
}
