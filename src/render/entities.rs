//! HTML character references: to plain text, and back where plain text becomes HTML.

/// The named references that mail authors write. Others stay as they are.
const NAMED: &[(&str, &str)] = &[
    ("amp", "&"),
    ("lt", "<"),
    ("gt", ">"),
    ("quot", "\""),
    ("apos", "'"),
    ("nbsp", "\u{a0}"),
    ("shy", "\u{ad}"),
    ("zwnj", "\u{200c}"),
    ("zwj", "\u{200d}"),
    ("ensp", "\u{2002}"),
    ("emsp", "\u{2003}"),
    ("thinsp", "\u{2009}"),
    ("ndash", "–"),
    ("mdash", "—"),
    ("hellip", "…"),
    ("lsquo", "‘"),
    ("rsquo", "’"),
    ("sbquo", "‚"),
    ("ldquo", "“"),
    ("rdquo", "”"),
    ("bdquo", "„"),
    ("laquo", "«"),
    ("raquo", "»"),
    ("lsaquo", "‹"),
    ("rsaquo", "›"),
    ("bull", "•"),
    ("middot", "·"),
    ("copy", "©"),
    ("reg", "®"),
    ("trade", "™"),
    ("deg", "°"),
    ("sect", "§"),
    ("para", "¶"),
    ("dagger", "†"),
    ("times", "×"),
    ("divide", "÷"),
    ("plusmn", "±"),
    ("minus", "−"),
    ("frac12", "½"),
    ("frac14", "¼"),
    ("frac34", "¾"),
    ("sup2", "²"),
    ("sup3", "³"),
    ("euro", "€"),
    ("pound", "£"),
    ("yen", "¥"),
    ("cent", "¢"),
    ("larr", "←"),
    ("rarr", "→"),
    ("uarr", "↑"),
    ("darr", "↓"),
    ("check", "✓"),
    ("hearts", "♥"),
    ("star", "☆"),
    ("starf", "★"),
    ("iexcl", "¡"),
    ("iquest", "¿"),
    ("auml", "ä"),
    ("ouml", "ö"),
    ("uuml", "ü"),
    ("Auml", "Ä"),
    ("Ouml", "Ö"),
    ("Uuml", "Ü"),
    ("szlig", "ß"),
    ("eacute", "é"),
    ("egrave", "è"),
    ("ecirc", "ê"),
    ("agrave", "à"),
    ("acirc", "â"),
    ("ccedil", "ç"),
    ("ntilde", "ñ"),
    ("oslash", "ø"),
    ("aring", "å"),
    ("aelig", "æ"),
];

/// Longest reference that is looked for, in bytes with `&` and `;`.
const REFERENCE_BYTES_MAX: usize = 12;

/// Replaces character references by what they stand for.
pub(super) fn decode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.bytes().take(REFERENCE_BYTES_MAX).position(|byte| byte == b';');
        if let Some((end, character)) = end.and_then(|end| Some((end, reference(&rest[1..end])?))) {
            out.push_str(&character);
            rest = &rest[end + 1..];
        } else {
            out.push('&');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

/// Writes what HTML gives a meaning as character references.
pub(super) fn escape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let written = tera::escape_html(text, &mut out).ok().and_then(|()| String::from_utf8(out).ok());
    written.expect("text stays text, and memory takes it")
}

fn reference(name: &str) -> Option<String> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).filter(|character| !character.is_control()).map(String::from);
    }
    NAMED.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn references_become_characters_and_the_rest_stays() {
        for (html, expected) in [
            ("Tom &amp; Jerry", "Tom & Jerry"),
            ("&#8364;5 &#x20AC;5 &euro;5", "€5 €5 €5"),
            ("a & b &nope; &", "a & b &nope; &"),
            ("&amp;lt;", "&lt;"),
            ("&#0;&#x110000;", "&#0;&#x110000;"),
            ("ü&é", "ü&é"),
        ] {
            assert_eq!(decode(html), expected);
        }
    }
}
