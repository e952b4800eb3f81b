//! Languages that a campaign writes in here and not there: for translators, and no fault.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::Catalog;
use super::variant::CampaignEntry;

/// Variants that are named for one language, at most.
const NAMED_MAX: usize = 4;

/// A line for each campaign of which some variants are there in a language and others are not, and one for languages
/// that mails are written in and pages are not.
pub fn notes(catalog: &Catalog, default_locale: &str) -> Vec<String> {
    let mut notes: Vec<String> =
        catalog.campaigns().filter_map(|entry| lacking(entry, default_locale)).collect();
    let texts = catalog.page_texts();
    let written: BTreeSet<&str> =
        catalog.variants().map(|variant| variant.locale.as_deref().unwrap_or(default_locale)).collect();
    let unread: Vec<&str> = written.into_iter().filter(|locale| !texts.speaks(locale)).collect();
    if let Some(first) = unread.first() {
        notes.push(format!(
            "mails are written in {}, and the pages behind their links are not: write pages/{first}.toml (`bespoke \
             reference pages`)",
            unread.join(", ")
        ));
    }
    notes
}

/// `welcome: any/late has no de; any/hello and any/late have no es`
fn lacking(entry: &CampaignEntry, default_locale: &str) -> Option<String> {
    let mut families: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for arm in &entry.arms {
        let languages = families.entry(&arm.family).or_default();
        languages.extend(arm.locales.iter().map(|found| found.locale.as_deref().unwrap_or(default_locale)));
    }
    let all: BTreeSet<&str> = families.values().flatten().copied().collect();
    let mut parts = Vec::new();
    for language in all {
        let without: Vec<&str> = families
            .iter()
            .filter(|(_, languages)| !languages.contains(language))
            .map(|(family, _)| family.split_once('/').map_or(*family, |(_, rest)| rest))
            .collect();
        if let Some(part) = part(&without, language) {
            parts.push(part);
        }
    }
    (!parts.is_empty()).then(|| format!("{}: {}", entry.campaign.id, parts.join("; ")))
}

fn part(without: &[&str], language: &str) -> Option<String> {
    let have = if without.len() == 1 { "has" } else { "have" };
    let (last, others) = without.split_last()?;
    let names = match without.len() {
        1 => (*last).to_owned(),
        ..=NAMED_MAX => format!("{} and {last}", others.join(", ")),
        count => format!("{} and {} more", without[..NAMED_MAX - 1].join(", "), count - (NAMED_MAX - 1)),
    };
    Some(format!("{names} {have} no {language}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::CatalogSettings;
    use crate::catalog::files::Files;

    fn check(variants: &[&str], expected: &[&str]) {
        check_of("en", variants, expected);
    }

    /// Where files without a language in their name are in this one.
    fn check_of(default_locale: &str, variants: &[&str], expected: &[&str]) {
        let campaign = "kind = \"transactional\"\ntrigger = { api = {} }\n";
        let variant = "+++\nsubject = \"S\"\npreheader = \"P\"\n+++\n<mj-section></mj-section>";
        let layout = "<mjml><mj-body><mj-content /></mj-body></mjml>";
        let mut files = vec![
            ("news/campaign.toml".to_owned(), campaign.to_owned()),
            ("layouts/default.mjml".to_owned(), layout.to_owned()),
        ];
        files.extend(variants.iter().map(|name| (format!("news/{name}.mjml"), variant.to_owned())));
        let catalog = Catalog::from_files(&Files::from_pairs(files), &CatalogSettings::default());
        let catalog = catalog.unwrap_or_else(|faults| panic!("{faults:?}"));
        assert_eq!(notes(&catalog, default_locale), expected, "{variants:?}");
    }

    #[test]
    fn a_campaign_that_is_translated_in_part_is_told_of_in_one_line() {
        check(&["any/a", "any/b"], &[]);
        check(&["any/a", "any/a.de", "any/b", "any/b.de"], &[]);
        check(&["any/a", "any/a.de", "any/b"], &["news: any/b has no de"]);
        check(
            &["any/a", "any/a.de", "any/b", "any/b.es", "discover/c.de"],
            &["news: any/b has no de; discover/c has no en; any/a and discover/c have no es"],
        );
        let many = ["any/a", "any/a.de", "any/b", "any/c", "any/d", "any/e", "any/f"];
        check(&many, &["news: any/b, any/c, any/d and 2 more have no de"]);
    }

    #[test]
    fn a_language_that_pages_lack_is_told_of() {
        let told = "mails are written in fr, and the pages behind their links are not: write pages/fr.toml (`bespoke \
                    reference pages`)";
        check(&["any/a", "any/a.fr"], &[told]);
        check_of("fr", &["any/a"], &[told]);
    }
}
