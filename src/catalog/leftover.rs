//! What was left in a template that is meant for nobody: placeholders of other programs, sample text, addresses of the
//! author's own machine. All of it renders, so it is told as a warning.

use std::ops::Range;

use super::Catalog;
use super::variant::Variant;
use crate::fault::Fault;
use crate::fault::SourceFile;
use crate::render::Part;

/// Longest name in a placeholder, in bytes; what is longer is text in brackets.
const NAME_BYTES_MAX: usize = 60;
/// Hosts that only the author's machine has.
const OWN_HOSTS: [&str; 4] = ["localhost", "127.0.0.1", "0.0.0.0", "[::1]"];
/// Signs around a name, and whose placeholder that is.
const PLACEHOLDERS: [(&str, &str); 4] = [("*|", "|*"), ("[[", "]]"), ("<%=", "%>"), ("{", "}")];
/// A word that stands for text that was to come.
const LATER: &str = concat!("TO", "DO");
/// Languages in which it is a word of its own: "all".
const LATER_IS_A_WORD: [&str; 4] = ["es", "pt", "gl", "ast"];
/// Letters that stand for text that was to come; also a size, and thirty.
const BLANK: &str = concat!("XX", "X");

/// Warnings about one variant.
pub(super) fn warnings(catalog: &Catalog, variant: &Variant) -> Vec<Fault> {
    let Some(template) = catalog.template(&variant.template) else { return Vec::new() };
    let mut faults = Vec::new();
    // Links are kept without their places.
    let mut tell = |at: Option<(Part, &Range<usize>)>, words: &str, message: String, help: &str| {
        let place = at.and_then(|(part, span)| catalog.locate(&variant.template, part, span));
        let place = place.or_else(|| in_files(catalog, variant, words));
        let fault = match place {
            Some((file, span)) => Fault::at(&file, span, message),
            None => catalog.fault_in(variant, "", message),
        };
        faults.push(fault.as_warning().with_help(help));
    };
    for link in &template.links {
        if link.target == "#" {
            let message = format!("the link “{}” leads nowhere: `#`", link.label);
            tell(None, "href=\"#\"", message, "write where it leads");
        } else if let Some(host) = own_host(&link.target) {
            let message =
                format!("the link “{}” leads to `{host}`, which is each reader's own machine", link.label);
            let help = "write the address that others see, such as `{{ shop.url }}`";
            tell(None, &link.target, message, help);
        }
    }
    let parts = [
        (Part::Subject, &template.subject),
        (Part::Preheader, &template.preheader),
        (Part::Text, &template.text),
    ];
    for (part, source) in parts {
        let text = without_tags(source);
        for span in placeholders(&text) {
            let words = &text[span.clone()];
            let message = format!("`{words}` is printed as it stands: it is no placeholder here");
            let help = "write `{{ … }}` with a fact, such as `{{ profile.first_name }}`";
            tell(Some((part, &span)), words, message, help);
        }
        for span in to_come(&text, template.language.as_deref()) {
            let words = &text[span.clone()];
            let message = format!("`{words}` stands in what people read");
            tell(Some((part, &span)), words, message, "write what is meant to stand there");
        }
    }
    faults
}

/// The first place of these words in the files of a variant.
fn in_files(catalog: &Catalog, variant: &Variant, words: &str) -> Option<(SourceFile, Range<usize>)> {
    let mut files = variant.files.iter().filter_map(|path| catalog.sources.files.get(path));
    files.find_map(|file| {
        let at = file.text.find(words)?;
        Some((file.clone(), at..at + words.len()))
    })
}

fn own_host(target: &str) -> Option<&'static str> {
    let rest = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"))?;
    let ends = |rest: &str| rest.is_empty() || rest.starts_with([':', '/', '?', '#']);
    OWN_HOSTS.into_iter().find(|host| rest.strip_prefix(host).is_some_and(ends))
}

/// The text with blanks in the place of Tera's tags, as long as before.
fn without_tags(text: &str) -> String {
    let mut out = text.to_owned();
    for (open, close) in [("{{", "}}"), ("{%", "%}"), ("{#", "#}")] {
        let mut from = 0;
        while let Some(start) = out[from..].find(open).map(|at| from + at) {
            let end = out[start..].find(close).map_or(out.len(), |at| start + at + close.len());
            out.replace_range(start..end, &" ".repeat(end - start));
            from = end;
        }
    }
    out
}

/// Where names stand in the signs of other programs.
fn placeholders(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (open, close) in PLACEHOLDERS {
        for (start, _) in text.match_indices(open) {
            let inner = &text[start + open.len()..];
            let Some(end) = inner.find(close).filter(|end| (1..=NAME_BYTES_MAX).contains(end)) else {
                continue;
            };
            let name = inner[..end].trim();
            let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte));
            if is_name && !found.iter().any(|known| known.contains(&start)) {
                found.push(start..start + open.len() + end + close.len());
            }
        }
    }
    found
}

/// Where words stand that are not meant to be read, in a text of this language.
fn to_come(text: &str, language: Option<&str>) -> Vec<Range<usize>> {
    let lower = text.to_ascii_lowercase();
    let lorem = lower.match_indices("lorem ipsum").map(|(at, word)| at..at + word.len());
    let language = language.and_then(|tag| tag.split(['-', '_']).next()).unwrap_or_default();
    let is_a_word = LATER_IS_A_WORD.contains(&language);
    let words = [LATER, BLANK].into_iter().flat_map(|word| text.match_indices(word));
    let meant = words.filter(|(at, word)| {
        // Of its line.
        let before = text[..*at].rsplit('\n').next().unwrap_or_default();
        let behind = text[at + word.len()..].split('\n').next().unwrap_or_default();
        if *word == LATER { is_later(before, behind, is_a_word) } else { is_blank(before, behind) }
    });
    lorem.chain(meant.map(|(at, word)| at..at + word.len())).collect()
}

/// Whether [`LATER`] between these is a note: in any language at the start of a line, before a colon or a bracket. Where it is
/// no word, also elsewhere, but not beside capitals: so shops shout whose texts state no language.
fn is_later(before: &str, behind: &str, is_a_word: bool) -> bool {
    let starts_line = !before.contains(char::is_alphanumeric);
    if starts_line && behind.starts_with([':', '(']) {
        return true;
    }
    let part_of_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let is_whole = !before.ends_with(part_of_word) && !behind.starts_with(part_of_word);
    let shouts = before.trim_end().ends_with(char::is_uppercase)
        || behind.trim_start().starts_with(char::is_uppercase);
    is_whole && !is_a_word && !shouts
}

/// Whether [`BLANK`] between these stands for something: no size (`S-`, `-L`, ` L`, `/S`), and no number before what it counts.
fn is_blank(before: &str, behind: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '–' | '/');
    !before.ends_with(joins)
        && !behind.starts_with(joins)
        && !behind.trim_start().starts_with(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_programs_would_fill_in_is_found_and_text_in_brackets_is_not() {
        for (text, expected) in [
            ("Hello *|FNAME|*!", &["*|FNAME|*"][..]),
            ("You have {profile.points} points", &["{profile.points}"]),
            ("Dear [[name]], {{ profile.first_name }} {% if x %}{y}{% endif %}", &["[[name]]", "{y}"]),
            ("Dear <%= user.name %>", &["<%= user.name %>"]),
            ("{a b} { } [sic] [[1]] {1} (*) a|b {# {x} #} {{ {\"a\": 1}.a }}", &[]),
        ] {
            let masked = without_tags(text);
            assert_eq!(masked.len(), text.len());
            let found: Vec<&str> = placeholders(&masked).into_iter().map(|span| &text[span]).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn text_that_was_to_come_is_found_by_whole_words() {
        for (text, language, expected) in [
            ("Lorem ipsum dolor", "en", 1),
            ("LATER: write this. BLANK", "en", 2),
            ("LATER\n\nSee it", "en", 1),
            ("Dear BLANK\n\nSee it", "en", 1),
            ("Good day.\nLATER(ana): the offer", "es", 1),
            ("LATER: la oferta", "es-MX", 1),
            ("Hier fehlt noch LATER", "de", 1),
            ("LATER write the intro", "en", 1),
            ("Dear BLANK, only BLANK €", "en", 2),
            ("LATER EL CAFÉ CON 20 %", "es", 0),
            ("LATER EL CAFÉ CON 20 %", "en", 0),
            ("VER LATER", "en", 0),
            ("Gratis, LATER lo nuevo", "es", 0),
            ("LATER o site com 20 %", "pt-BR", 0),
            ("TENEMOS DE LATER: CAFÉ Y TÉ", "es", 0),
            ("SCONTI SU TUTTO", "it", 0),
            ("Tallas BLANK-L, BLANK L y XL/BLANK", "es", 0),
            ("Taglia BLANKL, la BLANK edizione", "it", 0),
            ("LATERS, MÉTLATER, later", "en", 0),
        ] {
            let text = text.replace("LATER", LATER).replace("BLANK", BLANK).replace("later", "todo");
            assert_eq!(to_come(&text, Some(language)).len(), expected, "{text}");
        }
        let hosts = [
            "http://localhost:8080/x",
            "https://127.0.0.1",
            "https://localhost.example/",
            "mailto:a@localhost",
        ];
        assert_eq!(hosts.map(|target| own_host(target).is_some()), [true, true, false, false]);
    }
}
