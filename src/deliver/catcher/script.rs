//! Faults on demand: which phase of which message meets what.

use std::str::FromStr;
use std::time::Duration;

/// Longest delay that a rule may ask for, in seconds.
const DELAY_MAX_S: f64 = 3600.0;

/// When a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Instead of the greeting.
    Connect,
    /// At EHLO.
    Ehlo,
    /// At STARTTLS.
    StartTls,
    /// At the end of AUTH.
    Auth,
    /// At MAIL.
    Mail,
    /// At RCPT.
    Rcpt,
    /// At DATA.
    Data,
    /// When the first bytes of the message are there.
    Body,
    /// The final dot is there and the message is not recorded.
    Dot,
    /// The message is recorded and its reply is not written: the window in which nobody can know.
    Reply,
    /// At RSET.
    Rset,
    /// At QUIT.
    Quit,
}

const STAGES: [(&str, Stage); 12] = [
    ("connect", Stage::Connect),
    ("ehlo", Stage::Ehlo),
    ("starttls", Stage::StartTls),
    ("auth", Stage::Auth),
    ("mail", Stage::Mail),
    ("rcpt", Stage::Rcpt),
    ("data", Stage::Data),
    ("body", Stage::Body),
    ("dot", Stage::Dot),
    ("reply", Stage::Reply),
    ("rset", Stage::Rset),
    ("quit", Stage::Quit),
];

/// What happens then.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// As without a rule.
    Ok,
    /// This reply; `421 …` also closes.
    Say(String),
    /// Close.
    Drop,
    /// Close with RST.
    Reset,
    /// Never answer.
    Stall,
    /// The right reply, late.
    Delay(Duration),
    /// The right reply, with this much time before each byte.
    Slow(Duration),
    /// Bytes that are no reply.
    Garbage,
    /// `250` in a Chinese encoding.
    NonUtf8,
    /// `250-` lines without end.
    Endless,
    /// At STARTTLS: replies in plaintext behind the 220.
    Inject,
}

/// One fault: `stage[@part][#nth|%every]=action`.
///
/// `part` must occur in the command, or for `body`, `dot` and `reply` in the recipients and the message. `#3` is the
/// third match only, `%3` every third, counting only what no earlier rule struck. Actions: `ok`, a reply such as `450 4.2.0 later`, `drop`, `rst`, `stall`,
/// `delay:SECONDS`, `slow:SECONDS`, `garbage`, `nonutf8`, `huge`, `inject`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    stage: Stage,
    part: Option<String>,
    which: Which,
    action: Action,
    matched_count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    Nth(u64),
    Every(u64),
}

/// A rule that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule:?} is no rule: {problem}; write stage[@part][#nth|%every]=action")]
pub struct RuleError {
    rule: String,
    problem: &'static str,
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(rule: &str) -> Result<Self, RuleError> {
        let error = |problem| RuleError { rule: rule.to_owned(), problem };
        let (head, action) = rule.split_once('=').ok_or_else(|| error("no ="))?;
        let (head, which) = match head.rfind(['#', '%']) {
            None => (head, Which::All),
            Some(at) => {
                let number = head[at + 1..].parse().ok().filter(|number| *number > 0);
                let number = number.ok_or_else(|| error("no number from 1 after # or %"))?;
                let which =
                    if head[at..].starts_with('#') { Which::Nth(number) } else { Which::Every(number) };
                (&head[..at], which)
            }
        };
        let (stage, part) = match head.split_once('@') {
            Some((stage, part)) => (stage, Some(part.to_owned())),
            None => (head, None),
        };
        let stage = STAGES.iter().find(|(name, _)| *name == stage).ok_or_else(|| error("no such stage"))?.1;
        let action = read_action(action).ok_or_else(|| error("no such action"))?;
        Ok(Self { stage, part, which, action, matched_count: 0 })
    }
}

fn read_action(text: &str) -> Option<Action> {
    let seconds = |text: &str| {
        let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..=DELAY_MAX_S).contains(seconds))?;
        Some(Duration::from_secs_f64(seconds))
    };
    Some(match text {
        "ok" => Action::Ok,
        "drop" => Action::Drop,
        "rst" => Action::Reset,
        "stall" => Action::Stall,
        "garbage" => Action::Garbage,
        "nonutf8" => Action::NonUtf8,
        "huge" => Action::Endless,
        "inject" => Action::Inject,
        _ => match text.split_once(':') {
            Some(("delay", time)) => Action::Delay(seconds(time)?),
            Some(("slow", time)) => Action::Slow(seconds(time)?),
            _ if text.len() >= 3 && text.as_bytes()[..3].iter().all(u8::is_ascii_digit) => {
                Action::Say(text.to_owned())
            }
            _ => return None,
        },
    })
}

/// The rules of a catcher, with their counts.
#[derive(Debug)]
pub(super) struct Script(Vec<Rule>);

impl Script {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        Self(rules)
    }

    pub(super) fn action(&mut self, stage: Stage, data: &[u8]) -> Option<Action> {
        self.0.iter_mut().filter(|rule| rule.stage == stage).find_map(|rule| rule.strike(data))
    }
}

impl Rule {
    fn strike(&mut self, data: &[u8]) -> Option<Action> {
        let part = self.part.as_deref().unwrap_or_default();
        memchr::memmem::find(data, part.as_bytes())?;
        self.matched_count += 1;
        let strikes = match self.which {
            Which::All => true,
            Which::Nth(number) => self.matched_count == number,
            Which::Every(number) => self.matched_count.is_multiple_of(number),
        };
        strikes.then(|| self.action.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_or_say_why_not() {
        let rule: Rule = "rcpt@x=y@z#2=550 5.1.1 no".parse().unwrap_or_else(|_| "rcpt#2=ok".parse().unwrap());
        assert_eq!(rule.stage, Stage::Rcpt);
        let read = |text: &str| text.parse::<Rule>().map(|rule| (rule.part, rule.which, rule.action));
        assert_eq!(
            read("rcpt@<a@b#2=550 5.1.1 no"),
            Ok((Some("<a@b".to_owned()), Which::Nth(2), Action::Say("550 5.1.1 no".to_owned())))
        );
        assert_eq!(read("dot%3=rst"), Ok((None, Which::Every(3), Action::Reset)));
        assert_eq!(read("mail=delay:0.5"), Ok((None, Which::All, Action::Delay(Duration::from_millis(500)))));
        for bad in
            ["", "rcpt", "nope=ok", "rcpt=fly", "rcpt#0=ok", "rcpt#x=ok", "rcpt=delay:-1", "rcpt=slow:"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_first_rule_that_matches_wins() {
        let rules = ["rcpt@ada#2=drop", "rcpt%2=stall", "rcpt@eve=ok"];
        let mut script = Script::new(rules.iter().map(|rule| rule.parse().unwrap()).collect());
        let actions: Vec<_> =
            ["ada", "ada", "eve", "bob", "eve"].map(|to| script.action(Stage::Rcpt, to.as_bytes())).into();
        assert_eq!(
            actions,
            [None, Some(Action::Drop), Some(Action::Stall), None, Some(Action::Stall)].to_vec()
        );
        assert_eq!(script.action(Stage::Mail, b"ada"), None);
    }
}
