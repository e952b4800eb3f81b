//! The gallery: one page that holds all there is to know, and frames that load a mail when somebody looks at it.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use sha2::Digest as _;
use sha2::Sha256;

use super::PreviewError;
use super::PreviewRequest;
use super::PreviewSummary;
use super::Whom;
use super::folder::Folder;
use super::folder::PAGE;
use super::folder::stem;
use super::shot::Card;
use super::shot::Shot;
use super::warnings::in_the_dark;
use crate::catalog::variant::CampaignEntry;
use crate::decision::TemplateHash;
use crate::worker::engine::Engine;

const TEMPLATE: &str = include_str!("gallery.html");
const STYLE: &str = include_str!("gallery.css");
const SCRIPT: &str = include_str!("gallery.js");

/// A gallery that is being filled.
#[derive(Debug)]
pub(super) struct Gallery {
    folder: Folder,
    page: Page,
    /// By campaign, variant and the template of its language.
    chosen: BTreeMap<(String, String, Option<TemplateHash>), usize>,
}

#[derive(Debug, Serialize)]
struct Page {
    shop: String,
    at: String,
    catalog: String,
    whom: String,
    notes: Vec<String>,
    mails: Vec<Card>,
    coverage: Vec<Coverage>,
}

/// How often each variant of a family was chosen, in each of its languages.
#[derive(Debug, Serialize)]
struct Coverage {
    campaign: String,
    stage: &'static str,
    family: String,
    /// Name without the family, with the language where it states one, and how often.
    variants: Vec<(String, usize)>,
}

impl Gallery {
    pub(super) fn open(out: &Path, request: &PreviewRequest, engine: &Engine) -> Result<Self, PreviewError> {
        let whom = match &request.whom {
            Whom::Profiles(ids) => format!("{} named profiles", ids.len()),
            Whom::Sample(count) => format!("a sample of {count} people per campaign"),
            Whom::Coverage => "every variant, for sample recipients".to_owned(),
        };
        let shop = engine.config.shop.get("name").and_then(toml::Value::as_str).unwrap_or("bespoke");
        let page = Page {
            shop: shop.to_owned(),
            at: request.now.to_string(),
            catalog: engine.catalog.version.chars().take(12).collect(),
            whom,
            notes: Vec::new(),
            mails: Vec::new(),
            coverage: Vec::new(),
        };
        Ok(Self { folder: Folder::open(out)?, page, chosen: BTreeMap::new() })
    }

    pub(super) fn count(&self) -> usize {
        self.page.mails.len()
    }

    pub(super) fn note(&mut self, note: String) {
        self.page.notes.push(note);
    }

    /// Writes one mail's files.
    pub(super) fn add(&mut self, shot: &Shot) -> Result<(), PreviewError> {
        let mut card = shot.card.clone();
        let variant = card.variant.clone().unwrap_or_default();
        card.stem = stem(self.count() + 1, &card.profile, &variant);
        let name = |ending: &str| format!("{}.{ending}", card.stem);
        if let Some(files) = &shot.files {
            self.folder.write(&name("html"), files.html.as_bytes())?;
            self.folder.write(&name("txt"), files.text.as_bytes())?;
            self.folder.write(&name("eml"), &files.eml)?;
            if card.dark {
                self.folder.write(&name("dark.html"), in_the_dark(&files.html).as_bytes())?;
            }
            let chosen = (card.campaign.clone(), variant, card.template.clone());
            *self.chosen.entry(chosen).or_default() += 1;
        }
        self.folder.write(&name("json"), format!("{:#}\n", shot.record).as_bytes())?;
        self.page.mails.push(card);
        Ok(())
    }

    /// Notes which variants of a campaign were chosen, and which never.
    pub(super) fn cover(&mut self, entry: &CampaignEntry) {
        let campaign = entry.campaign.id.to_string();
        let mut families: BTreeMap<(&'static str, &str), Vec<(String, usize)>> = BTreeMap::new();
        for variant in entry.variants() {
            let (id, family) = (variant.id.as_str(), variant.id.family());
            let language = variant.locale.as_ref().map_or_else(String::new, |locale| format!(" ({locale})"));
            let name = format!("{}{language}", &id[family.len()..]);
            let chosen = (campaign.clone(), id.to_owned(), Some(variant.template.clone()));
            let count = self.chosen.get(&chosen).copied().unwrap_or(0);
            let stage = variant.stage.map_or("any", crate::stage::Stage::as_str);
            families.entry((stage, family)).or_default().push((name, count));
        }
        for ((stage, family), variants) in families {
            let family = family.to_owned();
            self.page.coverage.push(Coverage { campaign: campaign.clone(), stage, family, variants });
        }
    }

    /// Writes the page.
    pub(super) fn finish(self) -> Result<PreviewSummary, PreviewError> {
        let mut not_sent: BTreeMap<String, usize> = BTreeMap::new();
        for [_, reason, _] in self.page.mails.iter().filter_map(|card| card.outcome.as_ref()) {
            *not_sent.entry(reason.clone()).or_default() += 1;
        }
        let variants = self.page.coverage.iter().flat_map(|family| &family.variants);
        let summary = PreviewSummary {
            mails: self.page.mails.iter().filter(|card| card.sent).count(),
            not_sent: not_sent.into_iter().collect(),
            with_warnings: self.page.mails.iter().filter(|card| !card.warnings.is_empty()).count(),
            variants: variants.clone().count(),
            variants_never_chosen: variants.filter(|(_, count)| *count == 0).count(),
        };
        let data = serde_json::to_string(&self.page)
            .map_err(|error| PreviewError::Folder(format!("the gallery cannot be written: {error}")))?;
        self.folder.write(PAGE, page(&data).as_bytes())?;
        Ok(summary)
    }
}

/// The page around its data. Scripts and styles other than ours do not run, whatever the data holds.
fn page(data: &str) -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text.as_bytes()));
    TEMPLATE
        .replace("%STYLE-HASH%", &hash(STYLE))
        .replace("%SCRIPT-HASH%", &hash(SCRIPT))
        .replace("%STYLE%", STYLE)
        .replace("%SCRIPT%", SCRIPT)
        .replace("%DATA%", &inside_script(data))
}

/// JSON that ends no script element and begins no comment: what HTML would read is written as JSON escapes.
fn inside_script(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}
