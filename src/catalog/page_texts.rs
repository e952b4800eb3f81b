//! What the pages behind the links of a mail say, in each language: built in for English, German and Spanish, and
//! `pages/LANGUAGE.toml` of the templates, which may replace any of it or add a language.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::folder::Folder;
use super::name;
use crate::fault::Fault;
use crate::fault::SourceFile;
use crate::toml_text;

/// Longest text, in characters.
const TEXT_CHARACTERS_MAX: usize = 1_000;
/// The language for readers of whom nothing is known.
const LAST_RESORT: &str = "en";

/// The texts in English.
pub(super) const ENGLISH: &str = include_str!("page_texts/en.toml");

/// The languages that are built in.
const BUILTIN: [(&str, &str); 3] =
    [("en", ENGLISH), ("de", include_str!("page_texts/de.toml")), ("es", include_str!("page_texts/es.toml"))];

/// Each text, with what may stand in it as `{name}`.
macro_rules! texts {
    ($($key:ident [$($hole:literal),*],)*) => {
        /// Every text of the pages in one language. They are plain text; `{shop}` and the like stand for what is not
        /// known before.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the English text of each says what it is: page_texts/en.toml")]
        pub struct Texts {
            $(pub $key: String,)*
            /// What topics are called, where the language's file says so.
            topics: BTreeMap<String, String>,
            /// BCP 47, such as `de`.
            language: String,
        }

        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        struct Written {
            $($key: Option<Spanned<String>>,)*
            topics: BTreeMap<String, Spanned<String>>,
        }

        /// Every key, and what may stand in its text as `{name}`.
        pub const KEYS: &[(&str, &[&str])] = &[$((stringify!($key), &[$($hole),*])),*];

        impl Written {
            fn texts(&self) -> Vec<(&'static str, &'static [&'static str], Option<&Spanned<String>>)> {
                vec![$((stringify!($key), &[$($hole),*], self.$key.as_ref())),*]
            }

            /// Lays these over what is built in for the language.
            fn over(self, below: Texts) -> Texts {
                Texts {
                    $($key: self.$key.map_or(below.$key, Spanned::into_inner),)*
                    topics: self.topics.into_iter().map(|(topic, name)| (topic, name.into_inner())).collect(),
                    language: below.language,
                }
            }
        }
    };
}

texts! {
    unsubscribe_title [],
    unsubscribe_question ["shop"],
    stop_topic_button ["topic"],
    stop_topic_note [],
    stop_all_button [],
    still_comes_note [],
    preferences_link [],
    stop_wording ["shop"],
    unsubscribed_title [],
    unsubscribed_from_all ["shop"],
    unsubscribed_from_topic ["topic"],
    changed_mind_link [],
    preferences_title [],
    preferences_of ["shop", "address"],
    unreachable [],
    stopped [],
    subscribe_wording ["shop"],
    subscribe_button [],
    paused ["day"],
    resume_button [],
    topics_legend [],
    tracking_label [],
    save_button [],
    less_heading [],
    pause_button [],
    done_save [],
    done_pause [],
    done_resume [],
    done_stop [],
    done_subscribe [],
    no_choice_title [],
    no_choice [],
    confirm_title [],
    confirm_question ["shop", "address"],
    confirm_button [],
    confirm_note [],
    confirmed_title [],
    confirmed ["shop"],
    expired_title [],
    expired [],
    nothing_title [],
    nothing [],
    nothing_note [],
    fault_title [],
    fault [],
    lead_on_link [],
    this_shop [],
}

impl Texts {
    /// BCP 47, such as `de`.
    pub fn language(&self) -> &str {
        &self.language
    }

    /// What a topic is called in this language, where that is stated.
    pub fn topic(&self, topic: &str) -> Option<&str> {
        self.topics.get(topic).map(String::as_str)
    }
}

/// Puts what is known into a text.
pub fn filled(text: &str, known: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some((before, name, behind)) = next_hole(rest) {
        out.push_str(before);
        match known.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => out.push_str(value),
            None => out.push_str(&rest[before.len()..rest.len() - behind.len()]),
        }
        rest = behind;
    }
    out + rest
}

/// What stands before the next `{name}`, the name, and what stands behind it.
fn next_hole(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (name, behind) = rest.split_once('}')?;
    Some((before, name, behind))
}

/// The texts of every language.
#[derive(Debug, Clone)]
pub struct PageTexts {
    languages: BTreeMap<String, Arc<Texts>>,
    /// That of files without a locale: of readers of whom nothing is known, it is the likeliest.
    default_locale: Option<String>,
}

impl PageTexts {
    /// Reads the language files of a folder. What cannot be used is pushed as a fault.
    pub(super) fn read(folder: &Folder, default_locale: Option<&str>, faults: &mut Vec<Fault>) -> Self {
        let builtin = |(language, text): (&str, &str)| {
            let written = toml_text::read::<Written>(text).value.unwrap_or_default();
            let below = Texts { language: language.to_owned(), ..Texts::default() };
            (language.to_owned(), Arc::new(written.over(below)))
        };
        let mut languages: BTreeMap<String, Arc<Texts>> = BUILTIN.map(builtin).into();
        for (language, file) in &folder.pages {
            let below = languages.get(language).map(Arc::as_ref).cloned();
            if let Some(texts) = read(language, file, below, faults) {
                languages.insert(language.clone(), Arc::new(texts));
            }
        }
        Self { languages, default_locale: default_locale.map(str::to_owned) }
    }

    /// The languages that pages are there in.
    pub fn languages(&self) -> impl Iterator<Item = &str> {
        self.languages.keys().map(String::as_str)
    }

    /// The texts for somebody: in their own language, else the first that their browser asks for, else the default
    /// language of the templates, else English.
    pub fn for_reader(&self, own: Option<&str>, accepted: &[String]) -> Arc<Texts> {
        let accepted = accepted.iter().map(String::as_str);
        let mut wanted =
            own.into_iter().chain(accepted).chain(self.default_locale.as_deref()).chain([LAST_RESORT]);
        wanted.find_map(|wanted| self.best(wanted)).cloned().unwrap_or_default()
    }

    /// Whether somebody of this locale is spoken to in their own language.
    pub fn speaks(&self, locale: &str) -> bool {
        self.best(locale).is_some()
    }

    fn best(&self, wanted: &str) -> Option<&Arc<Texts>> {
        let ranked = self.languages.iter().filter_map(|(language, texts)| {
            name::locale_rank(Some(language), Some(wanted)).map(|rank| (rank, texts))
        });
        ranked.max_by_key(|(rank, _)| *rank).map(|(_, texts)| texts)
    }
}

/// One language file, laid over what is built in.
fn read(language: &str, file: &SourceFile, below: Option<Texts>, faults: &mut Vec<Fault>) -> Option<Texts> {
    let read = toml_text::read::<Written>(&file.text);
    let is_readable = read.faults.is_empty();
    faults.extend(read.faults.into_iter().map(|found| {
        let help = found.help_or(toml_text::REFERENCE);
        Fault { help, ..Fault::at(file, found.span, found.message) }
    }));
    let written = read.value?;
    for (key, holes, text) in written.texts() {
        if let Some(text) = text {
            check(file, key, holes, text, faults);
        }
    }
    for (topic, name) in &written.topics {
        check(file, topic, &[], name, faults);
    }
    let missing: Vec<&str> =
        written.texts().into_iter().filter(|(_, _, text)| text.is_none()).map(|(key, ..)| key).collect();
    if below.is_none() && !missing.is_empty() {
        if is_readable {
            let message = format!(
                "the file lacks {}: {}",
                crate::words::counted(missing.len(), "text"),
                missing.join(", ")
            );
            let help = "only English, German and Spanish are built in; `bespoke reference` shows every text in English";
            faults.push(Fault::at(file, 0..0, message).with_help(help));
        }
        return None;
    }
    Some(written.over(below.unwrap_or_else(|| Texts { language: language.to_owned(), ..Texts::default() })))
}

fn check(file: &SourceFile, key: &str, holes: &[&str], text: &Spanned<String>, faults: &mut Vec<Fault>) {
    let mut fault = |message: String, help: String| {
        faults.push(Fault::at(file, text.span(), message).with_help(help));
    };
    let characters = text.get_ref().chars().count();
    if text.get_ref().trim().is_empty() {
        fault(format!("`{key}` says nothing"), "write something, or leave the key out".to_owned());
    }
    if characters > TEXT_CHARACTERS_MAX {
        fault(format!("`{key}` has {characters} characters"), format!("write at most {TEXT_CHARACTERS_MAX}"));
    }
    let mut rest = text.get_ref().as_str();
    while let Some((_, name, behind)) = next_hole(rest) {
        if !holes.contains(&name) {
            let known: Vec<String> = holes.iter().map(|hole| format!("{{{hole}}}")).collect();
            let help = match known.as_slice() {
                [] => "nothing is put into this text".to_owned(),
                known => format!("known here: {}", known.join(", ")),
            };
            fault(format!("`{key}` has nothing for {{{name}}}"), help);
        }
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::files::Files;

    fn pages(files: &[(&str, &str)]) -> Result<PageTexts, Vec<String>> {
        let files =
            Files::from_pairs(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
        let mut faults = Vec::new();
        let folder = Folder::sort(&files, &mut faults);
        let pages = PageTexts::read(&folder, Some("en"), &mut faults);
        let told = |fault: Fault| format!("{}; {}", fault.message, fault.help.unwrap_or_default());
        if faults.is_empty() { Ok(pages) } else { Err(faults.into_iter().map(told).collect()) }
    }

    #[test]
    fn each_language_that_is_built_in_says_everything_and_puts_in_what_english_puts_in() {
        let english: toml::Table = toml::from_str(BUILTIN[0].1).unwrap();
        for (language, text) in BUILTIN {
            let mut faults = Vec::new();
            let file = SourceFile { path: language.into(), text: text.into() };
            assert!(read(language, &file, None, &mut faults).is_some() && faults.is_empty(), "{faults:?}");
            let own: toml::Table = toml::from_str(text).unwrap();
            for (key, holes) in KEYS {
                let has = |table: &toml::Table, hole: &str| {
                    table[*key].as_str().unwrap().contains(&format!("{{{hole}}}"))
                };
                for hole in *holes {
                    assert_eq!(has(&own, hole), has(&english, hole), "{language} {key} {hole}");
                }
                assert!(language == "en" || own[*key] != english[*key], "{language} {key} is English");
            }
        }
    }

    #[test]
    fn a_reader_gets_the_language_that_is_known_of_them_then_that_of_their_browser() {
        let pages = pages(&[]).unwrap();
        let check = |own: Option<&str>, accepted: &[&str], expected: &str| {
            let accepted: Vec<String> = accepted.iter().map(|tag| (*tag).to_owned()).collect();
            assert_eq!(pages.for_reader(own, &accepted).language(), expected, "{own:?} {accepted:?}");
        };
        check(Some("de"), &["es"], "de");
        check(Some("de_AT"), &[], "de");
        check(Some("fr"), &["pl", "es-MX", "de"], "es");
        check(None, &["de-CH"], "de");
        check(None, &[], "en");
        check(Some("fr"), &["x", ""], "en");
        let german = PageTexts { default_locale: Some("de-DE".to_owned()), ..pages.clone() };
        assert_eq!(german.for_reader(Some("fr"), &[]).language(), "de");
    }

    #[test]
    fn a_language_file_lays_its_texts_over_the_programs_own_and_may_add_a_language() {
        let own =
            pages(&[("pages/de.toml", "save_button = \"Sichern\"\n[topics]\nnews = \"Neues\"\n")]).unwrap();
        let german = own.for_reader(Some("de"), &[]);
        assert_eq!((german.save_button.as_str(), german.topic("news")), ("Sichern", Some("Neues")));
        assert_eq!((german.topic("other"), german.confirmed_title.as_str()), (None, "Bestätigt"));
        let french = BUILTIN[0].1.replace("\"Save\"", "\"Enregistrer\"");
        let own = pages(&[("pages/fr.toml", &french)]).unwrap();
        assert_eq!(own.for_reader(Some("fr-CA"), &[]).save_button, "Enregistrer");
        assert_eq!(own.languages().collect::<Vec<_>>(), ["de", "en", "es", "fr"]);
    }

    #[test]
    fn what_a_language_file_lacks_or_cannot_say_is_told_with_what_to_write() {
        let check = |path: &str, text: &str, expected: &[&str]| {
            assert_eq!(
                pages(&[(path, text)]).map(|_| ()),
                Err(expected.iter().map(|text| (*text).to_owned()).collect())
            );
        };
        check(
            "pages/de.toml",
            "save_buton = \"x\"",
            &["there is no key `save_buton`; did you mean `save_button`?"],
        );
        check(
            "pages/de.toml",
            "paused = \"bis {date}\"",
            &["`paused` has nothing for {date}; known here: {day}"],
        );
        check(
            "pages/de.toml",
            "save_button = \" \"",
            &["`save_button` says nothing; write something, or leave the key out"],
        );
        check(
            "pages/deutsch.toml",
            "",
            &[
                "`deutsch` is no language; write pages/LANGUAGE.toml, such as pages/de.toml or pages/de-AT.toml",
            ],
        );
        let all_but_one = BUILTIN[0].1.replace("save_button", "# save_button");
        check(
            "pages/fr.toml",
            &all_but_one,
            &[
                "the file lacks 1 text: save_button; only English, German and Spanish are built in; `bespoke reference` shows every text in English",
            ],
        );
    }

    #[test]
    fn what_is_known_is_put_into_a_text() {
        for (text, expected) in [
            ("Mail from {shop}.", "Mail from A {topic} & Co."),
            ("{shop}{topic}", "A {topic} & Co{topic}"),
            ("a } b { c", "a } b { c"),
        ] {
            assert_eq!(filled(text, &[("shop", "A {topic} & Co")]), expected);
        }
    }
}
