//! Templates become variants: files are read, slots expanded, rules compiled, and everything is checked, all faults
//! at once.
//!
//! In reading order: [`files`] and `folder` (what lies where), `head` and `part` (what a head may state), `element` and
//! `compose` (one MJML text from many files, with a way back), `expand` (every combination of options), `compile`,
//! `load`; [`contract`], [`rule`] and [`condition`] (facts and the rules about them); [`check`] (samples).
//!
//! *Invariant:* a catalogue never changes; a reload makes a new one. Reading files is its only I/O.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Map;
use serde_json::Value;

use crate::campaign::Campaign;
use crate::campaign::CampaignId;
use crate::campaign::Kind;
use crate::config::Config;
use crate::config::TraitType;
use crate::decision::TemplateHash;
use crate::fault::Fault;
use crate::fault::SourceFile;
use crate::render::CompiledTemplate;
use crate::render::Part;

pub mod builtin;
mod campaign_file;
pub mod check;
mod compile;
mod compose;
pub mod condition;
pub mod contract;
mod element;
mod expand;
mod file_rule;
pub mod files;
mod folder;
mod head;
pub mod languages;
mod leftover;
mod load;
mod name;
pub mod nearest;
pub mod offer;
pub mod page_texts;
mod part;
mod reach;
pub mod reference;
pub mod rule;
pub mod sample;
mod toml_text;
mod unsubscribe;
pub mod variant;

pub use compose::BLOCK_LEVELS_MAX;
pub use compose::COMPOSED_BYTES_MAX;
pub use expand::VARIANTS_PER_CAMPAIGN_MAX;
pub use name::NAME_BYTES_MAX;
pub(crate) use name::is_locale;

use contract::Contract;
use offer::Offer;
use page_texts::PageTexts;
use sample::Sample;
use variant::CampaignEntry;
use variant::Variant;

/// Whether mails can link to pages of `bespoke serve`: `links.preferences` and `links.view`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pages {
    /// `public.url` is stated.
    Public,
    /// It is not: those links are absent, as they are for whoever renders without saying otherwise.
    #[default]
    None,
}

/// What the configuration says about templates and rules.
#[derive(Debug, Clone, Default)]
pub struct CatalogSettings {
    /// `[traits]`.
    pub traits: BTreeMap<String, TraitType>,
    /// `[events] known`: names beside Segment's.
    pub own_events: Vec<String>,
    /// `[shop]`.
    pub shop: Map<String, Value>,
    /// Whether mails can link to pages of `bespoke serve`.
    pub pages: Pages,
    /// `[templates] default_locale`: the language of files without a locale in their name.
    pub default_locale: Option<String>,
}

impl CatalogSettings {
    /// The parts of the configuration that concern the catalogue.
    pub fn of_config(config: &Config) -> Self {
        let shop = serde_json::to_value(&config.shop).unwrap_or_default();
        Self {
            traits: config.traits.clone(),
            own_events: config.events.known.clone(),
            pages: if config.public.url.is_some() { Pages::Public } else { Pages::None },
            default_locale: Some(config.templates.default_locale.clone()),
            shop: if let Value::Object(shop) = shop { shop } else { Map::new() },
        }
    }
}

/// All campaigns with their variants, rules and compiled templates.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// Names the content of all files.
    pub version: String,
    /// How many files it was read from.
    pub file_count: usize,
    /// What somebody should look at, though it can be used.
    pub warnings: Vec<Fault>,
    campaigns: BTreeMap<CampaignId, CampaignEntry>,
    templates: BTreeMap<TemplateHash, Arc<CompiledTemplate>>,
    offers: BTreeMap<String, Offer>,
    samples: Vec<Sample>,
    contract: Contract,
    pages: Pages,
    page_texts: PageTexts,
    sources: Sources,
}

/// Where everything was written, for faults that only samples show.
#[derive(Debug, Clone, Default)]
struct Sources {
    files: BTreeMap<PathBuf, SourceFile>,
    of_templates: BTreeMap<TemplateHash, Arc<compile::WayBack>>,
}

impl Catalog {
    /// All campaigns, by name.
    pub fn campaigns(&self) -> impl Iterator<Item = &CampaignEntry> {
        self.campaigns.values()
    }

    /// One campaign.
    pub fn campaign(&self, id: &CampaignId) -> Option<&CampaignEntry> {
        self.campaigns.get(id)
    }

    /// The campaign that a person named.
    ///
    /// # Errors
    /// A sentence with all names, the nearest first.
    pub fn known_campaign(&self, name: &str) -> Result<&CampaignEntry, String> {
        self.campaign(&CampaignId(name.to_owned())).ok_or_else(|| {
            let known: Vec<&str> = self.campaigns.keys().map(CampaignId::as_str).collect();
            let near = nearest::nearest(name, known.iter().copied());
            let near = near.map_or_else(String::new, |near| format!("did you mean {near:?}? "));
            format!("there is no campaign {name:?}; {near}known are {}", known.join(", "))
        })
    }

    /// Every variant of every campaign, in every locale.
    pub fn variants(&self) -> impl Iterator<Item = &Variant> {
        self.campaigns().flat_map(CampaignEntry::variants)
    }

    /// Every compiled template under the name of a variant that uses it, as the renderer takes them.
    pub fn templates(&self) -> impl Iterator<Item = (String, Arc<CompiledTemplate>)> {
        let mut names: BTreeMap<&TemplateHash, &str> = BTreeMap::new();
        for variant in self.variants() {
            names.entry(&variant.template).or_insert(variant.id.as_str());
        }
        names.into_iter().filter_map(|(hash, name)| {
            self.templates.get(hash).map(|template| (name.to_owned(), Arc::clone(template)))
        })
    }

    /// The compiled template of this content.
    pub fn template(&self, hash: &TemplateHash) -> Option<&Arc<CompiledTemplate>> {
        self.templates.get(hash)
    }

    /// The same without the way back to its files, which is as large as all else: for whoever looks for no faults.
    #[must_use]
    pub fn without_sources(self) -> Self {
        Self { sources: Sources::default(), ..self }
    }

    /// Where bytes of a compiled part were written: file and place. `None` too where the sources were let go.
    pub fn locate(
        &self,
        hash: &TemplateHash,
        part: Part,
        span: &Range<usize>,
    ) -> Option<(SourceFile, Range<usize>)> {
        self.sources.of_templates.get(hash)?.locate(part, span)
    }

    /// The offer called `name`.
    pub fn offer(&self, name: &str) -> Option<&Offer> {
        self.offers.get(name)
    }

    /// All offers, by name.
    pub fn offers(&self) -> impl Iterator<Item = &Offer> {
        self.offers.values()
    }

    /// The sample recipients, by name.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The samples that may stand for recipients of a campaign: those written for it where it is transactional and
    /// there are any, else all.
    pub fn samples_for(&self, campaign: &Campaign) -> impl Iterator<Item = &Sample> {
        let is_own = |sample: &Sample| sample.campaign.as_deref() == Some(campaign.id.as_str());
        let own_only = campaign.kind == Kind::Transactional && self.samples.iter().any(is_own);
        self.samples.iter().filter(move |sample| !own_only || is_own(sample))
    }

    /// What the pages behind the links of mails say.
    pub fn page_texts(&self) -> &PageTexts {
        &self.page_texts
    }

    /// Which facts rules and templates may name.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }
}
