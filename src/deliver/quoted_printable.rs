//! Quoted-printable (RFC 2045 §6.7), fast: one pass, one output.

/// Longest encoded line without its CRLF.
const LINE_CHARACTERS_MAX: usize = 76;

/// Encodes text: CR, LF and CRLF become CRLF, lines are at most 76 characters, the output is printable ASCII.
pub fn encode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 8 + 16);
    let mut column = 0;
    let mut i = 0;
    while i < bytes.len() {
        let byte = bytes[i];
        match byte {
            b'\r' | b'\n' => {
                i += if byte == b'\r' && bytes.get(i + 1) == Some(&b'\n') { 2 } else { 1 };
                out.extend_from_slice(b"\r\n");
                column = 0;
                continue;
            }
            b' ' | b'\t' if !at_line_end(bytes, i) => push(&mut out, &mut column, &[byte]),
            b'!'..=b'<' | b'>'..=b'~' => {
                let run = literal_run(&bytes[i..])
                    .min(LINE_CHARACTERS_MAX - 1 - column.min(LINE_CHARACTERS_MAX - 1));
                if run > 1 {
                    out.extend_from_slice(&bytes[i..i + run]);
                    column += run;
                    i += run;
                    continue;
                }
                push(&mut out, &mut column, &[byte]);
            }
            _ => push(&mut out, &mut column, &[b'=', hex(byte >> 4), hex(byte & 15)]),
        }
        i += 1;
    }
    out
}

/// How many bytes from the start stand for themselves.
fn literal_run(bytes: &[u8]) -> usize {
    bytes.iter().position(|b| !matches!(b, b'!'..=b'<' | b'>'..=b'~')).unwrap_or(bytes.len())
}

/// White space before a line's end would be lost on the way, so it is encoded.
fn at_line_end(bytes: &[u8], i: usize) -> bool {
    matches!(bytes.get(i + 1), None | Some(b'\r' | b'\n'))
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

    use super::encode;

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

    proptest! {
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
