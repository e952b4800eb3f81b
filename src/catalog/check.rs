//! What only shows with people: every variant is rendered for every sample recipient that may get it, and for the
//! barest of them; variants that nobody can get are faults.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use serde_json::Map;
use serde_json::Value;

use super::Catalog;
use super::Pages;
use super::leftover;
use super::load;
use super::offer::OfferKind;
use super::reach;
use super::unsubscribe;
use super::variant::CampaignEntry;
use super::variant::Variant;
use crate::campaign::Campaign;
use crate::campaign::Kind;
use crate::fault::Fault;
use crate::fault::Severity;
use crate::render::LinkContext;
use crate::render::LinkSigner;
use crate::render::Part;
use crate::render::RenderFault;
use crate::render::Rendered;
use crate::render::Renderer;

/// Samples named with one fault, at most.
const NAMES_MAX: usize = 3;
/// A sample without anything that may be absent.
const BAREST: &str = "the barest ";
/// The send that samples stand for.
const SEND: &str = "00000000000000000000000000000000";
/// A signature of usual length, so that sizes are those of real mail.
const SIGNATURE: &str = "Jz3u0hXcH6lY2mWq8bF4dRk1sT7vN9pA5eGiOoQxUyE";

/// The name of the address by which people unsubscribe.
const LINK: &str = "links.unsubscribe";

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

/// Checks a catalogue that loaded, on all cores.
pub fn check(catalog: &Catalog) -> CheckReport {
    let mut renderer = Renderer::new(Arc::new(SampleSigner), &Map::new());
    renderer.add(catalog.templates());
    let mut faults = catalog.warnings.clone();
    if catalog.samples.is_empty() {
        let fault = Fault::general("there is no sample recipient: nothing could be tried");
        let help = "write samples/full.json and samples/minimal.json: facts of somebody of whom much, and nothing, is known";
        faults.push(fault.with_help(help));
        return CheckReport { faults, renders: 0 };
    }
    let found = try_all(catalog, &renderer);
    faults.extend(found.faults);
    faults.extend(found.of_samples.into_values().map(|(fault, who)| told_of(fault, &who)));
    faults.extend(catalog.variants().flat_map(|variant| leftover::warnings(catalog, variant)));
    for entry in catalog.campaigns() {
        faults.extend(reach::shadowed(catalog, entry));
        faults.extend(reach::duplicates(catalog, entry));
        faults.extend(reach::empty_stages(catalog, entry));
    }
    CheckReport { faults: load::once(faults), renders: found.renders }
}

fn try_all(catalog: &Catalog, renderer: &Renderer) -> Found {
    let jobs: Vec<(&CampaignEntry, &Variant)> =
        catalog.campaigns().flat_map(|entry| entry.variants().map(move |variant| (entry, variant))).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut checker = Checker { catalog, renderer, found: Found::default() };
        while let Some((entry, variant)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            checker.variant(entry, variant);
        }
        checker.found
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        let others = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        others.fold(own, Found::with)
    })
}

/// File, place and message of a fault.
type Place = (Option<PathBuf>, usize, usize, String);

/// What one thread found.
#[derive(Default)]
struct Found {
    faults: Vec<Fault>,
    /// Faults that came out for samples: each once, with those for whom.
    of_samples: BTreeMap<Place, (Fault, BTreeSet<String>)>,
    renders: usize,
}

impl Found {
    fn of_sample(&mut self, fault: Fault, who: String) {
        let path = fault.file.as_ref().map(|file| file.path.clone());
        let place = (path, fault.span.start, fault.span.end, fault.message.clone());
        self.of_samples.entry(place).or_insert_with(|| (fault, BTreeSet::new())).1.insert(who);
    }

    fn with(mut self, other: Self) -> Self {
        self.faults.extend(other.faults);
        self.renders += other.renders;
        for (place, (fault, who)) in other.of_samples {
            self.of_samples.entry(place).or_insert_with(|| (fault, BTreeSet::new())).1.extend(who);
        }
        self
    }
}

/// Adds for whom a fault came out; who has it with everything need not be told without.
fn told_of(mut fault: Fault, who: &BTreeSet<String>) -> Fault {
    let whole = who.iter().filter(|name| !name.starts_with(BAREST));
    let barest =
        who.iter().filter(|name| name.strip_prefix(BAREST).is_some_and(|sample| !who.contains(sample)));
    let names: Vec<&str> = whole.chain(barest).map(String::as_str).collect();
    let more = names.len().saturating_sub(NAMES_MAX);
    let shown = names[..names.len() - more].join(", ");
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    fault.message = format!("{}, for {shown}{more}", fault.message);
    fault
}

/// What to do about a fact that is absent for a reason of its own; else what the renderer says.
fn absent(variable: &str, help: &str) -> String {
    match variable {
        "links.preferences" | "links.view" => format!(
            "without `public.url` in bespoke.toml there is no such page: state it, or write `{{% if {variable} %}}` and \
             `{{% endif %}}` around the link"
        ),
        "offer.code" => {
            "only an offer of `kind = \"coupon\"` has codes: make it one in offers.toml, or take the code out"
                .to_owned()
        }
        _ => help.to_owned(),
    }
}

/// Where a sample unsubscribes.
fn unsubscribe_address() -> String {
    format!("https://mail.shop.example/u/{SEND}/{SIGNATURE}")
}

/// Whether a mail could go out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    ToSend,
    Not,
}

struct Checker<'a> {
    catalog: &'a Catalog,
    renderer: &'a Renderer,
    found: Found,
}

impl Checker<'_> {
    fn variant(&mut self, entry: &CampaignEntry, variant: &Variant) {
        if variant.weight <= 0.0 {
            let fault = self.catalog.fault_in(variant, "weight", "its weight is 0: it is never chosen");
            self.found.faults.push(fault.with_help("give it a weight, or delete it"));
            return;
        }
        let mut reasons = BTreeMap::new();
        let mut tried = BTreeSet::new();
        for sample in self.catalog.samples_for(&entry.campaign) {
            let facts = reach::as_recipient(sample.facts_for(&entry.campaign, variant.stage), variant);
            if let Some(reason) = reach::refusal(entry, variant, &facts) {
                *reasons.entry(reason).or_insert(0_usize) += 1;
                continue;
            }
            if self.render(&entry.campaign, variant, &facts, format!("`{}`", sample.name)) == Fit::ToSend
                && self.links_products(variant)
                && let Some(bare) = reach::without_pictures(&facts)
                && reach::refusal(entry, variant, &bare).is_none()
            {
                let who = format!("`{}` with products of which no picture and no page is known", sample.name);
                self.rendered(&entry.campaign, variant, &bare, &who);
            }
            let barest = reach::barest(self.catalog.contract(), entry, variant, &facts);
            if tried.insert(barest.to_string()) {
                self.render(&entry.campaign, variant, &barest, format!("{BAREST}`{}`", sample.name));
            }
        }
        if tried.is_empty() {
            self.found.faults.push(reach::unreachable(self.catalog, variant, &reasons));
        }
    }

    /// Whether a template prints addresses that come from products.
    fn links_products(&self, variant: &Variant) -> bool {
        self.catalog.template(&variant.template).is_some_and(|template| {
            let count = |words| template.html.matches(words).count();
            count("image_url") > 0 || count(".url") > count("shop.url")
        })
    }

    /// Renders one mail, or says why it cannot be; `who` it is for goes into faults.
    fn rendered(
        &mut self,
        campaign: &Campaign,
        variant: &Variant,
        facts: &Value,
        who: &str,
    ) -> Option<Rendered> {
        let facts = match self.with_offer(variant, facts) {
            Ok(facts) => facts,
            Err(message) => {
                let fault = self.catalog.fault_in(variant, "offer", message);
                self.found.of_sample(fault.with_help("correct the offer in offers.toml"), who.to_owned());
                return None;
            }
        };
        let pages = self.catalog.pages == Pages::Public;
        let [preferences, view] =
            ["p", "v"].map(|page| format!("https://mail.shop.example/{page}/{SEND}/{SIGNATURE}"));
        let links = LinkContext {
            send: SEND,
            tracking: campaign.tracking,
            unsubscribe: &unsubscribe_address(),
            preferences: pages.then_some(&*preferences),
            view: pages.then_some(&*view),
            honeypot: Some("https://mail.shop.example/h"),
        };
        self.found.renders += 1;
        match self.renderer.render(&variant.template, &facts, &links) {
            Ok(mail) => Some(mail),
            Err(fault) => {
                self.found.of_sample(self.located(variant, &fault.of_anybody()), who.to_owned());
                None
            }
        }
    }

    /// Renders one mail, and looks at it as inboxes do.
    fn render(&mut self, campaign: &Campaign, variant: &Variant, facts: &Value, who: String) -> Fit {
        let Some(mail) = self.rendered(campaign, variant, facts, &who) else { return Fit::Not };
        if campaign.kind == Kind::Lifecycle
            && let Some(missing) = unsubscribe::missing(&mail, &unsubscribe_address())
        {
            self.found.of_sample(self.without_link(variant, &missing), who.clone());
        }
        if mail.preheader.trim().is_empty() {
            let fault = self.catalog.fault_in(variant, "preheader", "the preheader is empty");
            let help = "write a `preheader` that says something for everybody";
            self.found.of_sample(fault.with_help(help), who.clone());
        }
        for (key, message) in mail.cut_by_inboxes() {
            let help = "say what matters first, and less of the rest";
            let fault = self.catalog.fault_in(variant, key, message).as_warning();
            self.found.of_sample(fault.with_help(help), who.clone());
        }
        if mail.is_clipped_by_gmail() {
            let fault = self.catalog.fault_in(variant, "", "the HTML is over 102 KB: Gmail hides the rest");
            let help = "show fewer things in its loops, or use fewer sections";
            self.found.of_sample(fault.with_help(help), who);
        }
        Fit::ToSend
    }

    /// At the link that some people do not get; at the variant where there is none.
    fn without_link(&self, variant: &Variant, missing: &unsubscribe::Missing) -> Fault {
        let place = self.catalog.template(&variant.template).and_then(|template| {
            let source = if missing.part == Part::Text { &template.text } else { &template.html };
            let start = source.find(LINK)?;
            self.catalog.locate(&variant.template, missing.part, &(start..start + LINK.len()))
        });
        let fault = match place {
            Some((file, span)) => Fault::at(&file, span, missing.message),
            None => self.catalog.fault_in(variant, "", missing.message),
        };
        fault.with_help(missing.help)
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
    fn located(&self, variant: &Variant, fault: &RenderFault) -> Fault {
        let words = fault.to_string();
        let words = words.split_once(": ").map_or(words.as_str(), |(_, rest)| rest);
        let (message, help) = words.split_once("; ").unwrap_or((words, "correct the template or the sample"));
        let place = match fault {
            RenderFault::MissingVariable { part, span, .. }
            | RenderFault::Expression { part, span, .. }
            | RenderFault::BadAddress { part, span, .. } => {
                self.catalog.locate(&variant.template, *part, span)
            }
            _ => None,
        };
        let located = match (place, fault) {
            (Some((file, span)), _) => Fault::at(&file, span, message),
            (None, RenderFault::Empty { part: Part::Subject, .. }) => {
                self.catalog.fault_in(variant, "subject", message)
            }
            (None, RenderFault::Empty { part: Part::Text, .. }) => {
                self.catalog.fault_in(variant, "text", message)
            }
            (None, _) => self.catalog.fault_in(variant, "", message),
        };
        match fault {
            RenderFault::MissingVariable { variable, .. } => located.with_help(absent(variable, help)),
            RenderFault::BadAddress { missing: Some(missing), .. } => located.with_help(format!(
                "ask for it: `{{% if {} %}}` before and `{{% endif %}}` behind what shows it, in `<mj-raw>` where \
                 that is an MJML element",
                missing.fact
            )),
            _ => located.with_help(help),
        }
    }
}

impl Catalog {
    /// A fault of a variant at the key of its head that states `key`, or at its start.
    pub(super) fn fault_in(&self, variant: &Variant, key: &str, message: impl Into<String>) -> Fault {
        let files = variant.files.iter().filter_map(|path| self.sources.files.get(path));
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
