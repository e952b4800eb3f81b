//! What a process used, as Linux tells it.

use std::time::Duration;

use bespoke::metrics::Metrics;
use bespoke::metrics::Step;

/// What this process has used of all cores so far, in steps of 10 ms.
pub(crate) fn cpu() -> Duration {
    ticks(&std::fs::read_to_string("/proc/self/stat").expect("Linux"))
}

fn ticks(stat: &str) -> Duration {
    ticks_at(stat, 11)
}

/// Of children that were waited for.
fn ticks_of_children(stat: &str) -> Duration {
    ticks_at(stat, 13)
}

/// Of user and kernel: two fields, counted from behind the name.
fn ticks_at(stat: &str, first: usize) -> Duration {
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(first).take(2).map(|ticks| ticks.parse::<u64>().expect("a number of ticks"));
    Duration::from_millis(10 * ticks.sum::<u64>())
}

/// What the threads in which SQLite runs have used so far; on PostgreSQL there are none.
pub(crate) fn database_cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok())
        .filter(|stat| stat.contains("(sqlx-sqlite"))
        .map(|stat| ticks(&stat))
        .sum()
}

/// Processor time of each step of a mail, of what the database takes in this process, and of all the rest: SMTP, reading
/// and saving, the runtime.
pub(crate) fn by_step(metrics: &Metrics, all_us: f64, database_us: f64) -> String {
    let text = metrics.text();
    let value = |name: &str, step: Step| -> f64 {
        let key = format!("bespoke_step_cpu_seconds_{name}{{step=\"{}\"}} ", step.as_str());
        text.lines().find_map(|line| line.strip_prefix(&key)?.parse().ok()).unwrap_or(0.0)
    };
    let mean_us = |step| 1e6 * value("sum", step) / value("count", step).max(1.0);
    let steps = Step::ALL.map(|step| (step.as_str(), mean_us(step)));
    let rest_us = all_us - database_us - steps.iter().map(|(_, us)| us).sum::<f64>();
    let parts = steps.into_iter().chain([("database", database_us), ("rest", rest_us)]);
    parts.map(|(name, us)| format!("{name} {us:.0}")).collect::<Vec<_>>().join(", ")
}

/// The peak begins anew: loading templates takes more than to have them. Where that is not permitted, it counts.
pub(crate) fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

pub(crate) fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1_024
}

/// What every process of PostgreSQL on this machine has used so far, and those of them that ended.
pub(crate) fn server_cpu() -> Duration {
    let processes = std::fs::read_dir("/proc").expect("Linux");
    let stats =
        processes.filter_map(|process| std::fs::read_to_string(process.ok()?.path().join("stat")).ok());
    stats.filter(|stat| stat.contains("(postgres)")).map(|stat| ticks(&stat) + ticks_of_children(&stat)).sum()
}
