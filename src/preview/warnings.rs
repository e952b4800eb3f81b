//! What somebody should look at before a mail goes out, and the dark copy of its HTML.

use crate::render::GMAIL_CLIP_BYTES;
use crate::render::Rendered;

/// More links than this look like spam, and nobody finds the one that matters.
const LINKS_MAX: usize = 40;
/// From this share of Gmail's limit on, one more product clips the mail.
const NEARLY_CLIPPED_PERCENT: usize = 90;
/// How authors ask for the dark scheme, without white space.
const DARK_QUERY: &str = "(prefers-color-scheme:dark)";

/// Sentences about one mail.
pub(super) fn warnings(mail: &Rendered) -> Vec<String> {
    let mut found = Vec::new();
    let kilobytes = mail.html.len().div_ceil(1024);
    if mail.is_clipped_by_gmail() {
        found.push(format!(
            "the HTML has {kilobytes} KB: Gmail hides what is over {} KB",
            GMAIL_CLIP_BYTES / 1024
        ));
    } else if mail.html.len() * 100 > GMAIL_CLIP_BYTES * NEARLY_CLIPPED_PERCENT {
        found.push(format!(
            "the HTML has {kilobytes} KB, close to the {} KB of Gmail",
            GMAIL_CLIP_BYTES / 1024
        ));
    }
    found.extend(mail.cut_by_inboxes().map(|(_, message)| message));
    if mail.preheader.trim().is_empty() {
        found.push("no preheader: inboxes show the first words of the body instead".to_owned());
    }
    let links = mail.html.matches("<a ").count();
    if links > LINKS_MAX {
        found.push(format!("{links} links: more than {LINKS_MAX} look like spam"));
    }
    if !has_dark_styles(&mail.html) {
        found.push("no styles for the dark scheme: apps invert its colours as they like".to_owned());
    }
    found
}

/// Whether the mail has styles of its own for the dark scheme.
pub(super) fn has_dark_styles(html: &str) -> bool {
    html.match_indices("@media").any(|(at, _)| media(&html[at..]).is_some_and(|(query, _)| is_dark(query)))
}

/// The same HTML with the dark styles switched on for everybody.
pub(super) fn in_the_dark(html: &str) -> String {
    let mut dark = String::with_capacity(html.len() + 64);
    let mut rest = html;
    while let Some(at) = rest.find("@media") {
        dark.push_str(&rest[..at]);
        rest = &rest[at..];
        match media(rest) {
            Some((query, body)) if is_dark(query) => {
                dark.push_str("@media all ");
                rest = body;
            }
            _ => {
                dark.push_str("@media");
                rest = &rest["@media".len()..];
            }
        }
    }
    dark.push_str(rest);
    dark.replacen("<head>", "<head><style>:root { color-scheme: dark; }</style>", 1)
}

/// What follows `@media` up to its brace, and the rest from the brace on.
fn media(text: &str) -> Option<(&str, &str)> {
    let brace = text.find('{')?;
    Some((&text["@media".len()..brace], &text[brace..]))
}

fn is_dark(query: &str) -> bool {
    let packed: String = query.chars().filter(|c| !c.is_whitespace()).collect();
    packed.eq_ignore_ascii_case(DARK_QUERY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dark_styles_are_switched_on_and_others_left_alone() {
        let html = "<head></head><style>@media (min-width:480px){a{}} @media (prefers-color-scheme: dark) { b{} }</style>";
        assert!(has_dark_styles(html));
        let dark = in_the_dark(html);
        assert!(dark.contains("@media (min-width:480px){a{}} @media all { b{} }"), "{dark}");
        assert!(dark.contains("color-scheme: dark"));
        assert!(!has_dark_styles(&dark));
        assert!(!has_dark_styles("<p>@media (prefers-color-scheme: light) {"));
    }

    #[test]
    fn a_mail_is_told_what_is_wrong_with_it() {
        let mail = |subject: &str, preheader: &str, html: String| Rendered {
            subject: subject.to_owned(),
            preheader: preheader.to_owned(),
            html,
            text: "text\n".to_owned(),
        };
        let dark = "@media (prefers-color-scheme:dark){}";
        for (mail, expected) in [
            (mail("Hello", "More", dark.to_owned()), vec![]),
            (mail("Hello", " ", dark.to_owned()), vec!["no preheader"]),
            (mail(&"x".repeat(71), "More", dark.to_owned()), vec!["the subject is over 70 characters"]),
            (mail("Hello", "More", format!("{dark}{}", "<a ".repeat(41))), vec!["41 links"]),
            (mail("Hello", "More", format!("{dark}{}", "x".repeat(110_000))), vec!["Gmail hides"]),
            (mail("Hello", "More", String::new()), vec!["no styles for the dark scheme"]),
        ] {
            let found = warnings(&mail);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            assert!(found.iter().zip(&expected).all(|(found, words)| found.contains(words)), "{found:?}");
        }
    }
}
