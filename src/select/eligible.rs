//! What may be shown to this person now, and which rule kept the rest out.

use std::sync::Arc;

use jiff::ToSpan as _;

use super::Situation;
use crate::campaign::Kind;
use crate::campaign::PolicyKind;
use crate::catalog::rule::Rule;
use crate::catalog::variant::Variant;
use crate::catalog::variant::is_present;
use crate::decision::RuledOut;

/// Variants or families named in one [`RuledOut`], at most; the rest is counted.
const NAMES_MAX: usize = 20;

/// What may be shown, and what may not.
#[derive(Debug)]
pub struct Eligible<'a> {
    /// In the order of `rules`.
    pub variants: Vec<&'a Variant>,
    /// By rule.
    pub ruled_out: Vec<RuledOut>,
}

/// Asks every variant of the campaign.
pub fn eligible<'e>(situation: &Situation<'e, '_>) -> Eligible<'e> {
    let recent = recent(situation);
    let mut asked =
        Asked { situation, answers: Vec::new(), present: Vec::new(), recent, out: Out::default() };
    let mut variants = Vec::new();
    for arm in situation.entry.arms_at(situation.stage) {
        match arm.for_locale(situation.locale) {
            Some(variant) if asked.may(&arm.family, variant) => variants.push(variant),
            Some(_) => {}
            None => asked.out.add("locale", "", || wanted_locale(situation), &arm.family),
        }
    }
    for family in situation.entry.families_not_at(situation.stage) {
        asked.out.add("stage", "", || format!("the person is at {}", situation.stage), family);
    }
    let ruled_out = told_in_part(asked.out.finish(), &variants);
    Eligible { variants, ruled_out }
}

/// Marks files of which other combinations may still be shown: a file that wins should not read as ruled out.
fn told_in_part(mut ruled_out: Vec<RuledOut>, variants: &[&Variant]) -> Vec<RuledOut> {
    // Variants of one file stand together.
    let mut families: Vec<&str> = variants.iter().map(|variant| variant.id.family()).collect();
    families.dedup();
    for name in ruled_out.iter_mut().flat_map(|out| &mut out.variants) {
        if families.contains(&&**name) {
            *name = format!("{name} (in part)").as_str().into();
        }
    }
    ruled_out
}

fn wanted_locale(situation: &Situation<'_, '_>) -> String {
    format!("no variant for locale {}", situation.locale.unwrap_or("(none)"))
}

/// Variants that the person had within the campaign's window. Transactional mail may repeat itself, and an A/B test must:
/// without their own variant people would go to the others, each to the same one, and nothing would be left to chance.
fn recent<'a>(situation: &Situation<'_, 'a>) -> Vec<&'a str> {
    let campaign = &situation.entry.campaign;
    let may_repeat = campaign.kind == Kind::Transactional || campaign.policy == PolicyKind::Ab;
    if may_repeat || campaign.no_repeat_variant_days == 0 {
        return Vec::new();
    }
    let start = situation.now - (24 * i64::from(campaign.no_repeat_variant_days)).hours();
    let within = situation.mails.iter().filter(|mail| mail.at > start && mail.at <= situation.now);
    within.map(|mail| mail.variant.as_str()).collect()
}

struct Asked<'s, 'e, 'a> {
    situation: &'s Situation<'e, 'a>,
    /// Variants of one file share their rules, and files say the same in the same words: each is evaluated once.
    answers: Vec<(&'e Arc<Rule>, Option<Refused<'e>>)>,
    /// Variants ask for the same few inputs: each is looked for once.
    present: Vec<(&'e str, bool)>,
    recent: Vec<&'a str>,
    out: Out<'e>,
}

impl<'e> Asked<'_, 'e, '_> {
    fn may(&mut self, family: &Arc<str>, variant: &'e Variant) -> bool {
        for rule in &variant.when {
            let answer = self.answer(rule);
            if let Some(Refused { key, why }) = &self.answers[answer].1 {
                self.out.add("when", key, || why.clone(), family);
                return false;
            }
        }
        if let Some(input) = variant.inputs.iter().find(|input| !self.is_present(input)) {
            self.out.add("inputs", input, || format!("`{input}` is absent or empty"), family);
            return false;
        }
        if let Some(offer) = &variant.offer
            && let Some(none) = self.situation.no_coupons.iter().find(|none| none.offer() == offer)
        {
            self.out.add("offer", offer, || none.detail(), family);
            return false;
        }
        if self.recent.contains(&variant.id.as_str()) {
            let days = self.situation.entry.campaign.no_repeat_variant_days;
            let detail = || format!("sent within the last {days} days");
            self.out.add("recency", "", detail, variant.id.shared());
            return false;
        }
        true
    }

    fn is_present(&mut self, input: &'e str) -> bool {
        if let Some((_, present)) = self.present.iter().find(|(known, _)| *known == input) {
            return *present;
        }
        let present = is_present(self.situation.facts, input);
        self.present.push((input, present));
        present
    }

    /// The index of a rule's answer: why it does not hold, with the facts that decided it; `None` when it holds.
    fn answer(&mut self, rule: &'e Arc<Rule>) -> usize {
        if let Some(known) = self.answers.iter().rposition(|(known, _)| Arc::ptr_eq(known, rule)) {
            return known;
        }
        // An error names its own place.
        let says_the_same = |(known, answer): &(&Arc<Rule>, Option<Refused<'_>>)| {
            known.source() == rule.source()
                && answer.as_ref().is_none_or(|refused| refused.key == rule.source())
        };
        if let Some(known) = self.answers.iter().position(says_the_same) {
            return known;
        }
        let facts = self.situation.facts;
        let answer = match rule.holds(facts) {
            Ok(true) => None,
            Ok(false) => {
                let used: Vec<String> =
                    rule.facts_used(facts).iter().map(|(path, value)| format!("{path} = {value}")).collect();
                let why = format!("{} is false ({})", rule.source(), used.join(", "));
                Some(Refused { key: rule.source(), why })
            }
            Err(error) => {
                let why = format!("{} cannot be evaluated: {error}", rule.source());
                Some(Refused { key: rule.place(), why })
            }
        };
        self.answers.push((rule, answer));
        self.answers.len() - 1
    }
}

struct Refused<'e> {
    /// As in [`Refusal`]: an error names the place of its rule, which two files do not share.
    key: &'e str,
    why: String,
}

/// Refusals by rule and reason, in the order in which they were first met.
#[derive(Default)]
struct Out<'e>(Vec<Refusal<'e>>);

struct Refusal<'e> {
    rule: &'static str,
    /// With the rule it stands for the reason, which is put into words once.
    key: &'e str,
    detail: String,
    names: Vec<Arc<str>>,
    more: usize,
}

impl<'e> Out<'e> {
    fn add(&mut self, rule: &'static str, key: &'e str, detail: impl FnOnce() -> String, name: &Arc<str>) {
        let known = self.0.iter().position(|refusal| refusal.rule == rule && refusal.key == key);
        let at = known.unwrap_or_else(|| {
            self.0.push(Refusal { rule, key, detail: detail(), names: Vec::new(), more: 0 });
            self.0.len() - 1
        });
        let refusal = &mut self.0[at];
        // Variants of one file stand together, so the newest name is the likeliest.
        if refusal.names.iter().rev().any(|known| known == name) {
            return;
        }
        if refusal.names.len() < NAMES_MAX {
            refusal.names.push(Arc::clone(name));
        } else {
            refusal.more += 1;
        }
    }

    fn finish(self) -> Vec<RuledOut> {
        let finished = |refusal: Refusal| {
            let mut variants = refusal.names;
            if refusal.more > 0 {
                variants.push(format!("and {} more", refusal.more).into());
            }
            RuledOut { rule: refusal.rule.to_owned(), detail: refusal.detail, variants }
        };
        self.0.into_iter().map(finished).collect()
    }
}
