//! From one variant file to the variants that it stands for: every combination of its slots' options.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use toml::Spanned;

use super::compose;
use super::compose::Composed;
use super::compose::Fragment;
use super::compose::Ingredients;
use super::folder::CampaignFolder;
use super::folder::Folder;
use super::folder::VariantFile;
use super::head::Head;
use super::head::Part;
use super::nearest::nearest;
use super::part::Checked;
use super::part::PartChecker;
use super::rule::Rule;
use super::toml_text;
use crate::fault::Fault;
use crate::fault::SourceFile;

/// Variants of one campaign, at most.
pub const VARIANTS_PER_CAMPAIGN_MAX: usize = 5_000;

/// A text of a head, or a whole file, that goes into a template.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) text: String,
    pub(super) file: SourceFile,
    /// The TOML value, or the piece of the file.
    pub(super) place: Range<usize>,
}

impl Source {
    /// Where bytes of the text stand in the file.
    pub(super) fn locate(&self, span: &Range<usize>) -> Range<usize> {
        toml_text::inside_string(&self.file, &self.place, &self.text, span)
    }
}

/// One combination: everything of a variant but its compiled template.
#[derive(Debug)]
pub(super) struct Combination {
    pub(super) options: BTreeMap<String, String>,
    pub(super) weight: f64,
    pub(super) when: Vec<Arc<Rule>>,
    pub(super) inputs: Vec<String>,
    pub(super) offer: Option<String>,
    pub(super) tone: Option<String>,
    pub(super) category: Option<String>,
    pub(super) discount_depth: Option<f64>,
    pub(super) files: Vec<PathBuf>,
    pub(super) subject: Source,
    pub(super) preheader: Option<Source>,
    pub(super) text: Option<Source>,
    pub(super) composed: Composed,
    /// The language that it is written in.
    pub(super) language: Option<String>,
}

/// What is used by some variant; the rest may be forgotten.
#[derive(Debug, Default)]
pub(super) struct Used {
    pub(super) layouts: BTreeSet<String>,
    pub(super) blocks: BTreeSet<String>,
    /// Paths of option and text files.
    pub(super) files: BTreeSet<PathBuf>,
}

/// A slot with the options that a head allows for it.
type Choices<'a> = Vec<(&'a str, Vec<(&'a str, &'a Part)>)>;

/// Expands the variant files of one campaign.
pub(super) struct Expander<'a> {
    pub(super) folder: &'a Folder,
    pub(super) campaign: &'a CampaignFolder,
    pub(super) name: &'a str,
    /// Of files without a locale in their name.
    pub(super) default_locale: Option<&'a str>,
    pub(super) parts: PartChecker<'a>,
    pub(super) used: &'a mut Used,
    /// Variants that may still be made.
    pub(super) budget: usize,
    pub(super) faults: &'a mut Vec<Fault>,
}

impl<'a> Expander<'a> {
    fn fault(&mut self, part: &Part, span: Range<usize>, message: String, help: impl Into<String>) {
        self.faults.push(Fault::at(&part.file, span, message).with_help(help));
    }

    /// Every combination of one file's options. One of its faults may be pushed many times.
    pub(super) fn expand(&mut self, file: &'a VariantFile) -> Vec<Combination> {
        let part = &file.part;
        let before = self.faults.len();
        self.parts.check(part, self.faults);
        let layout = self.layout(part);
        let text = self.text(file);
        let choices = self.choices(file);
        let count = choices.iter().map(|(_, options)| options.len()).fold(1_usize, usize::saturating_mul);
        if count > self.budget {
            let message = format!("the campaign comes to more than {VARIANTS_PER_CAMPAIGN_MAX} variants");
            self.fault(part, 0..0, message, "give fewer options, or make it two campaigns");
            return Vec::new();
        }
        self.budget -= count;
        let Some(layout) = layout else { return Vec::new() };
        let mut combinations = Vec::new();
        for index in 0..count {
            let chosen = choose(&choices, index);
            if let Some(combination) = self.combine(file, &layout, text.clone(), &chosen)
                && self.faults.len() == before
            {
                combinations.push(combination);
            }
        }
        combinations
    }

    fn layout(&mut self, part: &Part) -> Option<Fragment> {
        let named = part.head.layout.as_ref();
        let name = named.map_or("default", |name| name.get_ref().as_str());
        if let Some(layout) = self.folder.layouts.get(name) {
            self.used.layouts.insert(name.to_owned());
            return Some(layout.clone());
        }
        let span = named.map_or(0..0, |name| part.place(name));
        let help = match nearest(name, self.folder.layouts.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write it as layouts/{name}.mjml"),
        };
        self.fault(part, span, format!("there is no layout `{name}`"), help);
        None
    }

    fn text(&mut self, file: &VariantFile) -> Option<Source> {
        let named = file.part.head.text.as_ref()?;
        let path = format!("{}/{}/{}", self.name, file.stage_word(), named.get_ref());
        let Some(text) = self.campaign.texts.get(&path) else {
            let span = file.part.place(named);
            let help = "write the name of a .txt file in the same folder";
            self.fault(&file.part, span, format!("there is no file {path}"), help);
            return None;
        };
        self.used.files.insert(text.path.clone());
        Some(Source { text: text.text.to_string(), file: text.clone(), place: 0..text.text.len() })
    }

    /// The slots of a head with their option files. What is missing is a fault.
    fn choices(&mut self, file: &'a VariantFile) -> Choices<'a> {
        let mut choices = Choices::new();
        for (slot, options) in &file.part.head.slots {
            let name = slot.get_ref().as_str();
            let span = file.part.place(slot);
            let Some(known) = self.campaign.slots.get(name) else {
                let help = match nearest(name, self.campaign.slots.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("write its options as {}/slots/{name}/OPTION.mjml", self.name),
                };
                self.fault(&file.part, span, format!("there is no slot `{name}`"), help);
                continue;
            };
            if options.is_empty() {
                let help =
                    format!("name at least one: {name} = [\"{}\"]", known.keys().next().map_or("", |n| n));
                self.fault(&file.part, span, format!("the slot `{name}` has no options"), help);
                continue;
            }
            let mut found: Vec<(&str, &Part)> = Vec::new();
            for option in options {
                let place = file.part.place(option);
                let option = option.get_ref().as_str();
                if found.iter().any(|(known, _)| *known == option) {
                    self.fault(
                        &file.part,
                        place,
                        format!("the option `{option}` is written twice"),
                        "keep one of them",
                    );
                    continue;
                }
                if let Some(part) = self.campaign.option_for(name, option, file.locale.as_deref()) {
                    self.used.files.insert(part.file.path.clone());
                    self.parts.check_option(part, self.faults);
                    found.push((option, part));
                    continue;
                }
                let help = match nearest(option, known.keys().map(String::as_str)) {
                    Some(near) if near != option => format!("did you mean `{near}`?"),
                    _ => format!("write it as {}/slots/{name}/{option}.mjml", self.name),
                };
                self.fault(&file.part, place, format!("the slot `{name}` has no option `{option}`"), help);
            }
            choices.push((name, found));
        }
        choices
    }

    fn combine(
        &mut self,
        file: &'a VariantFile,
        layout: &Fragment,
        text: Option<Source>,
        chosen: &[(&'a str, &'a str, &'a Part)],
    ) -> Option<Combination> {
        let composed = self.compose(file, layout, chosen);
        let parts: Vec<&Part> =
            std::iter::once(&file.part).chain(chosen.iter().map(|(.., part)| *part)).collect();
        let checked: Vec<Checked> = parts.iter().filter_map(|part| self.parts.checked(part)).collect();
        let text_of =
            |found: Option<(&Part, &Spanned<String>)>| found.map(|(_, value)| value.get_ref().clone());
        let subject = source(self.pick(&parts, "subject", |head| head.subject.as_ref()));
        let preheader = source(self.pick(&parts, "preheader", |head| head.preheader.as_ref()));
        let offer = text_of(self.pick(&parts, "offer", |head| head.offer.as_ref()));
        let tone = text_of(self.pick(&parts, "tone", |head| head.tone.as_ref()));
        let category = text_of(self.pick(&parts, "category", |head| head.category.as_ref()));
        let depth = self.pick(&parts, "discount_depth", |head| head.discount_depth.as_ref());
        let discount_depth = depth.map(|(_, value)| *value.get_ref());
        let Some(subject) = subject else {
            let help = "write `subject = \"…\"` in its head, or in the heads of a slot's options";
            self.fault(&file.part, 0..0, "there is no subject".to_owned(), help);
            return None;
        };
        let mut inputs: Vec<String> =
            parts.iter().flat_map(|part| &part.head.inputs).map(|input| input.get_ref().clone()).collect();
        inputs.sort();
        inputs.dedup();
        Some(Combination {
            options: chosen
                .iter()
                .map(|(slot, option, _)| ((*slot).to_owned(), (*option).to_owned()))
                .collect(),
            weight: checked.iter().map(|part| part.weight).product(),
            when: checked.into_iter().filter_map(|part| part.when).collect(),
            inputs,
            offer,
            tone,
            category,
            discount_depth,
            files: parts.iter().map(|part| part.file.path.clone()).collect(),
            subject,
            preheader,
            text,
            composed,
            language: file.locale.as_deref().or(self.default_locale).map(str::to_owned),
        })
    }

    fn compose(
        &mut self,
        file: &VariantFile,
        layout: &Fragment,
        chosen: &[(&'a str, &'a str, &'a Part)],
    ) -> Composed {
        let is_blank = |part: &Part| part.body_text().trim().is_empty();
        if is_blank(&file.part) && chosen.iter().all(|(_, _, part)| is_blank(part)) {
            let help = "write under the head what the mail says";
            self.fault(&file.part, 0..0, "this variant has no body".to_owned(), help);
        }
        let slots = chosen.iter().map(|(slot, _, part)| (*slot, body(part))).collect();
        let content = Some(body(&file.part));
        let named = file.part.head.slots.keys().map(|name| name.get_ref().as_str()).collect();
        let ingredients = Ingredients { blocks: &self.folder.blocks, slots, named, content };
        let (composed, used) = compose::compose(layout, &ingredients, self.faults);
        self.used.blocks.extend(used.blocks);
        if used.content == 0 {
            let help = "write `<mj-content />` where the variant goes";
            self.faults
                .push(Fault::at(&layout.file, 0..0, "the layout has no `<mj-content />`").with_help(help));
            return composed;
        }
        for (slot, option, part) in chosen {
            if !used.slots.contains(*slot) && !part.body_text().trim().is_empty() {
                let written = file.part.head.slots.keys().find(|name| name.get_ref() == slot);
                let span = written.map_or(0..0, |name| file.part.place(name));
                let message =
                    format!("the option `{slot}/{option}` has a body, and `{slot}` has no place in the mail");
                self.fault(
                    &file.part,
                    span,
                    message,
                    format!("write `<mj-slot name=\"{slot}\" />` where it goes"),
                );
            }
        }
        composed
    }

    /// The value of a key: an option's wins over the file's; two options must not both state it.
    fn pick<'p, T>(
        &mut self,
        parts: &[&'p Part],
        key: &str,
        get: impl Fn(&Head) -> Option<&Spanned<T>>,
    ) -> Option<(&'p Part, &'p Spanned<T>)> {
        let stated: Vec<(&Part, &Spanned<T>)> =
            parts.iter().skip(1).filter_map(|part| get(&part.head).map(|value| (*part, value))).collect();
        if let [(first, _), (second, value), ..] = stated.as_slice() {
            let message =
                format!("`{key}` is stated by {} too, and both go into one mail", first.file.path.display());
            let span = second.place(value);
            self.fault(second, span, message, "leave it out of one of them");
        }
        let of_file = || parts.first().and_then(|part| get(&part.head).map(|value| (*part, value)));
        stated.first().copied().or_else(of_file)
    }
}

fn source(found: Option<(&Part, &Spanned<String>)>) -> Option<Source> {
    found.map(|(part, value)| Source {
        text: value.get_ref().clone(),
        file: part.file.clone(),
        place: part.place(value),
    })
}

fn body(part: &Part) -> Fragment {
    let end = part.body.start + part.body_text().trim_end().len();
    Fragment { file: part.file.clone(), range: part.body.start..end }
}

/// Combination number `index`: each slot with its option, in alphabetical order.
fn choose<'a>(choices: &Choices<'a>, index: usize) -> Vec<(&'a str, &'a str, &'a Part)> {
    let mut rest = index;
    choices
        .iter()
        .rev()
        .map(|(slot, options)| {
            let (option, part) = options[rest % options.len()];
            rest /= options.len();
            (*slot, option, part)
        })
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect()
}
