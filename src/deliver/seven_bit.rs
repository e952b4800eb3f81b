//! Text as it is, in ASCII (`7bit`, RFC 2045 §2.7), where that says the same as quoted-printable: it is a tenth shorter,
//! costs a tenth of the time, and needs nothing of a relay.
//!
//! In HTML what is not ASCII becomes a character reference, and long lines are folded between the attributes of a tag,
//! where any white space means the same. What cannot be said so is not: the caller takes quoted-printable.

use std::borrow::Cow;

use memchr::memchr;
use memchr::memchr_iter;
use memchr::memchr2;
use memchr::memmem;
use memchr::memrchr;

/// Bytes of a line without its CRLF (RFC 5321 §4.5.3.1.6).
const LINE_BYTES_MAX: usize = 998;
/// This many bytes at a time are looked at for what is not ASCII.
const LOOK_BYTES: usize = 64;
/// Bytes of a word of this machine.
const WORD_BYTES: usize = size_of::<u64>();

/// What kind of text it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Markup {
    /// HTML.
    Html,
    /// Plain text.
    None,
}

/// The text cannot be written so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfit;

/// Appends a text, lines ended by CRLF; on `Err`, `out` may hold a part of it.
pub fn append(out: &mut Vec<u8>, text: &str, markup: Markup) -> Result<(), Unfit> {
    let text = match markup {
        Markup::Html => with_references(text)?,
        Markup::None if text.is_ascii() => Cow::Borrowed(text.as_bytes()),
        Markup::None => return Err(Unfit),
    };
    // NUL is forbidden, and `--=_` begins our boundaries.
    if memchr(0, &text).is_some() || memmem::find(&text, b"--=_").is_some() {
        return Err(Unfit);
    }
    let mut rest: &[u8] = &text;
    while !rest.is_empty() {
        let end = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        append_line(out, &rest[..end], markup)?;
        if end < rest.len() {
            out.extend_from_slice(b"\r\n");
        }
        let line_end = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = rest.get(end + line_end..).unwrap_or_default();
    }
    Ok(())
}

fn append_line(out: &mut Vec<u8>, line: &[u8], markup: Markup) -> Result<(), Unfit> {
    // It would be lost on the way.
    if markup == Markup::None && matches!(line.last(), Some(b' ' | b'\t')) {
        return Err(Unfit);
    }
    let mut rest = line;
    while rest.len() > LINE_BYTES_MAX {
        let fold = match markup {
            Markup::Html => space_in_tag(&rest[..=LINE_BYTES_MAX]),
            Markup::None => None,
        };
        let (folded, left) = rest.split_at(fold.ok_or(Unfit)?);
        out.extend_from_slice(folded);
        out.extend_from_slice(b"\r\n");
        rest = &left[1..];
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// The place of the last space behind the name of a tag. A value cannot hold what looks like one: its `<` is escaped.
fn space_in_tag(html: &[u8]) -> Option<usize> {
    let mut before = html;
    while let Some(tag) = memrchr(b'<', before) {
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':');
        let name = html[tag + 1..].iter().take_while(|byte| is_name(byte)).count();
        let space = tag + 1 + name;
        if name > 0 && html.get(space) == Some(&b' ') {
            return Some(space);
        }
        before = &html[..tag];
    }
    None
}

/// HTML in which all that is not ASCII is a character reference.
fn with_references(html: &str) -> Result<Cow<'_, [u8]>, Unfit> {
    let Some(mut at) = next_beyond_ascii(html.as_bytes(), 0) else {
        return Ok(Cow::Borrowed(html.as_bytes()));
    };
    let mut out = Vec::with_capacity(html.len() + html.len() / 8);
    let mut digits = itoa::Buffer::new();
    let mut copied = 0;
    let mut ends_with = None;
    loop {
        let before = &html.as_bytes()[copied..at];
        ends_with = behind(before, ends_with);
        if ends_with.is_some() {
            return Err(Unfit);
        }
        out.extend_from_slice(before);
        for character in html[at..].chars().take_while(|character| !character.is_ascii()) {
            // As references, HTML takes these for characters of Windows.
            if ('\u{80}'..='\u{9f}').contains(&character) {
                return Err(Unfit);
            }
            out.extend_from_slice(b"&#");
            out.extend_from_slice(digits.format(u32::from(character)).as_bytes());
            out.push(b';');
            at += character.len_utf8();
        }
        copied = at;
        match next_beyond_ascii(html.as_bytes(), at) {
            Some(next) => at = next,
            None => break,
        }
    }
    out.extend_from_slice(&html.as_bytes()[copied..]);
    Ok(Cow::Owned(out))
}

/// What ends the part behind this HTML in which references are no characters; `None` where they are. `ends_with` says
/// the same of its beginning.
fn behind(html: &[u8], mut ends_with: Option<&'static [u8]>) -> Option<&'static [u8]> {
    let mut rest = html;
    loop {
        let left = if let Some(end) = ends_with {
            let ended = memchr_iter(end[0], rest).find(|at| begins(&rest[*at..], end));
            let Some(at) = ended else { return ends_with };
            ends_with = None;
            at + end.len()
        } else {
            let begun = |at: usize| Some((at, without_references(&rest[at..])?));
            let (at, (begun, end)) = memchr_iter(b'<', rest).find_map(begun)?;
            ends_with = Some(end);
            at + begun
        };
        rest = &rest[left..];
    }
}

fn begins(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// How many bytes begin a part in which, whatever the case of its letters, a character reference is no character, and
/// what ends it; `None` for every other tag.
fn without_references(tag: &[u8]) -> Option<(usize, &'static [u8])> {
    let (start, end): (&[u8], &[u8]) = match tag.get(1)? {
        // What Outlook alone reads is HTML.
        b'!' if tag.starts_with(b"<!--") && !begins(tag, b"<!--[if") => return Some((b"<!".len(), b"-->")),
        b's' | b'S' if begins(tag, b"<style") => (b"<style", b"</style"),
        b's' | b'S' => (b"<script", b"</script"),
        b'x' | b'X' => (b"<xmp", b"</xmp"),
        _ => return None,
    };
    begins(tag, start).then_some((start.len(), end))
}

/// The place of the next byte that is not ASCII.
fn next_beyond_ascii(bytes: &[u8], from: usize) -> Option<usize> {
    let clean = bytes[from..].chunks(LOOK_BYTES).take_while(|chunk| chunk.is_ascii()).count();
    let start = from + clean * LOOK_BYTES;
    let (words, tail) = bytes.get(start..)?.as_chunks::<WORD_BYTES>();
    for (number, word) in words.iter().enumerate() {
        // The highest bit of each byte.
        let beyond = u64::from_le_bytes(*word) & 0x8080_8080_8080_8080;
        if beyond != 0 {
            return Some(start + number * WORD_BYTES + beyond.trailing_zeros() as usize / 8);
        }
    }
    let place = tail.iter().position(|byte| !byte.is_ascii())?;
    Some(start + words.len() * WORD_BYTES + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, markup: Markup) -> Result<String, Unfit> {
        let mut out = Vec::new();
        append(&mut out, text, markup).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn html_stays_what_it_is_for_whoever_reads_it() {
        for (html, expected) in [
            ("<p>plain = 1</p>\n", Ok("<p>plain = 1</p>\r\n")),
            ("<p title=\"é\">’</p>\r\nx\ry", Ok("<p title=\"&#233;\">&#8217;</p>\r\nx\r\ny")),
            ("👩‍👧", Ok("&#128105;&#8205;&#128103;")),
            ("<!--[if mso]><p>é</p><![endif]-->", Ok("<!--[if mso]><p>&#233;</p><![endif]-->")),
            ("<style>a::before{content:'→'}</style>", Err(Unfit)),
            ("<STYLE>@media (width <= 600px){a::before{content:'→'}}</STYLE>", Err(Unfit)),
            ("<script>{\"a\": \"<b>é\"}</script>", Err(Unfit)),
            ("<style>a{}</style>é", Ok("<style>a{}</style>&#233;")),
            ("<!--[if !mso]><!-->é<!--<![endif]-->", Ok("<!--[if !mso]><!-->&#233;<!--<![endif]-->")),
            ("<!-- é -->", Err(Unfit)),
            ("<!-- a --><!--->é", Ok("<!-- a --><!--->&#233;")),
            ("\u{85}", Err(Unfit)),
            ("a\0b", Err(Unfit)),
            ("<p>--=_x</p>", Err(Unfit)),
        ] {
            assert_eq!(written(html, Markup::Html), expected.map(str::to_owned), "{html}");
        }
    }

    #[test]
    fn long_lines_are_folded_inside_tags_only() {
        let cell = "<td align=\"left\" style=\"color: red; margin: 0 auto\">two words</td>";
        let html = cell.repeat(100);
        let folded = written(&html, Markup::Html).unwrap();
        assert!(folded.lines().count() >= 7, "{}", folded.lines().count());
        assert!(folded.lines().all(|line| line.len() <= LINE_BYTES_MAX));
        assert!(folded.lines().skip(1).all(|line| line.starts_with("align=")));
        assert_eq!(folded.replace("\r\n", " "), html);
        for unbroken in ["word ".repeat(300), format!("<p>{}</p>", "x".repeat(2_000))] {
            assert_eq!(written(&unbroken, Markup::Html), Err(Unfit));
        }
        assert!(written(&"x".repeat(LINE_BYTES_MAX), Markup::Html).is_ok());
        assert!(written(&"x".repeat(LINE_BYTES_MAX + 1), Markup::Html).is_err());
    }

    #[test]
    fn plain_text_is_written_as_it_is_or_not_at_all() {
        assert_eq!(written("one\n\n. two\r\n", Markup::None), Ok("one\r\n\r\n. two\r\n".to_owned()));
        let long = "x".repeat(LINE_BYTES_MAX + 1);
        for unfit in ["é", "end \n", "end\t", "--=_", long.as_str()] {
            assert_eq!(written(unfit, Markup::None), Err(Unfit), "{unfit}");
        }
    }
}
