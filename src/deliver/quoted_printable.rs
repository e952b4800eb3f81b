//! Quoted-printable (RFC 2045 §6.7), fast: one pass, one output.

/// Longest encoded line without its CRLF.
const LINE_CHARACTERS_MAX: usize = 76;

/// What becomes of a byte.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// It stands for itself.
    Literal,
    /// It stands for itself, but not at the end of a line.
    Space,
    /// It ends a line.
    LineEnd,
    /// It is written as `=` and two digits.
    Encoded,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Encoded; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        classes[byte as usize] = Class::Literal;
        byte += 1;
    }
    classes[b'=' as usize] = Class::Encoded;
    classes[b' ' as usize] = Class::Space;
    classes[b'\t' as usize] = Class::Space;
    classes[b'\r' as usize] = Class::LineEnd;
    classes[b'\n' as usize] = Class::LineEnd;
    classes
};

fn class(byte: u8) -> Class {
    CLASSES[usize::from(byte)]
}

/// Appends text encoded: CR, LF and CRLF become CRLF, lines are at most 76 characters, the output is printable ASCII.
pub fn append(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    let mut column = 0;
    while let Some(byte) = rest.first().copied() {
        let run = literal_run(rest, LINE_CHARACTERS_MAX - 1 - column);
        if run > 0 {
            out.extend_from_slice(&rest[..run]);
            column += run;
            rest = &rest[run..];
            continue;
        }
        let mut taken = 1;
        match class(byte) {
            Class::LineEnd => {
                taken += usize::from(rest.starts_with(b"\r\n"));
                out.extend_from_slice(b"\r\n");
                column = 0;
            }
            Class::Space if !ends_line(rest, 1) => push(out, &mut column, &[byte]),
            Class::Literal => push(out, &mut column, &[byte]),
            Class::Space | Class::Encoded => {
                push(out, &mut column, &[b'=', hex(byte >> 4), hex(byte & 15)]);
            }
        }
        rest = &rest[taken..];
    }
}

/// How many bytes from the start stand for themselves, as far as there is room for them in the line.
fn literal_run(bytes: &[u8], room: usize) -> usize {
    let window = &bytes[..room.min(bytes.len())];
    let stands = |byte: &u8| matches!(class(*byte), Class::Literal | Class::Space);
    let run = window.iter().position(|byte| !stands(byte)).unwrap_or(window.len());
    // Of white space before a line's end, the last is encoded.
    let held = run > 0 && class(bytes[run - 1]) == Class::Space && ends_line(bytes, run);
    run - usize::from(held)
}

/// White space before a line's end would be lost on the way, so it is encoded.
fn ends_line(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_none_or(|byte| class(*byte) == Class::LineEnd)
}

fn push(out: &mut Vec<u8>, column: &mut usize, token: &[u8]) {
    if *column + token.len() > LINE_CHARACTERS_MAX - 1 {
        out.extend_from_slice(b"=\r\n");
        *column = 0;
    }
    out.extend_from_slice(token);
    *column += token.len();
}

fn hex(nibble: u8) -> u8 {
    b"0123456789ABCDEF"[usize::from(nibble)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    fn encode(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        super::append(&mut out, text);
        out
    }

    fn decoded(encoded: &[u8]) -> String {
        let raw = [b"Content-Transfer-Encoding: quoted-printable\r\n\r\n".as_slice(), encoded].concat();
        let parsed = mail_parser::MessageParser::new().parse(&raw).unwrap();
        parsed.body_text(0).unwrap_or_default().into_owned()
    }

    #[test]
    fn what_is_safe_stays_and_what_is_not_is_encoded() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a = b", "a =3D b"),
            ("end \nnext\t", "end=20\r\nnext=09"),
            ("é", "=C3=A9"),
            ("\r\n\n\r", "\r\n\r\n\r\n"),
        ] {
            assert_eq!(String::from_utf8(encode(text)).unwrap(), expected, "{text:?}");
        }
    }

    /// The same, one byte at a time.
    fn encoded_slowly(text: &str) -> Vec<u8> {
        let (bytes, mut out, mut column) = (text.as_bytes(), Vec::new(), 0);
        for (i, byte) in bytes.iter().copied().enumerate() {
            let line_ends = matches!(bytes.get(i + 1), None | Some(b'\r' | b'\n'));
            match byte {
                b'\n' if i > 0 && bytes[i - 1] == b'\r' => {}
                b'\r' | b'\n' => {
                    out.extend_from_slice(b"\r\n");
                    column = 0;
                }
                b'!'..=b'<' | b'>'..=b'~' => super::push(&mut out, &mut column, &[byte]),
                b' ' | b'\t' if !line_ends => super::push(&mut out, &mut column, &[byte]),
                _ => super::push(&mut out, &mut column, format!("={byte:02X}").as_bytes()),
            }
        }
        out
    }

    proptest! {
        #[test]
        fn runs_give_what_single_bytes_give(text in "([ -~]{0,90}[\\PC\t\r\n= ]{0,3}){0,6}") {
            let (found, expected) = (encode(&text), encoded_slowly(&text));
            prop_assert_eq!(String::from_utf8(found), String::from_utf8(expected));
        }

        #[test]
        fn another_parser_reads_it_back(text in "[ -~\t\né=.]{0,400}") {
            let encoded = encode(&text);
            for line in encoded.split(|b| *b == b'\n') {
                prop_assert!(line.len() <= 77, "line of {}", line.len());
            }
            prop_assert!(encoded.iter().all(|b| matches!(b, b' '..=b'~' | b'\t' | b'\r' | b'\n')));
            prop_assert_eq!(decoded(&encoded).replace("\r\n", "\n"), text);
        }
    }
}
