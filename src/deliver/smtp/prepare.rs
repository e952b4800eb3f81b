//! A message in the form that goes over the wire: CRLF line ends, stuffed dots, the final dot.

use memchr::memchr3;

/// Bytes of one line without its CRLF (RFC 5321 §4.5.3.1.6); a dot added for transparency does not count.
pub const LINE_BYTES_MAX: usize = 998;

/// Bytes of one message on the wire.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A message ready to be written after 354, with its final `CRLF . CRLF`.
///
/// Whoever holds one knows: every line ends with CRLF, there is no other CR or LF, no NUL, no line over
/// [`LINE_BYTES_MAX`], and the sequence `CRLF . CRLF` occurs at the very end only. No content can end the
/// message early or smuggle a second one (CVE-2023-51764).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    wire: Vec<u8>,
    traits: BodyTraits,
}

impl Prepared {
    /// The bytes as written to the server.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// What MAIL FROM has to announce.
    pub fn traits(&self) -> BodyTraits {
        self.traits
    }
}

/// What MAIL FROM must announce about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyTraits {
    /// For SIZE: bytes with CRLF line ends, before dot-stuffing, without the final dot.
    pub size_bytes: u64,
    /// Which bytes occur.
    pub content: Content,
}

/// Which of the extensions for bytes above 127 a message needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Only ASCII: any server takes it.
    SevenBit,
    /// The body is not ASCII: needs 8BITMIME.
    EightBit,
    /// The header section is not ASCII (RFC 6532): needs SMTPUTF8 and 8BITMIME.
    Utf8Header,
}

/// Why a message cannot be put on the wire. Lines count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// A NUL byte: RFC 5321 forbids it, and servers cut or refuse the message there.
    #[error("line {line} of the message has a NUL byte")]
    Nul {
        /// Where.
        line: usize,
    },
    /// A line that servers may fold, cut or refuse.
    #[error("line {line} of the message has {bytes} bytes, more than {LINE_BYTES_MAX}")]
    LongLine {
        /// Where.
        line: usize,
        /// Its length without the line end.
        bytes: usize,
    },
    /// More than any server takes.
    #[error("the message has {bytes} bytes, more than {MESSAGE_BYTES_MAX}")]
    TooLarge {
        /// Of the message as given.
        bytes: usize,
    },
}

/// Makes `message` ready for the wire: CR, LF and CRLF all become CRLF, dots are stuffed, a missing last line end
/// is added, and the final dot follows. A message that is given away and needs no change is not copied.
///
/// # Errors
///
/// When the message has a NUL, a line over [`LINE_BYTES_MAX`], or more than [`MESSAGE_BYTES_MAX`] bytes.
pub fn prepare(message: impl Into<Vec<u8>>) -> Result<Prepared, PrepareError> {
    let message: Vec<u8> = message.into();
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(PrepareError::TooLarge { bytes: message.len() });
    }
    let mut wire = Vec::new();
    let (mut rest, mut line, mut stuffed_bytes) = (&message[..], 1, 0);
    // Start of what is not copied yet: runs of clean lines are copied in one piece.
    let mut run = rest;
    while !rest.is_empty() {
        let length = memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
        if rest.get(length) == Some(&0) {
            return Err(PrepareError::Nul { line });
        }
        if length > LINE_BYTES_MAX {
            return Err(PrepareError::LongLine { line, bytes: length });
        }
        let is_clean = rest[0] != b'.' && rest[length..].starts_with(b"\r\n");
        if !is_clean && wire.is_empty() {
            wire.reserve(message.len() + message.len() / 32 + 64);
        }
        if rest[0] == b'.' {
            wire.extend_from_slice(&run[..run.len() - rest.len()]);
            run = rest;
            wire.push(b'.');
            stuffed_bytes += 1;
        }
        line += 1;
        if rest[length..].starts_with(b"\r\n") {
            rest = &rest[length + 2..];
        } else {
            wire.extend_from_slice(&run[..run.len() - rest.len() + length]);
            wire.extend_from_slice(b"\r\n");
            rest = rest.get(length + 1..).unwrap_or_default();
            run = rest;
        }
    }
    if wire.is_empty() {
        wire = message;
    } else {
        wire.extend_from_slice(run);
    }
    let traits = BodyTraits { size_bytes: (wire.len() - stuffed_bytes) as u64, content: content(&wire) };
    wire.extend_from_slice(b".\r\n");
    Ok(Prepared { wire, traits })
}

fn content(wire: &[u8]) -> Content {
    if wire.is_ascii() {
        return Content::SevenBit;
    }
    let header_end = memchr::memmem::find(wire, b"\r\n\r\n").unwrap_or(wire.len());
    if wire[..header_end].is_ascii() { Content::EightBit } else { Content::Utf8Header }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slow and obvious reading of a message: lines by any line end.
    fn normalised(message: &[u8]) -> Vec<u8> {
        let text = String::from_utf8(message.to_vec()).unwrap();
        let unified = text.replace("\r\n", "\n").replace('\r', "\n");
        let ended =
            if unified.is_empty() || unified.ends_with('\n') { unified } else { format!("{unified}\n") };
        ended.replace('\n', "\r\n").into_bytes()
    }

    /// What a server makes of the wire: lines until the lone dot, one dot less where a line starts with one.
    /// Returns the message and what is left after its end.
    fn unstuffed(wire: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (mut message, mut rest) = (Vec::new(), wire);
        loop {
            let end = memchr::memmem::find(rest, b"\r\n").expect("a server would wait for more") + 2;
            let (line, tail) = rest.split_at(end);
            rest = tail;
            if line == b".\r\n" {
                return (message, rest.to_vec());
            }
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
    }

    #[test]
    fn every_short_message_of_line_ends_and_dots_comes_out_as_it_went_in() {
        const ALPHABET: &[u8] = b"\r\n.a";
        let mut tried = 0;
        for length in 0..=8_u32 {
            for number in 0..4_usize.pow(length) {
                let message: Vec<u8> =
                    (0..length).map(|place| ALPHABET[number / 4_usize.pow(place) % 4]).collect();
                let prepared = prepare(message.as_slice()).unwrap();
                let expected = normalised(&message);
                assert_eq!(prepared.traits().size_bytes, expected.len() as u64, "{message:?}");
                assert_eq!(unstuffed(prepared.wire()), (expected, Vec::new()), "{message:?}");
                tried += 1;
            }
        }
        assert_eq!(tried, (4_usize.pow(9) - 1) / 3);
    }

    #[test]
    fn smuggled_ends_of_data_stay_inside_the_message() {
        for end in ["\n.\n", "\r.\r", "\n.\r\n", "\r\n.\r", "\r\n.\n", "\r\n.\r\n", "\r.\n"] {
            let message = format!("Subject: x\r\n\r\na{end}MAIL FROM:<evil@example.test>\r\n");
            let prepared = prepare(message.as_bytes()).unwrap();
            let ends = memchr::memmem::find_iter(prepared.wire(), b"\r\n.\r\n").count();
            assert_eq!(ends, 1, "{end:?}");
            assert!(prepared.wire().ends_with(b"test>\r\n.\r\n"));
        }
    }

    fn check(message: &[u8], expected: Result<Content, PrepareError>) {
        let shown = String::from_utf8_lossy(&message[..message.len().min(40)]).into_owned();
        assert_eq!(prepare(message).map(|prepared| prepared.traits().content), expected, "{shown:?}");
    }

    #[test]
    fn what_no_server_may_see_is_refused_and_the_rest_is_labelled() {
        check(b"Subject: x\r\n\r\nabc", Ok(Content::SevenBit));
        check("Subject: x\n\nabcü".as_bytes(), Ok(Content::EightBit));
        check("Subject: ü\n\nabc".as_bytes(), Ok(Content::Utf8Header));
        check("Subject: ü".as_bytes(), Ok(Content::Utf8Header));
        check(b"a\r\nb\0c", Err(PrepareError::Nul { line: 2 }));
        check(&[b'x'; 998], Ok(Content::SevenBit));
        check(&[b'.'; 998], Ok(Content::SevenBit));
        check(&[b'x'; 999], Err(PrepareError::LongLine { line: 1, bytes: 999 }));
        let third = [&b"a\rb\n"[..], &[b'x'; 1200], b"\r\nb"].concat();
        check(&third, Err(PrepareError::LongLine { line: 3, bytes: 1200 }));
    }
}
