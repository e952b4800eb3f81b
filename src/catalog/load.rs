//! From files to a catalogue: sort, read, expand, compile; every fault of every file at once.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::Catalog;
use super::CatalogSettings;
use super::Sources;
use super::campaign_file;
use super::compile;
use super::compile::WayBack;
use super::contract::Contract;
use super::expand::Combination;
use super::expand::Expander;
use super::expand::Used;
use super::expand::VARIANTS_PER_CAMPAIGN_MAX;
use super::files::Files;
use super::folder::CampaignFolder;
use super::folder::Folder;
use super::folder::VariantFile;
use super::offer;
use super::offer::Offer;
use super::page_texts::PageTexts;
use super::part::PartChecker;
use super::rule::Rule;
use super::sample;
use super::variant::CampaignEntry;
use super::variant::Variant;
use crate::campaign::Campaign;
use crate::campaign::CampaignId;
use crate::campaign::Kind;
use crate::campaign::PolicyKind;
use crate::decision::TemplateHash;
use crate::decision::VariantId;
use crate::fault::Fault;
use crate::fault::Severity;
use crate::render::CompiledTemplate;

/// What rules cannot name: it is not known when they are asked.
const NOT_IN_RULES: &[&str] = &["offer", "links"];

impl Catalog {
    /// Reads and checks a folder of templates, or those inside the binary where it is `builtin`.
    ///
    /// # Errors
    /// Every fault of every file.
    pub fn load(folder: &Path, settings: &CatalogSettings) -> Result<Self, Vec<Fault>> {
        Self::from_files(&Files::open(folder)?, settings)
    }

    /// The offers of a folder alone, by name: no template is compiled.
    ///
    /// # Errors
    /// The folder cannot be read, or its offers have faults.
    pub fn offers_of(
        folder: &Path,
        settings: &CatalogSettings,
    ) -> Result<BTreeMap<String, Offer>, Vec<Fault>> {
        let files = Files::open(folder)?;
        let mut loader = Loader::new(settings);
        let Some(file) = Folder::sort(&files, &mut Vec::new()).offers else { return Ok(BTreeMap::new()) };
        offer::read(&file, &loader.rules_contract, &mut loader.faults).ok_or(loader.faults)
    }

    /// The campaigns of a folder as their `campaign.toml` states them, without those that cannot be used: no template is
    /// compiled.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn campaigns_of(folder: &Path, settings: &CatalogSettings) -> Result<Vec<Campaign>, Vec<Fault>> {
        let files = Files::open(folder)?;
        let mut loader = Loader::new(settings);
        let folder = Folder::sort(&files, &mut loader.faults);
        let read = |(name, campaign): (&String, &CampaignFolder)| {
            let file = campaign.file.as_ref()?;
            let read = campaign_file::read(file, name, settings, &loader.contract, &mut loader.faults);
            read.map(|(campaign, _)| campaign)
        };
        Ok(folder.campaigns.iter().filter_map(read).collect())
    }

    /// Checks files that are in memory already.
    ///
    /// # Errors
    /// Every fault of every file.
    pub fn from_files(files: &Files, settings: &CatalogSettings) -> Result<Self, Vec<Fault>> {
        let mut loader = Loader::new(settings);
        let folder = Folder::sort(files, &mut loader.faults);
        let offers = match &folder.offers {
            Some(file) => offer::read(file, &loader.rules_contract, &mut loader.faults),
            None => Some(BTreeMap::new()),
        };
        let default_locale = settings.default_locale.as_deref();
        let page_texts = PageTexts::read(&folder, default_locale, &mut loader.faults);
        let samples: Vec<_> = folder
            .samples
            .iter()
            .filter_map(|(name, file)| {
                sample::read(file, name, settings, &loader.contract, &mut loader.faults)
            })
            .collect();
        let read: Vec<CampaignRead<'_>> = folder
            .campaigns
            .iter()
            .filter_map(|(name, campaign)| loader.read(&folder, name, campaign, offers.as_ref()))
            .collect();
        let campaigns = loader.compile(read);
        let is_whole = loader.faults.iter().all(|fault| fault.severity == Severity::Warning);
        if is_whole {
            loader.warn_unused(&folder);
        }
        let (mut faults, mut warnings) = (once(loader.faults), once(loader.warnings));
        if !is_whole {
            faults.append(&mut warnings);
            return Err(faults);
        }
        Ok(Self {
            version: files.version(),
            file_count: files.count(),
            campaigns,
            templates: loader.templates,
            offers: offers.unwrap_or_default(),
            samples,
            contract: loader.contract,
            pages: settings.pages,
            page_texts,
            sources: Sources {
                files: files.iter().map(|(_, file)| (file.path.clone(), file.clone())).collect(),
                of_templates: loader.ways_back,
            },
            warnings,
        })
    }
}

/// A campaign that was read and expanded, not yet compiled.
struct CampaignRead<'a> {
    folder: &'a CampaignFolder,
    campaign: Campaign,
    audience: Option<Rule>,
    combinations: Vec<(&'a VariantFile, Combination)>,
}

struct Loader<'s> {
    settings: &'s CatalogSettings,
    contract: Contract,
    rules_contract: Contract,
    used: Used,
    templates: BTreeMap<TemplateHash, Arc<CompiledTemplate>>,
    ways_back: BTreeMap<TemplateHash, Arc<WayBack>>,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
}

impl<'s> Loader<'s> {
    fn new(settings: &'s CatalogSettings) -> Self {
        let contract = Contract::new(&settings.traits, &settings.own_events, &settings.shop);
        let rules_contract = contract.without(NOT_IN_RULES);
        Self {
            settings,
            contract,
            rules_contract,
            used: Used::default(),
            templates: BTreeMap::new(),
            ways_back: BTreeMap::new(),
            faults: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn read<'a>(
        &mut self,
        folder: &'a Folder,
        name: &'a str,
        campaign: &'a CampaignFolder,
        offers: Option<&BTreeMap<String, Offer>>,
    ) -> Option<CampaignRead<'a>> {
        let file = campaign.file.as_ref()?;
        let read = campaign_file::read(file, name, self.settings, &self.contract, &mut self.faults);
        if campaign.variants.is_empty() && campaign.unreadable_variants == 0 {
            let help = format!("write one as {name}/any/NAME.mjml, or into the folder of a stage");
            self.faults.push(Fault::at(file, 0..0, "the campaign has no variant").with_help(help));
        }
        let parts = PartChecker { contract: &self.rules_contract, offers, checked: BTreeMap::new() };
        let mut expander = Expander {
            folder,
            campaign,
            name,
            default_locale: self.settings.default_locale.as_deref(),
            parts,
            used: &mut self.used,
            budget: VARIANTS_PER_CAMPAIGN_MAX,
            faults: &mut self.faults,
        };
        let mut combinations = Vec::new();
        for variant in &campaign.variants {
            combinations.extend(expander.expand(variant).into_iter().map(|found| (variant, found)));
        }
        let (read, audience) = read?;
        Some(CampaignRead { folder: campaign, campaign: read, audience, combinations })
    }

    /// Compiles all campaigns together, so that all cores are used and shared content is compiled once.
    fn compile(&mut self, read: Vec<CampaignRead<'_>>) -> BTreeMap<CampaignId, CampaignEntry> {
        let all: Vec<&Combination> =
            read.iter().flat_map(|campaign| &campaign.combinations).map(|(_, found)| found).collect();
        let compiled = compile::compile_all(&all, &self.contract, &mut self.faults, &mut self.warnings);
        let mut compiled = compiled.into_iter();
        let mut campaigns = BTreeMap::new();
        for campaign in read {
            let mut variants = Vec::new();
            for (file, combination) in campaign.combinations {
                let Some(template) = compiled.next().flatten() else { continue };
                self.check_unsubscribe(
                    &campaign.campaign,
                    file,
                    &template.compiled,
                    combination.text.as_ref().map(|t| &*t.text),
                );
                let hash = template.compiled.hash.clone();
                self.templates.entry(hash.clone()).or_insert(template.compiled);
                self.ways_back.entry(hash.clone()).or_insert(template.way_back);
                variants.push(variant(&campaign.campaign.id, file, combination, hash));
            }
            let id = campaign.campaign.id.clone();
            let entry = CampaignEntry::new(campaign.campaign, campaign.audience, variants);
            self.check_policy(&entry, campaign.folder);
            campaigns.insert(id, entry);
        }
        campaigns
    }

    fn check_unsubscribe(
        &mut self,
        campaign: &Campaign,
        file: &VariantFile,
        template: &CompiledTemplate,
        text: Option<&str>,
    ) {
        if campaign.kind != Kind::Lifecycle {
            return;
        }
        if !template.has_unsubscribe_link() {
            let help = "write `<a href=\"{{ links.unsubscribe }}\">Unsubscribe</a>` into its layout";
            let fault = Fault::at(&file.part.file, 0..0, "this lifecycle mail has no unsubscribe link");
            self.faults.push(fault.with_help(help));
        }
        if text.is_some_and(|text| !text.contains("links.unsubscribe")) {
            let named = file.part.head.text.as_ref().map_or(0..0, |name| file.part.place(name));
            let fault = Fault::at(&file.part.file, named, "the text part has no unsubscribe link");
            self.faults.push(fault.with_help("write `Unsubscribe: {{ links.unsubscribe }}` at its end"));
        }
    }

    /// Policies that compare need something to compare.
    fn check_policy(&mut self, entry: &CampaignEntry, folder: &CampaignFolder) {
        let policy = entry.campaign.policy;
        let compares = policy == PolicyKind::Ab;
        if let (true, 1, Some(file)) = (compares, entry.arms.len(), &folder.file) {
            let place = super::toml_text::place(file, &["policy"]);
            let message =
                format!("the policy `{}` needs at least two variants to choose among", policy.as_str());
            self.faults.push(
                Fault::at(file, place, message).with_help("write another variant, or `policy = \"rules\"`"),
            );
        }
    }

    /// What a variant with a fault would have used is not known: this is asked of a folder without faults only.
    fn warn_unused(&mut self, folder: &Folder) {
        let mut warn = |file: &crate::fault::SourceFile, what: &str| {
            let fault = Fault::at(file, 0..0, format!("no variant uses this {what}")).as_warning();
            self.warnings.push(fault.with_help("use it, or delete the file"));
        };
        for (name, layout) in &folder.layouts {
            if !self.used.layouts.contains(name) {
                warn(&layout.file, "layout");
            }
        }
        for (name, block) in &folder.blocks {
            if !self.used.blocks.contains(name) {
                warn(&block.file, "block");
            }
        }
        for campaign in folder.campaigns.values() {
            for option in campaign.slots.values().flat_map(BTreeMap::values).flatten() {
                if !self.used.files.contains(&option.part.file.path) {
                    warn(&option.part.file, "option");
                }
            }
            for text in campaign.texts.values().filter(|text| !self.used.files.contains(&text.path)) {
                warn(text, "text");
            }
        }
    }
}

fn variant(
    campaign: &CampaignId,
    file: &VariantFile,
    combination: Combination,
    template: crate::decision::TemplateHash,
) -> Variant {
    let family = format!("{campaign}/{}/{}", file.stage_word(), file.name);
    let options: Vec<String> =
        combination.options.iter().map(|(slot, option)| format!("+{slot}={option}")).collect();
    Variant {
        id: VariantId::new(family + &options.concat()),
        campaign: campaign.clone(),
        stage: file.stage,
        locale: file.locale.clone(),
        options: combination.options,
        weight: combination.weight,
        order: file.part.head.order.as_ref().map(|order| *order.get_ref()),
        when: combination.when,
        inputs: combination.inputs,
        offer: combination.offer,
        tone: combination.tone,
        category: combination.category,
        discount_depth: combination.discount_depth,
        template,
        files: combination.files,
    }
}

/// Each fault once: a block's fault is found in every variant that uses it, and what the configuration lacks at
/// every place that names it.
pub(super) fn once(mut faults: Vec<Fault>) -> Vec<Fault> {
    let path = |fault: &Fault| fault.file.as_ref().map(|file| file.path.clone());
    faults.sort_by_key(|fault| (path(fault), fault.span.start));
    let mut known = HashSet::new();
    faults.retain(|fault| {
        let lacks_configuration = fault.help.as_ref().is_some_and(|help| help.contains("bespoke.toml"));
        let place = (!lacks_configuration).then(|| (path(fault), fault.span.clone()));
        known.insert((place, fault.message.clone()))
    });
    faults
}
