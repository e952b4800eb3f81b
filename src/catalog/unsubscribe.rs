//! Whether a rendered mail has a link by which its reader can unsubscribe: one that can be seen.

use crate::render::Part;
use crate::render::Rendered;

/// What a mail lacks, and what to write.
pub(super) struct Missing {
    /// Where.
    pub(super) part: Part,
    pub(super) message: &'static str,
    pub(super) help: &'static str,
}

/// Nothing where both the HTML and the text of the mail show `address`.
pub(super) fn missing(mail: &Rendered, address: &str) -> Option<Missing> {
    if !shows_link(&mail.html, address) {
        return Some(Missing {
            part: Part::Body,
            message: "this lifecycle mail has no unsubscribe link that can be seen",
            help: "write `<a href=\"{{ links.unsubscribe }}\">Unsubscribe</a>` into its layout, outside of conditions",
        });
    }
    (!mail.text.contains(address)).then_some(Missing {
        part: Part::Text,
        message: "the plain text of this lifecycle mail has no unsubscribe link",
        help: "write `Unsubscribe: {{ links.unsubscribe }}` at its end, outside of conditions",
    })
}

/// Whether one of the links to `address` has words, or a picture with words.
fn shows_link(html: &str, address: &str) -> bool {
    let href = format!("href=\"{address}\"");
    html.match_indices(&href).any(|(at, _)| {
        let rest = &html[at..];
        let Some(start) = rest.find('>') else { return false };
        let end = rest.find("</a>").unwrap_or(rest.len());
        rest.get(start + 1..end).is_some_and(has_words)
    })
}

fn has_words(inner: &str) -> bool {
    let mut pieces = inner.split('<');
    let first = pieces.next().unwrap_or_default();
    let is_word = |text: &str| without_references(text).any(char::is_alphanumeric);
    is_word(first)
        || pieces.any(|piece| {
            let (tag, text) = piece.split_once('>').unwrap_or((piece, ""));
            let alternative = tag.split_once("alt=\"").and_then(|(_, alt)| alt.split('"').next());
            is_word(text) || alternative.is_some_and(is_word)
        })
}

/// The characters of a text without its `&nbsp;` and the like, of which none is a word.
fn without_references(text: &str) -> impl Iterator<Item = char> {
    let mut inside = false;
    text.chars().filter(move |c| {
        inside = (inside || *c == '&') && *c != ';';
        !inside
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_counts_when_it_can_be_seen() {
        for (html, expected) in [
            ("<p><a href=\"U\">Unsubscribe</a></p>", true),
            ("<a style=\"x\" href=\"U\" target=\"_blank\"><b> Abmelden </b></a>", true),
            ("<a href=\"U\"><img src=\"x\" alt=\"Unsubscribe\"></a>", true),
            ("<a href=\"V\">View</a>", false),
            ("<a href=\"U\"></a><p>Unsubscribe</p>", false),
            ("<a href=\"U\">&nbsp;&#160; <span></span></a>", false),
            ("<a href=\"U\"><img src=\"x\" alt=\"\"></a>", false),
            ("<a href=\"U\"></a> <a href=\"U\">here</a>", true),
            ("U", false),
        ] {
            assert_eq!(shows_link(html, "U"), expected, "{html}");
        }
    }
}
