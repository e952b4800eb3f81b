//! What the scripted server wrote down, counted.

use super::live::Live;

/// When the server took each mail, in seconds.
pub(crate) fn accepted_at(live: &Live) -> Vec<f64> {
    let accepts = live.journal().into_iter().filter(|line| line["ev"] == "accept");
    let mut times: Vec<f64> = accepts.map(|line| line["t"].as_f64().unwrap()).collect();
    times.sort_by(f64::total_cmp);
    times
}

/// The most mails within any second.
pub(crate) fn busiest_second(times: &[f64]) -> usize {
    let within = |(index, begin): (usize, &f64)| times[index..].partition_point(|time| *time < begin + 1.0);
    times.iter().enumerate().map(within).max().unwrap_or(0)
}
