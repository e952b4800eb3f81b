//! Who followed a link or loaded a picture: a person, a scanner, or a proxy that hides who it loads for. Pure.
//!
//! Raw hits are kept, so their classes can be decided again whenever the rules get better.

use std::fmt;

use jiff::SignedDuration;
use jiff::Timestamp;

use crate::profile::ProfileId;
use crate::send::SendId;

mod address;
mod agent;

pub use address::network;
pub use agent::Agent;
pub use agent::agent;

/// Hits of one send that are kept; what comes after is answered and forgotten.
pub const HITS_PER_SEND_MAX: usize = 200;
/// Longest user agent that is kept, in bytes.
pub const AGENT_BYTES_MAX: usize = 512;
/// Several links within this time are opened by a machine.
const BURST: SignedDuration = SignedDuration::from_secs(2);
/// Whoever took the trap is a machine in everything that it does within this time.
const TRAPPED: SignedDuration = SignedDuration::from_mins(10);

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HitKind {
    /// The pixel.
    Open,
    /// A link.
    Click,
    /// The link that no person sees.
    Trap,
}

impl HitKind {
    /// The word that the database uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Click => "click",
            Self::Trap => "trap",
        }
    }

    /// Reads [`HitKind::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Click, Self::Trap].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One request for a signed link or pixel, with all that is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Its name; its event has the same.
    pub id: String,
    /// Of which mail.
    pub send: SendId,
    /// Whose mail.
    pub profile: ProfileId,
    /// What was asked for.
    pub kind: HitKind,
    /// Which link of the template.
    pub link: Option<u32>,
    /// When.
    pub at: Timestamp,
    /// `GET`, `HEAD` …
    pub method: String,
    /// The `User-Agent`, cut to [`AGENT_BYTES_MAX`].
    pub agent: String,
    /// What `Purpose`, `Sec-Purpose` or `X-Moz` say; empty where they say nothing.
    pub prefetch: String,
    /// Where it came from, as [`network`] gives it.
    pub network: String,
}

/// Who it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// A person, as far as can be told.
    Human,
    /// A program that looks at links: crawlers, mail scanners, link previews.
    Scanner,
    /// A mail host's proxy, which loads pictures whether or not anybody looks.
    PrivacyProxy,
}

impl Class {
    /// The word that events and the database use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Scanner => "scanner",
            Self::PrivacyProxy => "privacy_proxy",
        }
    }

    /// Reads [`Class::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Human, Self::Scanner, Self::PrivacyProxy].into_iter().find(|class| class.as_str() == text)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who it was, and which rule said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Who.
    pub class: Class,
    /// One machine word: `trap`, `method`, `prefetch`, `burst`, `agent`, `proxy`, `none`.
    pub reason: &'static str,
}

/// Classes all hits of one send, in the order given. A hit that was human by itself is a machine's when another one
/// shows it: so this is asked again whenever a hit is added.
pub fn classify(hits: &[Hit]) -> Vec<Verdict> {
    hits.iter().map(|hit| one(hit, hits)).collect()
}

fn one(hit: &Hit, all: &[Hit]) -> Verdict {
    let scanner = |reason| Verdict { class: Class::Scanner, reason };
    if hit.kind == HitKind::Trap || all.iter().any(|other| trapped(hit, other)) {
        return scanner("trap");
    }
    if hit.method != "GET" {
        return scanner("method");
    }
    if !hit.prefetch.is_empty() {
        return scanner("prefetch");
    }
    match (agent(&hit.agent), hit.kind) {
        (Agent::Program, _) | (Agent::Bare, HitKind::Click | HitKind::Trap) => return scanner("agent"),
        (Agent::Proxy, _) | (Agent::Bare, HitKind::Open) => {
            return Verdict { class: Class::PrivacyProxy, reason: "proxy" };
        }
        (Agent::Person, _) => {}
    }
    if hit.kind == HitKind::Click && all.iter().any(|other| burst(hit, other)) {
        return scanner("burst");
    }
    Verdict { class: Class::Human, reason: "none" }
}

/// Whether `other` is the trap, taken by whoever made `hit`.
fn trapped(hit: &Hit, other: &Hit) -> bool {
    let apart = hit.at.duration_since(other.at).abs();
    let same = hit.agent == other.agent && hit.network == other.network;
    other.kind == HitKind::Trap && (apart <= BURST || (same && apart <= TRAPPED))
}

/// Whether two different links were opened at once. The same link twice is a person's double click.
fn burst(hit: &Hit, other: &Hit) -> bool {
    other.kind == HitKind::Click && other.link != hit.link && hit.at.duration_since(other.at).abs() <= BURST
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

    fn hit(kind: HitKind, link: u32, at_ms: i64) -> Hit {
        Hit {
            id: format!("{}-{link}-{at_ms}", kind.as_str()),
            send: SendId::parse(&"0".repeat(32)).unwrap(),
            profile: ProfileId::parse("ana").unwrap(),
            kind,
            link: (kind == HitKind::Click).then_some(link),
            at: Timestamp::from_millisecond(at_ms).unwrap(),
            method: "GET".to_owned(),
            agent: BROWSER.to_owned(),
            prefetch: String::new(),
            network: "203.0.113.0/24".to_owned(),
        }
    }

    fn check(hits: &[Hit], expected: &[(Class, &str)]) {
        let found: Vec<_> =
            classify(hits).into_iter().map(|verdict| (verdict.class, verdict.reason)).collect();
        assert_eq!(found, expected, "{hits:#?}");
    }

    #[test]
    fn one_hit_is_classed_by_what_it_says_of_itself() {
        use Class::{Human, PrivacyProxy, Scanner};
        let click = || hit(HitKind::Click, 1, 0);
        let open = || hit(HitKind::Open, 0, 0);
        check(&[click()], &[(Human, "none")]);
        check(&[open()], &[(Human, "none")]);
        check(&[hit(HitKind::Trap, 0, 0)], &[(Scanner, "trap")]);
        check(&[Hit { method: "HEAD".to_owned(), ..click() }], &[(Scanner, "method")]);
        check(&[Hit { prefetch: "prefetch".to_owned(), ..click() }], &[(Scanner, "prefetch")]);
        check(&[Hit { agent: "curl/8.5.0".to_owned(), ..click() }], &[(Scanner, "agent")]);
        check(&[Hit { agent: String::new(), ..open() }], &[(Scanner, "agent")]);
        let bare = "Mozilla/5.0".to_owned();
        check(&[Hit { agent: bare.clone(), ..open() }], &[(PrivacyProxy, "proxy")]);
        check(&[Hit { agent: bare, ..click() }], &[(Scanner, "agent")]);
        let proxy =
            "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)";
        check(&[Hit { agent: proxy.to_owned(), ..open() }], &[(PrivacyProxy, "proxy")]);
    }

    #[test]
    fn several_links_within_two_seconds_are_a_machines_and_so_is_the_first() {
        use Class::{Human, Scanner};
        let clicks = |at: &[(u32, i64)]| -> Vec<Hit> {
            at.iter().map(|(link, at_ms)| hit(HitKind::Click, *link, *at_ms)).collect()
        };
        check(&clicks(&[(1, 0), (2, 2_000)]), &[(Scanner, "burst"), (Scanner, "burst")]);
        check(&clicks(&[(1, 0), (2, 2_001)]), &[(Human, "none"), (Human, "none")]);
        check(&clicks(&[(1, 0), (1, 300)]), &[(Human, "none"), (Human, "none")]);
        let three = [(Human, "none"), (Scanner, "burst"), (Scanner, "burst")];
        check(&clicks(&[(1, 0), (1, 9_000), (2, 9_100)]), &three);
        let opened = [hit(HitKind::Open, 0, 0), hit(HitKind::Click, 1, 500)];
        check(&opened, &[(Human, "none"), (Human, "none")]);
    }

    #[test]
    fn whoever_takes_the_trap_is_a_machine_in_all_that_it_does_then() {
        use Class::{Human, Scanner};
        let trap = hit(HitKind::Trap, 0, 60_000);
        let before = hit(HitKind::Click, 1, 0);
        let elsewhere = Hit { network: "198.51.100.0/24".to_owned(), ..hit(HitKind::Click, 2, 30_000) };
        let at_once = Hit { network: "198.51.100.0/24".to_owned(), ..hit(HitKind::Click, 2, 61_000) };
        let later = hit(HitKind::Click, 1, 60_000 + 11 * 60_000);
        check(
            &[before, elsewhere, trap, at_once, later],
            &[(Scanner, "trap"), (Human, "none"), (Scanner, "trap"), (Scanner, "trap"), (Human, "none")],
        );
    }
}
