//! What only shows with people: every variant is rendered for every sample recipient that may get it, and for the
//! barest of them; variants that nobody can get are faults.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Map;
use serde_json::Value;

use super::Catalog;
use super::reach;
use super::sample::Sample;
use super::variant::CampaignEntry;
use super::variant::Variant;
use crate::catalog::offer::OfferKind;
use crate::fault::Fault;
use crate::fault::Severity;
use crate::render::LinkContext;
use crate::render::LinkSigner;
use crate::render::Part;
use crate::render::RenderFault;
use crate::render::Renderer;

/// The send that samples stand for.
const SEND: &str = "00000000000000000000000000000000";
/// A signature of usual length, so that sizes are those of real mail.
const SIGNATURE: &str = "Jz3u0hXcH6lY2mWq8bF4dRk1sT7vN9pA5eGiOoQxUyE";

/// What a check found.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// Errors and warnings, by file and place.
    pub faults: Vec<Fault>,
    /// Mails rendered.
    pub renders: usize,
}

impl CheckReport {
    /// How many faults are of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.faults.iter().filter(|fault| fault.severity == severity).count()
    }
}

/// Makes addresses of the length that real ones have.
#[derive(Debug)]
struct SampleSigner;

impl LinkSigner for SampleSigner {
    fn click(&self, send: &str, link: u32, target: &str) -> String {
        let length = target.len();
        format!("https://mail.shop.example/c/{send}/{link}/{SIGNATURE}?to={length}")
    }

    fn open(&self, send: &str) -> String {
        format!("https://mail.shop.example/o/{send}/{SIGNATURE}.gif")
    }
}

/// Checks a catalogue that loaded.
///
/// # Errors
/// A template that the renderer cannot load, which would be this program's own fault.
pub fn check(catalog: &Catalog) -> Result<CheckReport, RenderFault> {
    let mut renderer = Renderer::new(Arc::new(SampleSigner), &Map::new());
    renderer.add(catalog.templates())?;
    let mut faults = catalog.warnings.clone();
    if catalog.samples.is_empty() {
        let fault = Fault::general("there is no sample recipient: nothing could be tried");
        faults.push(fault.with_help("write samples/full.json and samples/minimal.json: facts of somebody of whom much, and nothing, is known"));
        return Ok(CheckReport { faults, renders: 0 });
    }
    let mut renders = 0;
    for entry in catalog.campaigns() {
        let mut checker = Checker { catalog, renderer: &renderer, entry, faults: &mut faults, renders: 0 };
        checker.campaign();
        renders += checker.renders;
    }
    Ok(CheckReport { faults: super::load::once(faults), renders })
}

struct Checker<'a> {
    catalog: &'a Catalog,
    renderer: &'a Renderer,
    entry: &'a CampaignEntry,
    faults: &'a mut Vec<Fault>,
    renders: usize,
}

impl Checker<'_> {
    fn campaign(&mut self) {
        for variant in self.entry.variants() {
            self.variant(variant);
        }
        let entry = self.entry;
        self.faults.extend(reach::shadowed(self.catalog, entry));
        self.faults.extend(reach::duplicates(self.catalog, entry));
        self.faults.extend(reach::empty_stages(self.catalog, entry));
    }

    fn variant(&mut self, variant: &Variant) {
        if variant.weight <= 0.0 {
            let fault = self.catalog.fault_in(variant, "weight", "its weight is 0: it is never chosen");
            self.faults.push(fault.with_help("give it a weight, or delete it"));
            return;
        }
        let mut reasons = BTreeMap::new();
        let mut tried = BTreeSet::new();
        for sample in self.catalog.samples_for(&self.entry.campaign) {
            let facts = reach::as_recipient(sample.facts_for(&self.entry.campaign, variant.stage), variant);
            if let Some(reason) = reach::refusal(self.entry, variant, &facts) {
                *reasons.entry(reason).or_insert(0_usize) += 1;
                continue;
            }
            self.render(variant, sample, &facts, "");
            let barest = reach::barest(self.catalog.contract(), self.entry, variant, &facts);
            if tried.insert(barest.to_string()) {
                self.render(variant, sample, &barest, ", with nothing that may be absent");
            }
        }
        if tried.is_empty() {
            self.faults.push(reach::unreachable(self.catalog, variant, &reasons));
        }
    }

    fn render(&mut self, variant: &Variant, sample: &Sample, facts: &Value, how: &str) {
        let who = format!("for the sample `{}`{how}", sample.name);
        let facts = match self.with_offer(variant, facts) {
            Ok(facts) => facts,
            Err(message) => {
                self.faults.push(self.catalog.fault_in(variant, "offer", format!("{who}: {message}")));
                return;
            }
        };
        let links = LinkContext {
            send: SEND,
            tracking: self.entry.campaign.tracking,
            unsubscribe: &format!("https://mail.shop.example/u/{SEND}/{SIGNATURE}"),
            preferences: &format!("https://mail.shop.example/p/{SEND}/{SIGNATURE}"),
            view: &format!("https://mail.shop.example/v/{SEND}/{SIGNATURE}"),
            honeypot: Some("https://mail.shop.example/h"),
        };
        self.renders += 1;
        match self.renderer.render(&variant.template, &facts, &links) {
            Err(fault) => {
                let fault = self.located(variant, &fault, &who);
                self.faults.push(fault);
            }
            Ok(mail) => {
                if mail.preheader.trim().is_empty() {
                    let fault =
                        self.catalog.fault_in(variant, "preheader", format!("the preheader is empty {who}"));
                    self.faults
                        .push(fault.with_help("write a `preheader` that says something for everybody"));
                }
                if mail.is_clipped_by_gmail() {
                    let size = mail.html.len().div_ceil(1024);
                    let message = format!("the HTML has {size} KB {who}; Gmail hides what is over 102 KB");
                    let fault = self.catalog.fault_in(variant, "", message);
                    self.faults
                        .push(fault.with_help("show fewer things in its loops, or use fewer sections"));
                }
            }
        }
    }

    fn with_offer(&self, variant: &Variant, facts: &Value) -> Result<Value, String> {
        let mut facts = facts.clone();
        let Some(offer) = variant.offer.as_deref().and_then(|name| self.catalog.offer(name)) else {
            return Ok(facts);
        };
        let now =
            facts["now"].as_str().and_then(|now| now.parse().ok()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let mut values = offer.values(&facts, now).map_err(|error| error.to_string())?;
        if offer.kind == OfferKind::Coupon {
            values.insert("code".to_owned(), Value::from("SAMPLE-CODE"));
        }
        facts["offer"] = Value::Object(values);
        Ok(facts)
    }

    /// A renderer's fault at the place in the author's file.
    fn located(&self, variant: &Variant, fault: &RenderFault, who: &str) -> Fault {
        let words = fault.to_string();
        let words = words.split_once(": ").map_or(words.as_str(), |(_, rest)| rest);
        let (message, help) =
            words.split_once("; ").map_or((words, None), |(message, help)| (message, Some(help)));
        let message = format!("{message} ({who})");
        let place = match fault {
            RenderFault::MissingVariable { part, span, .. }
            | RenderFault::Expression { part, span, .. }
            | RenderFault::BadAddress { part, span, .. } => {
                self.catalog.locate(&variant.template, *part, span)
            }
            _ => None,
        };
        let fault = match (place, fault) {
            (Some((file, span)), _) => Fault::at(&file, span, message),
            (None, RenderFault::Empty { part: Part::Subject, .. }) => {
                self.catalog.fault_in(variant, "subject", message)
            }
            (None, _) => self.catalog.fault_in(variant, "", message),
        };
        match help {
            Some(help) => fault.with_help(help),
            None => fault,
        }
    }
}

impl Catalog {
    /// A fault of a variant at the key of its head that states `key`, or at its start.
    pub(super) fn fault_in(&self, variant: &Variant, key: &str, message: impl Into<String>) -> Fault {
        let files = variant.files.iter().filter_map(|path| self.files.get(path));
        for file in files.clone() {
            let head_end = file.text.get(3..).and_then(|text| text.find("\n+++")).map_or(0, |end| end + 3);
            let head = &file.text[..head_end];
            let mut at = 0;
            for line in head.split_inclusive('\n') {
                let stated = line.split('=').next().is_some_and(|name| name.trim() == key);
                if stated && line.contains('=') {
                    return Fault::at(file, at..at + line.trim_end().len(), message);
                }
                at += line.len();
            }
        }
        match files.clone().next() {
            Some(file) => Fault::at(file, 0..0, message),
            None => Fault::general(message),
        }
    }
}
