//! Tera tags behind opaque words: MJML sees only plain words, and every tag is counted when it comes back.

use std::ops::Range;

use super::fault::CompileFault;
use super::fault::Part;
use super::writer::Form;

/// What a tag is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TagKind {
    /// `{{ … }}`.
    Expression,
    /// `{% … %}`.
    Control,
    /// `{# … #}`.
    Comment,
}

/// One Tera tag of a source text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) kind: TagKind,
    /// With its delimiters.
    pub(super) range: Range<usize>,
    /// Without delimiters and whitespace control.
    pub(super) inner: Range<usize>,
}

/// Finds all tags, by the rules of Tera's own lexer: a tag ends at the first closing delimiter outside a string.
pub(super) fn find_tags(source: &str, part: Part) -> Result<Vec<Tag>, CompileFault> {
    let bytes = source.as_bytes();
    let mut tags = Vec::new();
    let mut at = 0;
    while let Some(start) = next_start(bytes, at) {
        let kind = match bytes[start + 1] {
            b'{' => TagKind::Expression,
            b'%' => TagKind::Control,
            _ => TagKind::Comment,
        };
        let inner_start = start + if bytes.get(start + 2) == Some(&b'-') { 3 } else { 2 };
        let end = match kind {
            TagKind::Comment => source[start + 2..].find("#}").map(|offset| start + 2 + offset),
            TagKind::Expression => close(bytes, inner_start, *b"}}"),
            TagKind::Control => close(bytes, inner_start, *b"%}"),
        };
        let Some(end) = end else {
            let open = &source[start..start + 2];
            let fault = CompileFault::new(part, start..start + 2, format!("`{open}` is never closed"));
            return Err(fault.help("close the tag, and close every quote inside it"));
        };
        let inner_end = if end > inner_start && bytes[end - 1] == b'-' { end - 1 } else { end };
        let inner = inner_start..inner_end.max(inner_start);
        if kind == TagKind::Control && source[inner.clone()].trim() == "raw" {
            let fault = CompileFault::new(
                part,
                start..end + 2,
                "`{% raw %}` would show template tags to the customer",
            );
            return Err(fault.help("write the words that the customer should read"));
        }
        tags.push(Tag { kind, range: start..end + 2, inner });
        at = end + 2;
    }
    Ok(tags)
}

fn next_start(bytes: &[u8], from: usize) -> Option<usize> {
    bytes[from..]
        .windows(2)
        .position(|pair| matches!(pair, b"{{" | b"{%" | b"{#"))
        .map(|offset| from + offset)
}

/// Where `delimiter` stands first outside a string.
fn close(bytes: &[u8], from: usize, delimiter: [u8; 2]) -> Option<usize> {
    let mut at = from;
    while at + 1 < bytes.len() {
        match bytes[at] {
            quote @ (b'"' | b'\'' | b'`') => {
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            _ if bytes[at..at + 2] == delimiter => return Some(at),
            _ => at += 1,
        }
    }
    None
}

/// One opaque word and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// What comes back in its place.
    pub(super) restored: String,
    /// What comes back in its place in the plain text, where that is something else.
    pub(super) in_text: Option<String>,
    /// Bytes of the source that it stands for.
    pub(super) source: Range<usize>,
    /// Index into the tags that it stands for; a rewritten link may hold several.
    pub(super) tags: Range<usize>,
}

/// The words of one template.
#[derive(Debug, Clone)]
pub(super) struct Words {
    prefix: String,
    words: Vec<Word>,
}

impl Words {
    /// A prefix that does not occur in `source`.
    pub(super) fn new(source: &str) -> Self {
        let mut prefix = "tq".to_owned();
        let mut round = 0_u32;
        while source.contains(&prefix) {
            prefix = format!("tq{round}q");
            round += 1;
        }
        Self { prefix, words: Vec::new() }
    }

    /// A new word. It is valid in text, in attribute names and values, in CSS and in addresses.
    pub(super) fn add(&mut self, word: Word) -> String {
        self.words.push(word);
        format!("{}{}z", self.prefix, self.words.len() - 1)
    }

    /// The word with this index.
    pub(super) fn get(&self, index: usize) -> Option<&Word> {
        self.words.get(index)
    }

    /// Every word.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Word> {
        self.words.iter()
    }

    /// Changes what comes back in the place of a word.
    pub(super) fn set_restored(&mut self, index: usize, restored: String) {
        if let Some(word) = self.words.get_mut(index) {
            word.restored = restored;
        }
    }

    /// Where words stand in `text`: each with its place and its index.
    pub(super) fn find<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (Range<usize>, usize)> + 'a {
        let mut at = 0;
        std::iter::from_fn(move || {
            loop {
                let start = at + text[at..].find(&self.prefix)?;
                let digits = &text[start + self.prefix.len()..];
                let length = digits.bytes().take_while(u8::is_ascii_digit).count();
                at = start + self.prefix.len();
                if digits.as_bytes().get(length) == Some(&b'z')
                    && let Ok(index) = digits[..length].parse::<usize>()
                    && index < self.words.len()
                {
                    at += length + 1;
                    return Some((start..at, index));
                }
            }
        })
    }

    /// Puts the tags back. Says where each came from and how often each word stood in `text`.
    pub(super) fn restore(&self, text: &str, form: Form) -> Restored {
        let mut out = String::with_capacity(text.len() * 2);
        let mut pieces = Vec::new();
        let mut counts = vec![0_u32; self.words.len()];
        let mut at = 0;
        for (range, index) in self.find(text) {
            out.push_str(&text[at..range.start]);
            let start = out.len();
            let word = &self.words[index];
            out.push_str(word.in_text.as_ref().filter(|_| form == Form::Text).unwrap_or(&word.restored));
            pieces.push(Piece { out: start..out.len(), source: word.source.clone() });
            counts[index] += 1;
            at = range.end;
        }
        out.push_str(&text[at..]);
        Restored { text: out, pieces, counts }
    }
}

/// A text with its tags back.
#[derive(Debug)]
pub(super) struct Restored {
    pub(super) text: String,
    /// In the order of the text.
    pub(super) pieces: Vec<Piece>,
    /// By word.
    pub(super) counts: Vec<u32>,
}

/// A place of a text, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) out: Range<usize>,
    pub(super) source: Range<usize>,
}

/// A text made from a source by replacing places in it.
#[derive(Debug)]
pub(super) struct Edited {
    pub(super) text: String,
    /// Replaced places, in order. Between them, text and source are the same.
    pieces: Vec<Piece>,
}

/// Masks all `tags` of `source`. The word of a tag has the tag's index.
pub(super) fn mask(source: &str, tags: &[Tag], words: &mut Words) -> Edited {
    let edits = tags.iter().enumerate().map(|(index, tag)| {
        let restored = if tag.kind == TagKind::Comment { "" } else { &source[tag.range.clone()] };
        let (restored, source) = (restored.to_owned(), tag.range.clone());
        let word = Word { restored, in_text: None, source, tags: index..index + 1 };
        (tag.range.clone(), words.add(word))
    });
    Edited::new(source, edits)
}

impl Edited {
    /// Replaces each range, in order, by its text.
    pub(super) fn new(source: &str, edits: impl IntoIterator<Item = (Range<usize>, String)>) -> Self {
        let mut edited = Self { text: String::with_capacity(source.len()), pieces: Vec::new() };
        let mut at = 0;
        for (range, replacement) in edits {
            edited.text.push_str(&source[at..range.start]);
            let start = edited.text.len();
            edited.text.push_str(&replacement);
            at = range.end;
            edited.pieces.push(Piece { out: start..edited.text.len(), source: range });
        }
        edited.text.push_str(&source[at..]);
        edited
    }

    /// The bytes of the source that `range` of the text came from.
    pub(super) fn source(&self, range: &Range<usize>) -> Range<usize> {
        let start = self.offset(range.start, |piece| piece.source.start);
        start..self.offset(range.end, |piece| piece.source.end).max(start)
    }

    fn offset(&self, at: usize, inside: impl Fn(&Piece) -> usize) -> usize {
        let after = self.pieces.partition_point(|piece| piece.out.start < at);
        match after.checked_sub(1).map(|index| &self.pieces[index]) {
            None => at,
            Some(piece) if at < piece.out.end => inside(piece),
            Some(piece) => at - piece.out.end + piece.source.end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(source: &str) -> Vec<&str> {
        let tags = find_tags(source, Part::Body).expect("closed tags");
        tags.into_iter().map(|tag| &source[tag.range]).collect()
    }

    #[test]
    fn tags_end_where_tera_ends_them() {
        for (source, expected) in [
            ("a {{ b }} c", vec!["{{ b }}"]),
            ("{% if a < 3 %}x{% endif %}", vec!["{% if a < 3 %}", "{% endif %}"]),
            ("{{ '}}' }}{{ \"a\\\"}}\" }}", vec!["{{ '}}' }}", "{{ \"a\\\"}}\" }}"]),
            ("{{ `}}` }}", vec!["{{ `}}` }}"]),
            ("{# it's #}{{- x -}}", vec!["{# it's #}", "{{- x -}}"]),
            ("{{<b n={x}/>}}", vec!["{{<b n={x}/>}}"]),
            ("{ { }} {", vec![]),
        ] {
            assert_eq!(tags(source), expected, "{source}");
        }
    }

    #[test]
    fn open_tags_and_raw_blocks_are_faults() {
        for source in ["a {{ b", "{% if 'x %}", "{# c", "{{ \"a }}", "{%- raw -%}{{ x }}{% endraw %}"] {
            assert!(find_tags(source, Part::Body).is_err(), "{source}");
        }
    }

    #[test]
    fn masking_and_restoring_give_the_source_back() {
        let source = "tq0z <p title='{{ a | b(c=\"x\") }}'>{% if x < 3 %}é{{- y -}}{% endif %}</p> tq";
        let tags = find_tags(source, Part::Body).expect("closed tags");
        let mut words = Words::new(source);
        let masked = mask(source, &tags, &mut words);
        assert!(!masked.text.contains('{'), "{}", masked.text);
        let restored = words.restore(&masked.text, Form::Html);
        assert_eq!(restored.text, source);
        assert_eq!(restored.counts, [1, 1, 1, 1]);
        for piece in &restored.pieces {
            assert_eq!(piece.out, piece.source);
        }
        for (place, index) in words.find(&masked.text) {
            assert_eq!(masked.source(&place), tags[index].range);
        }
        let end = masked.text.len();
        assert_eq!(masked.source(&(end - 2..end)), source.len() - 2..source.len());
    }
}
