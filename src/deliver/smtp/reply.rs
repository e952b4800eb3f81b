//! What a server answered: parsed from bytes, bounded, never a panic.

use std::fmt::{self, Display, Formatter};

use bytes::{Buf, BytesMut};

/// Bytes of one reply, all its lines together, that are read before the server is given up.
pub const REPLY_BYTES_MAX: usize = 64 * 1024;
/// Lines of one reply that are read before the server is given up.
pub const REPLY_LINES_MAX: usize = 256;
/// Characters of a reply's text that [`Display`] shows; the whole text is in [`Reply::text`].
pub const REPLY_SHOWN_CHARS_MAX: usize = 300;

/// An enhanced status code (RFC 3463), such as 5.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnhancedCode {
    /// 2 success, 4 persistent transient failure, 5 permanent failure.
    pub class: u8,
    /// What the code is about: 1 addressing, 2 mailbox, 3 system, 4 network, 5 protocol, 6 content, 7 policy.
    pub subject: u16,
    /// The precise condition within the subject.
    pub detail: u16,
}

impl EnhancedCode {
    /// The code at the start of `text`, if the text starts with one.
    fn parse(text: &str) -> Option<Self> {
        let word = text.split_ascii_whitespace().next()?;
        let word = word.trim_end_matches([':', ';', ',']);
        let mut parts = word.split('.');
        let class = match parts.next()? {
            "2" => 2,
            "4" => 4,
            "5" => 5,
            _ => return None,
        };
        let subject = short_number(parts.next()?)?;
        let detail = short_number(parts.next()?)?;
        parts.next().is_none().then_some(Self { class, subject, detail })
    }
}

/// One to three digits and nothing else.
fn short_number(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

impl Display for EnhancedCode {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// A whole reply of the server, all its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The three digits, 200 to 599.
    pub code: u16,
    /// The enhanced code of the first line, if there is one and its class fits the code.
    pub enhanced: Option<EnhancedCode>,
    /// The lines without their codes, joined by a line feed. Bytes that are not UTF-8 are replaced, and so are
    /// control characters: the text is shown on terminals and pages.
    pub text: String,
}

impl Reply {
    /// The server took what we sent, or asks for more (2yz, 3yz).
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// The server may take it later (4yz).
    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// The server will not take it (5yz).
    pub fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    /// The lines of the text.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.split('\n')
    }
}

impl Display for Reply {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.code)?;
        for character in self.text.chars().take(REPLY_SHOWN_CHARS_MAX) {
            write!(f, "{}", if character == '\n' { ' ' } else { character })?;
        }
        if self.text.chars().nth(REPLY_SHOWN_CHARS_MAX).is_some() { write!(f, " …") } else { Ok(()) }
    }
}

/// Takes one whole reply off the front of `buffer`.
///
/// `Ok(None)` asks for more bytes. `scanned` is how many bytes of `buffer` were already searched for the end of a
/// line; the caller keeps it between calls and starts a reply with 0, so that a slow server costs no quadratic
/// search.
///
/// # Errors
///
/// What was wrong with the bytes: then the stream has no known state any more and must be dropped.
pub fn take_reply(buffer: &mut BytesMut, scanned: &mut usize) -> Result<Option<Reply>, String> {
    let end = loop {
        let Some(offset) = memchr::memchr(b'\n', &buffer[*scanned..]) else {
            *scanned = buffer.len();
            if buffer.len() > REPLY_BYTES_MAX {
                return Err(format!("a reply of more than {REPLY_BYTES_MAX} bytes"));
            }
            return Ok(None);
        };
        let line_start = memchr::memrchr(b'\n', &buffer[..*scanned]).map_or(0, |at| at + 1);
        let line_end = *scanned + offset;
        *scanned = line_end + 1;
        if *scanned > REPLY_BYTES_MAX {
            return Err(format!("a reply of more than {REPLY_BYTES_MAX} bytes"));
        }
        let (_, last, _) = split_line(&buffer[line_start..line_end])?;
        if last == Last::Yes {
            break *scanned;
        }
    };
    let reply = parse_lines(&buffer[..end])?;
    buffer.advance(end);
    *scanned = 0;
    Ok(Some(reply))
}

/// Whether a line ends its reply.
#[derive(PartialEq, Eq)]
enum Last {
    Yes,
    No,
}

/// Code, whether it is the reply's last line, text.
fn split_line(line: &[u8]) -> Result<(u16, Last, &[u8]), String> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let garbage = || {
        let shown: String = String::from_utf8_lossy(line).chars().take(60).collect();
        format!("a line that is no SMTP reply: {shown:?}")
    };
    let (digits, rest) = line.split_at_checked(3).ok_or_else(garbage)?;
    if !(b'2'..=b'5').contains(&digits[0]) || !digits.iter().all(u8::is_ascii_digit) {
        return Err(garbage());
    }
    let code = digits.iter().fold(0_u16, |code, digit| code * 10 + u16::from(digit - b'0'));
    match rest {
        [] => Ok((code, Last::Yes, rest)),
        [b' ', text @ ..] => Ok((code, Last::Yes, text)),
        [b'-', text @ ..] => Ok((code, Last::No, text)),
        _ => Err(garbage()),
    }
}

fn parse_lines(bytes: &[u8]) -> Result<Reply, String> {
    let mut reply: Option<Reply> = None;
    for (count, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if count >= REPLY_LINES_MAX {
            return Err(format!("a reply of more than {REPLY_LINES_MAX} lines"));
        }
        let (code, _, text) = split_line(line.strip_suffix(b"\n").unwrap_or(line))?;
        let text = clean(text);
        match &mut reply {
            None => {
                let enhanced =
                    EnhancedCode::parse(&text).filter(|enhanced| u16::from(enhanced.class) == code / 100);
                reply = Some(Reply { code, enhanced, text });
            }
            Some(first) if first.code == code => {
                first.text.push('\n');
                first.text.push_str(&text);
            }
            Some(first) => {
                return Err(format!("one reply with two codes, {} and {code}", first.code));
            }
        }
    }
    reply.ok_or_else(|| "an empty reply".to_owned())
}

fn clean(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) || !text.is_ascii() {
        text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
    } else {
        text.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Parses `bytes` at once and byte by byte: both must agree.
    fn parse(bytes: &[u8]) -> Result<Option<Reply>, String> {
        let mut buffer = BytesMut::from(bytes);
        let at_once = take_reply(&mut buffer, &mut 0);
        let (mut slow, mut scanned) = (BytesMut::new(), 0);
        let mut by_byte = Ok(None);
        for byte in bytes {
            slow.extend_from_slice(&[*byte]);
            by_byte = take_reply(&mut slow, &mut scanned);
            if !matches!(by_byte, Ok(None)) {
                break;
            }
        }
        assert_eq!(at_once, by_byte);
        at_once
    }

    fn reply(code: u16, enhanced: Option<(u8, u16, u16)>, text: &str) -> Reply {
        let enhanced = enhanced.map(|(class, subject, detail)| EnhancedCode { class, subject, detail });
        Reply { code, enhanced, text: text.to_owned() }
    }

    #[test]
    fn replies_of_real_servers_are_read() {
        assert_eq!(parse(b"250 2.1.0 Ok\r\n").unwrap().unwrap(), reply(250, Some((2, 1, 0)), "2.1.0 Ok"));
        assert_eq!(parse(b"250\r\n").unwrap().unwrap(), reply(250, None, ""));
        assert_eq!(parse(b"250 \n").unwrap().unwrap(), reply(250, None, ""));
        assert_eq!(parse(b"354 go ahead\n").unwrap().unwrap(), reply(354, None, "go ahead"));
        assert_eq!(
            parse(b"550-5.1.1 The email account\r\n550-5.1.1 does not exist.\r\n550 5.1.1 x\r\n")
                .unwrap()
                .unwrap(),
            reply(550, Some((5, 1, 1)), "5.1.1 The email account\n5.1.1 does not exist.\n5.1.1 x")
        );
        assert_eq!(
            parse(b"550 5.7.515: denied\r\n").unwrap().unwrap(),
            reply(550, Some((5, 7, 515)), "5.7.515: denied")
        );
        assert_eq!(
            parse(b"250 \xb3\xc9\xb9\xa6\r\n").unwrap().unwrap(),
            reply(250, None, "\u{fffd}\u{279}\u{fffd}")
        );
    }

    #[test]
    fn an_enhanced_code_counts_only_when_it_is_one() {
        for text in ["550 4.1.1 other class\r\n", "550 5.1 x\r\n", "550 5.1.1.1 x\r\n", "550 5..1 x\r\n"] {
            assert_eq!(parse(text.as_bytes()).unwrap().unwrap().enhanced, None, "{text}");
        }
        assert_eq!(parse(b"550 5.1.1000 x\r\n").unwrap().unwrap().enhanced, None);
        assert_eq!(parse(b"550 user 5.1.1 x\r\n").unwrap().unwrap().enhanced, None);
    }

    #[test]
    fn what_is_no_reply_is_garbage() {
        for bytes in [
            &b"\r\n"[..],
            b"25\r\n",
            b"2500 x\r\n",
            b"199 x\r\n",
            b"600 x\r\n",
            b"25x ok\r\n",
            b"HTTP/1.1 400 Bad Request\r\n",
            b"250-a\r\n251 b\r\n",
            b"\xff\xfe\xfd\xfc\n",
        ] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn endless_replies_end() {
        let line_without_end = vec![b'2'; REPLY_BYTES_MAX + 1];
        assert!(take_reply(&mut BytesMut::from(&line_without_end[..]), &mut 0).is_err());
        let many_short_lines = b"250-x\r\n".repeat(REPLY_LINES_MAX + 1);
        let mut buffer = BytesMut::from(&many_short_lines[..]);
        buffer.extend_from_slice(b"250 end\r\n");
        assert!(take_reply(&mut buffer, &mut 0).is_err());
        let many_long_lines = [b"250-".as_slice(), &[b'x'; 500], b"\r\n"].concat().repeat(200);
        assert!(take_reply(&mut BytesMut::from(&many_long_lines[..]), &mut 0).is_err());
    }

    #[test]
    fn what_follows_a_reply_stays_in_the_buffer() {
        let mut buffer = BytesMut::from(&b"250 a\r\n550 5.1.1 b\r\n354"[..]);
        let codes: Vec<_> = (0..2).map(|_| take_reply(&mut buffer, &mut 0).unwrap().unwrap().code).collect();
        assert_eq!((codes, &buffer[..]), (vec![250, 550], &b"354"[..]));
    }

    #[test]
    fn text_is_safe_to_show() {
        let reply = parse(b"250 \x1b[31mred\x07\r\n").unwrap().unwrap();
        assert_eq!(reply.text, "\u{fffd}[31mred\u{fffd}");
        let long = Reply { code: 550, enhanced: None, text: "é\n".repeat(1000) };
        assert_eq!(long.to_string().chars().count(), 4 + REPLY_SHOWN_CHARS_MAX + 2);
        assert!(!long.to_string().contains('\n'));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_text_panics(text in "[2-5][0-9]{2}[- ].{0,40}\r?\n") {
            prop_assert!(parse(text.as_bytes()).is_ok());
        }
    }
}
