//! What this process counts and measures, as Prometheus reads it. The only place that knows the library.
//!
//! Labels never hold people: a recipient's domain group is counted by name as long as there are few of them.

use std::collections::HashSet;
use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::clock::processor_time;

/// Domain groups that have a line of their own, at most; the rest are counted as `other`.
const GROUPS_MAX: usize = 200;
/// Where the steps of a histogram of times lie, in seconds.
const SECONDS: [f64; 15] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 300.0];
/// Where the steps of a histogram of processor times lie, in seconds.
const PROCESSOR_SECONDS: [f64; 10] =
    [0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.1];
/// One mail in so many is measured: to ask for a thread's time costs as much as a hundredth of the mail.
const MEASURED_EVERY: u32 = 16;
/// Where the steps of a decision's entropy lie, in bits.
const BITS: [f64; 10] = [0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0];

/// A part of the way of a mail over SMTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for a session: connect, TLS and login are in it where one had to be made.
    Checkout,
    /// From MAIL to the 354.
    Envelope,
    /// Committing the mark.
    Mark,
    /// From the first byte of the body to the reply after the dot.
    Body,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Envelope => "envelope",
            Self::Mark => "mark",
            Self::Body => "body",
        }
    }
}

/// A part of the work on one mail that only computes, and so has a processor time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// History, stage, facts, selection.
    Decide,
    /// Templates to HTML and text, links signed.
    Render,
    /// MIME.
    Compose,
    /// DKIM.
    Sign,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Decide, Self::Render, Self::Compose, Self::Sign];

    /// Its label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decide => "decide",
            Self::Render => "render",
            Self::Compose => "compose",
            Self::Sign => "sign",
        }
    }
}

/// Which rate a mail waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Of all mail.
    Global,
    /// Of a group of recipient domains.
    DomainGroup,
    /// Of a relay.
    Relay,
}

impl Limit {
    fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::DomainGroup => "domain_group",
            Self::Relay => "relay",
        }
    }
}

/// Whether a relay may be used, as a number: 0 it may, 1 it backs off, 2 it is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// It may.
    Closed,
    /// No new connections for a moment.
    BackingOff,
    /// Not at all.
    Paused,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    state: &'static str,
    reason: String,
    domain_group: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    endpoint: String,
    method: String,
    status: u16,
}

/// One label, whose name is a constant.
macro_rules! one_label {
    ($name:ident, $field:ident: $kind:ty) => {
        #[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
        struct $name {
            $field: $kind,
        }
    };
}
one_label!(PhaseLabel, phase: &'static str);
one_label!(StepLabel, step: &'static str);
one_label!(LimitLabel, limit: &'static str);
one_label!(KindLabel, kind: &'static str);
one_label!(EndpointLabel, endpoint: String);
one_label!(RelayLabel, relay: String);
one_label!(CampaignLabel, campaign: String);

type Times<L> = Family<L, Histogram, fn() -> Histogram>;
type Seconds = Gauge<f64, AtomicU64>;
type Collector = Box<dyn Fn(&Metrics) + Send + Sync>;

/// All counters of a process. What is cheap is counted as it happens, what is not is asked for when somebody looks.
pub struct Metrics {
    registry: Registry,
    outcomes: Family<OutcomeLabels, Counter>,
    groups: Mutex<HashSet<String>>,
    render: Histogram,
    phases: Times<PhaseLabel>,
    processor: Times<StepLabel>,
    steps: [AtomicU32; Step::ALL.len()],
    waits: Times<LimitLabel>,
    entropy: Times<CampaignLabel>,
    requests: Family<RequestLabels, Counter>,
    request_times: Times<EndpointLabel>,
    due: Family<KindLabel, Gauge>,
    oldest: Family<KindLabel, Seconds>,
    breakers: Family<RelayLabel, Gauge>,
    connections: Family<RelayLabel, Gauge>,
    collectors: Mutex<Vec<Collector>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("bespoke"),
            outcomes: Family::default(),
            groups: Mutex::default(),
            render: times(),
            phases: Family::new_with_constructor(times),
            processor: Family::new_with_constructor(|| Histogram::new(PROCESSOR_SECONDS)),
            steps: Default::default(),
            waits: Family::new_with_constructor(times),
            entropy: Family::new_with_constructor(bits),
            requests: Family::default(),
            request_times: Family::new_with_constructor(times),
            due: Family::default(),
            oldest: Family::default(),
            breakers: Family::default(),
            connections: Family::default(),
            collectors: Mutex::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let Self { registry, .. } = self;
        registry.register("sends", "Outcomes of attempts", self.outcomes.clone());
        registry.register("render_seconds", "Rendering, composing and signing one mail", self.render.clone());
        registry.register("smtp_phase_seconds", "Parts of the way of a mail over SMTP", self.phases.clone());
        registry.register(
            "step_cpu_seconds",
            "Processor time of a step, of one mail in sixteen",
            self.processor.clone(),
        );
        registry.register("limit_wait_seconds", "Waiting for a rate", self.waits.clone());
        registry.register(
            "decision_entropy_bits",
            "How open a choice was: 0 = only one way",
            self.entropy.clone(),
        );
        registry.register("http_requests", "Answers over HTTP", self.requests.clone());
        registry.register(
            "http_request_seconds",
            "From a request's header to its answer",
            self.request_times.clone(),
        );
        registry.register("queue_due", "Sends that are due and not claimed", self.due.clone());
        registry.register(
            "queue_oldest_due_seconds",
            "How long the oldest of them has been due",
            self.oldest.clone(),
        );
        registry.register("relay_breaker", "0 = in use, 1 = backing off, 2 = paused", self.breakers.clone());
        registry.register("relay_connections", "Open connections to a relay", self.connections.clone());
    }

    /// An attempt came to this.
    pub fn outcome(&self, state: &'static str, reason: &str, domain_group: &str) {
        let (reason, domain_group) = (reason.to_owned(), self.group(domain_group));
        self.outcomes.get_or_create(&OutcomeLabels { state, reason, domain_group }).inc();
    }

    /// One mail was rendered, composed and signed.
    pub fn rendered(&self, time: Duration) {
        self.render.observe(time.as_secs_f64());
    }

    /// Takes a step of one mail; of some, the processor time is measured.
    pub fn step<T>(&self, step: Step, work: impl FnOnce() -> T) -> T {
        if !self.steps[step as usize].fetch_add(1, Ordering::Relaxed).is_multiple_of(MEASURED_EVERY) {
            return work();
        }
        let begun = processor_time();
        let done = work();
        let took = processor_time().saturating_sub(begun);
        self.processor.get_or_create(&StepLabel { step: step.as_str() }).observe(took.as_secs_f64());
        done
    }

    /// A phase of one mail is over.
    pub fn phase(&self, phase: Phase, time: Duration) {
        self.phases.get_or_create(&PhaseLabel { phase: phase.as_str() }).observe(time.as_secs_f64());
    }

    /// One mail has waited for a rate.
    pub fn waited(&self, limit: Limit, time: Duration) {
        self.waits.get_or_create(&LimitLabel { limit: limit.as_str() }).observe(time.as_secs_f64());
    }

    /// One choice was made between options of these probabilities.
    pub fn decided(&self, campaign: &str, probabilities: impl Iterator<Item = f64>) {
        let label = CampaignLabel { campaign: campaign.to_owned() };
        self.entropy.get_or_create(&label).observe(entropy_bits(probabilities));
    }

    /// A request was answered. `endpoint` is the path of the description, never that of the request.
    pub fn answered(&self, endpoint: &str, method: &str, status: u16, time: Duration) {
        let (endpoint, method) = (endpoint.to_owned(), method.to_owned());
        self.request_times
            .get_or_create(&EndpointLabel { endpoint: endpoint.clone() })
            .observe(time.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { endpoint, method, status }).inc();
    }

    /// How many sends of a kind are due, and since when the oldest is.
    pub fn queue(&self, kind: &'static str, due: u64, oldest: Duration) {
        self.due.get_or_create(&KindLabel { kind }).set(i64::try_from(due).unwrap_or(i64::MAX));
        self.oldest.get_or_create(&KindLabel { kind }).set(oldest.as_secs_f64());
    }

    /// How a relay is, and how many connections to it are open.
    pub fn relay(&self, relay: &str, breaker: Breaker, connections: usize) {
        let label = RelayLabel { relay: relay.to_owned() };
        self.breakers.get_or_create(&label).set(breaker as i64);
        self.connections.get_or_create(&label).set(i64::try_from(connections).unwrap_or(i64::MAX));
    }

    /// Asks `collector` whenever somebody looks.
    pub fn collect(&self, collector: impl Fn(&Self) + Send + Sync + 'static) {
        self.collectors.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(collector));
    }

    /// Everything, in the text form of `OpenMetrics` 1.0.
    pub fn text(&self) -> String {
        for collector in self.collectors.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            collector(self);
        }
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn group(&self, group: &str) -> String {
        let mut known = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(group) || known.len() < GROUPS_MAX && known.insert(group.to_owned()) {
            return group.to_owned();
        }
        "other".to_owned()
    }
}

/// −Σ p log₂ p.
fn entropy_bits(probabilities: impl Iterator<Item = f64>) -> f64 {
    probabilities.filter(|p| *p > 0.0).map(|p| -p * p.log2()).sum::<f64>().max(0.0)
}

fn times() -> Histogram {
    Histogram::new(SECONDS)
}

fn bits() -> Histogram {
    Histogram::new(BITS)
}

#[cfg(test)]
mod tests {
    use super::GROUPS_MAX;
    use super::Metrics;
    use super::entropy_bits;

    #[test]
    fn a_sure_choice_has_no_entropy_and_an_even_one_the_most() {
        for (probabilities, expected) in [
            (vec![1.0], 0.0),
            (vec![0.5, 0.5], 1.0),
            (vec![0.25; 4], 2.0),
            (vec![1.0, 0.0], 0.0),
            (vec![], 0.0),
        ] {
            assert!((entropy_bits(probabilities.into_iter()) - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn too_many_domain_groups_are_counted_together() {
        let metrics = Metrics::default();
        for n in 0..GROUPS_MAX + 5 {
            metrics.outcome("sent", "sent", &format!("d{n}.test"));
        }
        let text = metrics.text();
        assert_eq!(text.matches("bespoke_sends_total{").count(), GROUPS_MAX + 1);
        assert!(text.contains("domain_group=\"other\"} 5\n"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
