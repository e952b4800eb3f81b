//! Sorts the files of a template folder by what they are; whatever has no place in it is a fault.

use std::collections::BTreeMap;

use super::compose::Fragment;
use super::files::Files;
use super::head::Part;
use super::name;
use super::nearest::nearest;
use crate::fault::Fault;
use crate::fault::SourceFile;
use crate::stage::Stage;

/// The folder of variants for every stage.
const ANY: &str = "any";

/// A template folder, sorted.
#[derive(Debug, Default)]
pub(super) struct Folder {
    pub(super) layouts: BTreeMap<String, Fragment>,
    pub(super) blocks: BTreeMap<String, Fragment>,
    pub(super) samples: BTreeMap<String, SourceFile>,
    pub(super) offers: Option<SourceFile>,
    /// What pages say, by language.
    pub(super) pages: BTreeMap<String, SourceFile>,
    pub(super) campaigns: BTreeMap<String, CampaignFolder>,
}

/// The folder of one campaign.
#[derive(Debug, Default)]
pub(super) struct CampaignFolder {
    pub(super) file: Option<SourceFile>,
    pub(super) variants: Vec<VariantFile>,
    /// Variant files that cannot be read: their faults are told already.
    pub(super) unreadable_variants: usize,
    pub(super) slots: BTreeMap<String, BTreeMap<String, Vec<OptionFile>>>,
    /// Hand-written text parts, by path.
    pub(super) texts: BTreeMap<String, SourceFile>,
}

/// One variant file.
#[derive(Debug)]
pub(super) struct VariantFile {
    pub(super) stage: Option<Stage>,
    pub(super) name: String,
    pub(super) locale: Option<String>,
    pub(super) part: Part,
}

/// One option of a slot, in one locale.
#[derive(Debug)]
pub(super) struct OptionFile {
    pub(super) locale: Option<String>,
    pub(super) part: Part,
}

impl VariantFile {
    /// The word of its folder.
    pub(super) fn stage_word(&self) -> &'static str {
        self.stage.map_or(ANY, Stage::as_str)
    }
}

impl Folder {
    /// Sorts `files`. What cannot be used is left out and pushed as a fault.
    pub(super) fn sort(files: &Files, faults: &mut Vec<Fault>) -> Self {
        let mut folder = Self::default();
        for (path, file) in files.iter() {
            let names: Vec<&str> = path.split('/').collect();
            folder.place(&names, file, faults);
        }
        for (name, campaign) in &folder.campaigns {
            if campaign.file.is_none() {
                let message = format!("{name}/ has no campaign.toml");
                faults.push(Fault::general(message).with_help(
                    "write one with `kind` and `trigger`, or move the folder's files to where they belong",
                ));
            }
        }
        folder
    }

    fn place(&mut self, names: &[&str], file: &SourceFile, faults: &mut Vec<Fault>) {
        match names {
            ["offers.toml"] => self.offers = Some(file.clone()),
            ["layouts", leaf] => whole(&mut self.layouts, "a layout", leaf, file, faults),
            ["blocks", leaf] => whole(&mut self.blocks, "a block", leaf, file, faults),
            ["samples", leaf] => {
                if let Some(stem) = stem(leaf, ".json", "a sample", file, faults) {
                    self.samples.insert(stem.to_owned(), file.clone());
                }
            }
            ["pages", leaf] => match leaf.strip_suffix(".toml") {
                Some(language) if name::is_locale(language) => {
                    self.pages.insert(language.to_owned(), file.clone());
                }
                stem => {
                    let message = format!("`{}` is no language", stem.unwrap_or(leaf));
                    let help = "write pages/LANGUAGE.toml, such as pages/de.toml or pages/de-AT.toml";
                    faults.push(Fault::at(file, 0..0, message).with_help(help));
                }
            },
            [leaf] => misplaced(file, leaf, &["offers.toml"], faults),
            ["layouts" | "blocks" | "samples" | "pages", folder, ..] => {
                let message = format!("`{folder}` is a folder where only files are looked for");
                faults.push(Fault::at(file, 0..0, message).with_help("move the file one folder up"));
            }
            [campaign, rest @ ..] => {
                name::check(file, 0..0, "a campaign's name", campaign, faults);
                let folder = self.campaigns.entry((*campaign).to_owned()).or_default();
                folder.place(campaign, rest, file, faults);
            }
            [] => {}
        }
    }
}

impl CampaignFolder {
    fn place(&mut self, campaign: &str, rest: &[&str], file: &SourceFile, faults: &mut Vec<Fault>) {
        match rest {
            ["campaign.toml"] => self.file = Some(file.clone()),
            ["slots", slot, leaf] => self.option(slot, leaf, file, faults),
            [stage, leaf] if *stage == ANY || Stage::parse(stage).is_some() => {
                if leaf.strip_suffix(".txt").is_some() {
                    self.texts.insert(format!("{campaign}/{stage}/{leaf}"), file.clone());
                } else {
                    self.variant(Stage::parse(stage), leaf, file, faults);
                }
            }
            [leaf] => misplaced(file, leaf, &["campaign.toml"], faults),
            [folder, ..] => {
                let known = ["discover", "educate", "compare", "purchase", ANY, "slots"];
                let help = match nearest(folder, known).filter(|near| near != folder) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("a campaign holds the folders {}", known.join(", ")),
                };
                let message = format!(
                    "nothing is looked for in the folder `{campaign}/{}`",
                    rest[..rest.len() - 1].join("/")
                );
                faults.push(Fault::at(file, 0..0, message).with_help(help));
            }
            [] => {}
        }
    }

    fn option(&mut self, slot: &str, leaf: &str, file: &SourceFile, faults: &mut Vec<Fault>) {
        name::check(file, 0..0, "a slot's name", slot, faults);
        let Some((option, locale)) = localised(leaf, "an option", file, faults) else { return };
        let Some(part) = Part::read(file, faults) else { return };
        let options = self.slots.entry(slot.to_owned()).or_default();
        options.entry(option).or_default().push(OptionFile { locale, part });
    }

    fn variant(&mut self, stage: Option<Stage>, leaf: &str, file: &SourceFile, faults: &mut Vec<Fault>) {
        let read = localised(leaf, "a variant", file, faults)
            .and_then(|(name, locale)| Some((name, locale, Part::read(file, faults)?)));
        match read {
            Some((name, locale, part)) => self.variants.push(VariantFile { stage, name, locale, part }),
            None => self.unreadable_variants += 1,
        }
    }

    /// The file of an option that serves `locale` best.
    pub(super) fn option_for(&self, slot: &str, option: &str, locale: Option<&str>) -> Option<&Part> {
        let files = self.slots.get(slot)?.get(option)?;
        let ranked = files
            .iter()
            .filter_map(|file| name::locale_rank(file.locale.as_deref(), locale).map(|rank| (rank, file)));
        ranked.max_by_key(|(rank, _)| *rank).map(|(_, file)| &file.part)
    }
}

fn whole(
    into: &mut BTreeMap<String, Fragment>,
    what: &str,
    leaf: &str,
    file: &SourceFile,
    faults: &mut Vec<Fault>,
) {
    let Some(stem) = stem(leaf, ".mjml", what, file, faults) else { return };
    if file.text.starts_with("+++") {
        faults.push(
            Fault::at(file, 0..3, format!("{what} has no head")).with_help("move its keys into the variant"),
        );
    }
    let range = 0..file.text.trim_end().len();
    into.insert(stem.to_owned(), Fragment { file: file.clone(), range });
}

fn stem<'a>(
    leaf: &'a str,
    extension: &str,
    what: &str,
    file: &SourceFile,
    faults: &mut Vec<Fault>,
) -> Option<&'a str> {
    let Some(stem) = leaf.strip_suffix(extension) else {
        let message = format!("{what} is a `{extension}` file; this is `{leaf}`");
        faults.push(Fault::at(file, 0..0, message).with_help("rename it, or move it out of the folder"));
        return None;
    };
    name::check(file, 0..0, &format!("{what}'s name"), stem, faults);
    Some(stem)
}

/// `versus.de.mjml` → `versus`, `de`.
fn localised(
    leaf: &str,
    what: &str,
    file: &SourceFile,
    faults: &mut Vec<Fault>,
) -> Option<(String, Option<String>)> {
    let whole = leaf.strip_suffix(".mjml").map(name::split_locale);
    let Some((name, locale)) = whole else {
        let message = format!("{what} is a `.mjml` file; this is `{leaf}`");
        faults.push(Fault::at(file, 0..0, message).with_help("rename it, or move it out of the folder"));
        return None;
    };
    name::check(file, 0..0, &format!("{what}'s name"), name, faults);
    if let Some(locale) = locale.filter(|locale| !name::is_locale(locale)) {
        let message = format!("`{locale}` in the file's name is no locale");
        let help = "write NAME.mjml, or NAME.LOCALE.mjml such as `versus.de.mjml` or `versus.de-AT.mjml`";
        faults.push(Fault::at(file, 0..0, message).with_help(help));
    }
    Some((name.to_owned(), locale.map(str::to_owned)))
}

fn misplaced(file: &SourceFile, leaf: &str, known: &[&str], faults: &mut Vec<Fault>) {
    let help = match nearest(leaf, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "move it out of the folder, or into the folder of a stage".to_owned(),
    };
    faults.push(Fault::at(file, 0..0, format!("nothing is looked for in `{leaf}` here")).with_help(help));
}
