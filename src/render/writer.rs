//! What a rendered part is written into: it keeps the limits, checks every address, and signs the links of the shop.

use std::borrow::Cow;
use std::io;
use std::io::Write;

use memchr::memchr;
use memchr::memchr3;

use super::address;
use super::address::Address;
use super::engine;
use super::engine::LinkSigner;
use super::entities;

/// Template text that the compiler puts at the start of every loop's body; the writer counts it and takes it out.
///
/// No value holds this or another mark: control characters are taken out of them.
pub(super) const ROUND: char = '\u{1}';
/// Stands before an address: its number (with [`PICTURE`] before it where it is a picture's) and a colon follow.
pub(super) const ADDRESS: char = '\u{2}';
/// Stands behind an address.
pub(super) const ADDRESS_END: char = '\u{3}';
/// Stands before the number of a picture.
pub(super) const PICTURE: char = 'p';
/// Stands before the name of a region that begins, in the place of an address.
pub(super) const REGION: char = '[';
/// Stands before the name of a region that ends, in the place of an address.
pub(super) const REGION_END: char = ']';

/// How many links a text may leave out, one after the other, that the HTML has: those of what is hidden from readers.
const LINKS_LEFT_OUT_MAX: usize = 8;

/// Why a writer took no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stopped {
    /// Over the byte limit.
    Bytes,
    /// Over the limit of loop rounds.
    Rounds,
    /// An address that may not stand in a mail.
    Address {
        /// As it stands behind [`ADDRESS`]: `3`, or `p3` for a picture.
        number: String,
        /// What is wrong with it; never the address itself.
        why: &'static str,
    },
    /// Marks that do not fit together: a filter cut through a link.
    Marks,
}

/// How values stand in a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Escaped.
    Html,
    /// As they are.
    Text,
}

/// Where a region begins or ends in what was written: a slot, or what the layout surrounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seam {
    /// The slot's name, or nothing for what the layout surrounds.
    pub(super) name: String,
    /// Bytes before it.
    pub(super) at: usize,
    pub(super) begins: bool,
}

/// How much a part may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) bytes: usize,
    pub(super) rounds: usize,
}

/// The addresses of one mail. Each is checked and signed once, although it stands in the HTML and in the text.
pub(super) struct Addresses<'a> {
    signer: &'a dyn LinkSigner,
    /// The send under which clicks are counted.
    tracked: Option<&'a str>,
    links: Vec<Finished>,
    /// The next of `links` to be expected: parts have their links in one order.
    next: usize,
}

/// A link as it was written, and as it goes out.
struct Finished {
    number: u32,
    written: String,
    address: String,
}

impl<'a> Addresses<'a> {
    /// `tracked`: the send, where clicks are counted.
    pub(super) fn new(signer: &'a dyn LinkSigner, tracked: Option<&'a str>) -> Self {
        Self { signer, tracked, links: Vec::new(), next: 0 }
    }

    /// The link as it goes out, by what stands between the marks.
    fn link(&mut self, number: u32, written: &str) -> Result<&str, &'static str> {
        let expected = self.links.iter().skip(self.next).take(LINKS_LEFT_OUT_MAX);
        let known = expected.into_iter().position(|link| link.number == number && link.written == written);
        let index = known.map_or(self.links.len(), |offset| self.next + offset);
        if known.is_none() {
            let address = match (address::check(written)?, self.tracked) {
                (Address::Contact(address), _) | (Address::Web(address), None) => address.into_owned(),
                (Address::Web(target), Some(send)) => self.signer.click(send, number, &target),
            };
            self.links.push(Finished { number, written: written.to_owned(), address });
        }
        self.next = index + 1;
        Ok(&self.links[index].address)
    }
}

/// Collects a part.
pub(super) struct Writer<'w, 'a> {
    bytes: Vec<u8>,
    /// What was written of an address that has not ended, from its number on.
    address: Vec<u8>,
    in_address: bool,
    form: Form,
    limits: Limits,
    rounds: usize,
    addresses: &'w mut Addresses<'a>,
    seams: Option<&'w mut Vec<Seam>>,
    pub(super) stopped: Option<Stopped>,
}

impl<'w, 'a> Writer<'w, 'a> {
    /// A writer of the next part of a mail. Where `seams` are wanted, it notes them.
    pub(super) fn new(
        capacity: usize,
        form: Form,
        limits: Limits,
        addresses: &'w mut Addresses<'a>,
        seams: Option<&'w mut Vec<Seam>>,
    ) -> Self {
        addresses.next = 0;
        let bytes = Vec::with_capacity(capacity.min(limits.bytes));
        let address = Vec::new();
        Self { bytes, address, in_address: false, form, limits, rounds: 0, addresses, seams, stopped: None }
    }

    /// What was written, as text.
    pub(super) fn into_text(self) -> Result<String, Stopped> {
        if self.in_address {
            return Err(Stopped::Marks);
        }
        String::from_utf8(self.bytes).map_err(|_| Stopped::Marks)
    }

    fn append(&mut self, piece: &[u8]) -> Result<(), Stopped> {
        if self.bytes.len() + self.address.len() + piece.len() > self.limits.bytes {
            return Err(Stopped::Bytes);
        }
        let mut rest = piece;
        while let Some(at) = memchr3(ROUND as u8, ADDRESS as u8, ADDRESS_END as u8, rest) {
            self.push(&rest[..at]);
            self.mark(rest[at])?;
            rest = &rest[at + 1..];
        }
        self.push(rest);
        Ok(())
    }

    fn push(&mut self, text: &[u8]) {
        let place = if self.in_address { &mut self.address } else { &mut self.bytes };
        place.extend_from_slice(text);
    }

    fn mark(&mut self, mark: u8) -> Result<(), Stopped> {
        if mark == ROUND as u8 {
            self.rounds += 1;
            return if self.rounds > self.limits.rounds { Err(Stopped::Rounds) } else { Ok(()) };
        }
        let begins = mark == ADDRESS as u8;
        if begins == self.in_address {
            return Err(Stopped::Marks);
        }
        self.in_address = begins;
        if begins { Ok(()) } else { self.end_address() }
    }

    /// Puts the address in the place of what was written between its marks.
    fn end_address(&mut self) -> Result<(), Stopped> {
        let colon = self.address.iter().position(|byte| *byte == b':').ok_or(Stopped::Marks)?;
        let (number, written) = self.address.split_at(colon);
        let number = std::str::from_utf8(number).map_err(|_| Stopped::Marks)?;
        let written = std::str::from_utf8(&written[1..]).map_err(|_| Stopped::Marks)?;
        let written = match self.form {
            Form::Html if memchr(b'&', written.as_bytes()).is_some() => Cow::Owned(entities::decode(written)),
            _ => Cow::Borrowed(written),
        };
        let finished = match number.parse() {
            Ok(link) => self.addresses.link(link, &written).map(Cow::Borrowed),
            Err(_) if number.starts_with(PICTURE) => address::picture(&written),
            Err(_) => {
                let name = number.strip_prefix([REGION, REGION_END]).ok_or(Stopped::Marks)?;
                if let Some(seams) = &mut self.seams {
                    let begins = number.starts_with(REGION);
                    seams.push(Seam { name: name.to_owned(), at: self.bytes.len(), begins });
                }
                self.address.clear();
                return Ok(());
            }
        };
        let address = finished.map_err(|why| Stopped::Address { number: number.to_owned(), why })?;
        if self.bytes.len() + address.len() > self.limits.bytes {
            return Err(Stopped::Bytes);
        }
        match self.form {
            Form::Html => engine::escape(&address, &mut self.bytes).map_err(|_| Stopped::Marks)?,
            Form::Text => self.bytes.extend_from_slice(address.as_bytes()),
        }
        self.address.clear();
        Ok(())
    }
}

impl Write for Writer<'_, '_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        match self.append(piece) {
            Ok(()) => Ok(piece.len()),
            Err(stopped) => {
                self.stopped = Some(stopped);
                Err(io::Error::other("the part is refused"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;

    use super::*;

    /// Counts what it signs.
    struct Counting(AtomicUsize);

    impl LinkSigner for Counting {
        fn click(&self, send: &str, link: u32, target: &str) -> String {
            self.0.fetch_add(1, Ordering::Relaxed);
            format!("https://t.example/{send}/{link}?to={target}")
        }

        fn open(&self, _: &str) -> String {
            String::new()
        }
    }

    const LIMITS: Limits = Limits { bytes: 100, rounds: 2 };

    fn written(pieces: &[&str], form: Form, limits: Limits) -> Result<String, Stopped> {
        let signer = Counting(0.into());
        let mut addresses = Addresses::new(&signer, Some("s1"));
        let mut writer = Writer::new(0, form, limits, &mut addresses, None);
        for piece in pieces {
            if writer.write_all(piece.as_bytes()).is_err() {
                return Err(writer.stopped.expect("it says why"));
            }
        }
        writer.into_text()
    }

    #[test]
    fn it_stops_at_its_limits_and_counts_rounds() {
        let limits = |bytes| Limits { bytes, ..LIMITS };
        for (pieces, bytes, expected) in [
            (["\u{1}ab\u{1}c", ""], 10, Ok("abc".to_owned())),
            (["\u{1}ab\u{1}c", "\u{1}"], 10, Err(Stopped::Rounds)),
            (["abcde", ""], 4, Err(Stopped::Bytes)),
            (["\u{1}é\u{1}b", ""], 5, Ok("éb".to_owned())),
            (["\u{2}0:https://a/", "b\u{3}"], 15, Err(Stopped::Bytes)),
        ] {
            assert_eq!(written(&pieces, Form::Html, limits(bytes)), expected, "{pieces:?}");
        }
    }

    #[test]
    fn addresses_are_checked_signed_and_escaped_by_their_part() {
        let pieces = ["<a href=\"\u{2}3:https://shop.example/", "a&amp;b", "?c=d\u{3}\">"];
        assert_eq!(
            written(&pieces, Form::Html, LIMITS).as_deref(),
            Ok("<a href=\"https://t.example/s1/3?to=https://shop.example/a&amp;b?c=d\">")
        );
        let pieces = ["Look: \u{2}3:https://shop.example/", "a&b", "\u{3}."];
        assert_eq!(
            written(&pieces, Form::Text, LIMITS).as_deref(),
            Ok("Look: https://t.example/s1/3?to=https://shop.example/a&b.")
        );
        let pieces = ["\u{2}p0:https://shop.example/a(1).png\u{3}"];
        assert_eq!(written(&pieces, Form::Html, LIMITS).as_deref(), Ok("https://shop.example/a%281%29.png"));
        let refused = written(&["\u{2}1:javascript:", "x", "\u{3}"], Form::Html, LIMITS);
        let why = "the address is neither http, https, mailto nor tel";
        assert_eq!(refused, Err(Stopped::Address { number: "1".to_owned(), why }));
    }

    #[test]
    fn marks_that_do_not_fit_together_never_go_out() {
        for pieces in
            [["\u{2}0:https://a/", ""], ["\u{3}", ""], ["\u{2}0:a", "\u{2}1:b\u{3}"], ["\u{2}x\u{3}", ""]]
        {
            assert_eq!(written(&pieces, Form::Html, LIMITS), Err(Stopped::Marks), "{pieces:?}");
        }
    }

    #[test]
    fn seams_are_noted_for_who_wants_them_and_never_go_out() {
        let (signer, mut seams) = (Counting(0.into()), Vec::new());
        let mut addresses = Addresses::new(&signer, None);
        let source = "a\u{2}[hero:\u{3}bc\u{2}[:\u{3}d\u{2}]:\u{3}\u{2}]hero:\u{3}e";
        let mut writer = Writer::new(0, Form::Html, LIMITS, &mut addresses, Some(&mut seams));
        writer.write_all(source.as_bytes()).expect("it is within the limits");
        assert_eq!(writer.into_text().as_deref(), Ok("abcde"));
        let seams: Vec<_> = seams.iter().map(|seam| (seam.name.as_str(), seam.at, seam.begins)).collect();
        assert_eq!(seams, [("hero", 1, true), ("", 3, true), ("", 4, false), ("hero", 4, false)]);
        assert_eq!(written(&[source], Form::Html, LIMITS).as_deref(), Ok("abcde"));
    }

    #[test]
    fn a_link_is_signed_once_for_all_parts() {
        let signer = Counting(0.into());
        let mut addresses = Addresses::new(&signer, Some("s1"));
        let mut part = |links: &[(u32, &str)]| {
            let limits = Limits { bytes: 10_000, rounds: 0 };
            let mut writer = Writer::new(0, Form::Text, limits, &mut addresses, None);
            for (link, path) in links {
                write!(writer, "\u{2}{link}:https://a/{path}\u{3} ").expect("they are good");
            }
            writer.into_text().expect("they are whole")
        };
        let html = part(&[(0, "x"), (1, "1"), (2, "1"), (1, "2"), (2, "2")]);
        assert_eq!(html.matches("t.example").count(), 5);
        assert_eq!(part(&[(0, "x"), (1, "1"), (2, "1"), (1, "2"), (2, "2")]), html);
        // What the text leaves out, or has beside the HTML, does not confuse it.
        part(&[(1, "1"), (2, "2"), (7, "new")]);
        assert_eq!(signer.0.load(Ordering::Relaxed), 6);
    }
}
