//! The envelope becomes MAIL, RCPT and DATA; addresses are checked once more where they meet the wire.

use std::borrow::Cow;
use std::io::Write;

use lettre::Address;
use lettre::address::Envelope;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{MailBodyParameter, MailParameter};

use super::extension::Extensions;
use super::failure::{Party, Unsendable};
use super::prepare::{BodyTraits, Content};

/// Bytes of one address on the wire (RFC 5321 §4.5.3.1.3: 256 with its angle brackets).
pub const ADDRESS_BYTES_MAX: usize = 254;

/// Recipients of one transaction: a pipelined group must fit the server's receive window.
pub const RECIPIENTS_MAX: usize = 100;

/// The commands of one transaction, each with its CRLF, in one buffer.
///
/// The server is asked for `2 + recipients` replies, and one more when the first command is RSET.
#[derive(Debug)]
pub(super) struct Commands {
    bytes: Vec<u8>,
    /// End of each command in `bytes`.
    ends: Vec<usize>,
}

/// Whether RSET must precede the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reset {
    Needed,
    NotNeeded,
}

impl Commands {
    /// All commands at once, for PIPELINING.
    pub(super) fn all(&self) -> &[u8] {
        &self.bytes
    }

    /// The commands one by one.
    pub(super) fn each(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    /// Writes the transaction for `envelope`, if a server with these extensions can carry it.
    pub(super) fn new(
        envelope: &Envelope,
        traits: BodyTraits,
        extensions: &Extensions,
        reset: Reset,
    ) -> Result<Self, Unsendable> {
        if envelope.to().len() > RECIPIENTS_MAX {
            return Err(Unsendable::TooManyRecipients);
        }
        let sender =
            envelope.from().map(|address| wire_address(address, Party::Sender, extensions)).transpose()?;
        let recipients = envelope
            .to()
            .iter()
            .map(|address| wire_address(address, Party::Recipient, extensions))
            .collect::<Result<Vec<_>, _>>()?;
        let utf8 = sender.iter().chain(&recipients).any(|address| !address.user().is_ascii());
        let parameters = parameters(traits, extensions, if utf8 { Utf8Path::Yes } else { Utf8Path::No })?;

        let mut commands = Self { bytes: Vec::with_capacity(256), ends: Vec::with_capacity(4) };
        if reset == Reset::Needed {
            commands.push(&Rset);
        }
        commands.push(&Mail::new(sender.map(Cow::into_owned), parameters));
        for recipient in recipients {
            commands.push(&Rcpt::new(recipient.into_owned(), Vec::new()));
        }
        commands.push(&Data);
        Ok(commands)
    }

    fn push(&mut self, command: &impl std::fmt::Display) {
        write!(self.bytes, "{command}").expect("writing to memory does not fail");
        self.ends.push(self.bytes.len());
    }
}

/// Whether a local part of the envelope is not ASCII.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Utf8Path {
    Yes,
    No,
}

fn parameters(
    traits: BodyTraits,
    extensions: &Extensions,
    utf8_path: Utf8Path,
) -> Result<Vec<MailParameter>, Unsendable> {
    let mut parameters = Vec::new();
    if let Some(size_bytes_max) = extensions.size_bytes_max {
        if size_bytes_max > 0 && traits.size_bytes > size_bytes_max {
            return Err(Unsendable::TooLarge { size_bytes: traits.size_bytes, size_bytes_max });
        }
        parameters.push(MailParameter::Size(usize::try_from(traits.size_bytes).unwrap_or(usize::MAX)));
    }
    if traits.content != Content::SevenBit {
        if !extensions.eight_bit_mime {
            return Err(Unsendable::NeedsEightBitMime);
        }
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    if traits.content == Content::Utf8Header && !extensions.smtputf8 {
        return Err(Unsendable::HeaderNeedsSmtputf8);
    }
    if traits.content == Content::Utf8Header || utf8_path == Utf8Path::Yes {
        parameters.push(MailParameter::SmtpUtfEight);
    }
    Ok(parameters)
}

/// The address as it may stand in a command: safe, its domain in A-labels.
fn wire_address<'a>(
    address: &'a Address,
    party: Party,
    extensions: &Extensions,
) -> Result<Cow<'a, Address>, Unsendable> {
    let text: &str = address.as_ref();
    // Quoted local parts with spaces or brackets are legal and are refused all the same: nobody who buys has one,
    // and servers disagree about where such an address ends.
    let unsafe_byte = |byte: u8| byte <= b' ' || byte == 0x7f || byte == b'<' || byte == b'>';
    if text.bytes().any(unsafe_byte) || text.chars().any(char::is_control) {
        return Err(Unsendable::UnsafeAddress(party));
    }
    if !address.user().is_ascii() && !extensions.smtputf8 {
        return Err(Unsendable::NeedsSmtputf8(party));
    }
    let address = if address.domain().is_ascii() {
        Cow::Borrowed(address)
    } else {
        let domain = idna::domain_to_ascii(address.domain()).map_err(|_| Unsendable::BadDomain(party))?;
        Cow::Owned(Address::new(address.user(), domain).map_err(|_| Unsendable::BadDomain(party))?)
    };
    let text: &str = address.as_ref().as_ref();
    if text.len() > ADDRESS_BYTES_MAX {
        return Err(Unsendable::AddressTooLong(party));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: BodyTraits = BodyTraits { size_bytes: 42, content: Content::SevenBit };

    fn everything() -> Extensions {
        Extensions::parse("relay.test\nPIPELINING\nSIZE 1000\n8BITMIME\nSMTPUTF8")
    }

    fn commands(to: Address, traits: BodyTraits, extensions: &Extensions) -> Result<String, Unsendable> {
        let envelope = Envelope::new("from@shop.test".parse().ok(), vec![to]).unwrap();
        Commands::new(&envelope, traits, extensions, Reset::NotNeeded).map(|commands| {
            assert_eq!(commands.each().collect::<Vec<_>>().concat(), commands.all());
            String::from_utf8(commands.all().to_vec()).unwrap()
        })
    }

    #[test]
    fn a_transaction_is_written_with_what_the_server_offers() {
        let to: Address = "to@example.test".parse().unwrap();
        assert_eq!(
            commands(to.clone(), PLAIN, &everything()).unwrap(),
            "MAIL FROM:<from@shop.test> SIZE=42\r\nRCPT TO:<to@example.test>\r\nDATA\r\n"
        );
        assert_eq!(
            commands(to.clone(), PLAIN, &Extensions::default()).unwrap(),
            "MAIL FROM:<from@shop.test>\r\nRCPT TO:<to@example.test>\r\nDATA\r\n"
        );
        let eight_bit = BodyTraits { content: Content::EightBit, ..PLAIN };
        assert!(commands(to, eight_bit, &everything()).unwrap().contains(" SIZE=42 BODY=8BITMIME\r\n"));
    }

    #[test]
    fn international_addresses_use_a_labels_and_smtputf8() {
        let idn: Address = "x@bücher.test".parse().unwrap();
        assert!(
            commands(idn, PLAIN, &Extensions::default())
                .unwrap()
                .contains("RCPT TO:<x@xn--bcher-kva.test>\r\n")
        );
        let both: Address = "太郎@例え.jp".parse().unwrap();
        let sent = commands(both.clone(), PLAIN, &everything()).unwrap();
        assert!(sent.contains(" SMTPUTF8\r\nRCPT TO:<太郎@xn--r8jz45g.jp>\r\n"), "{sent}");
        assert_eq!(
            commands(both, PLAIN, &Extensions::default()),
            Err(Unsendable::NeedsSmtputf8(Party::Recipient))
        );
    }

    #[test]
    fn what_the_relay_cannot_carry_is_refused() {
        let to: Address = "to@example.test".parse().unwrap();
        let check = |traits, expected| {
            assert_eq!(commands(to.clone(), traits, &Extensions::parse("x\nSIZE 1000")), Err(expected));
        };
        check(BodyTraits { content: Content::EightBit, ..PLAIN }, Unsendable::NeedsEightBitMime);
        let large = BodyTraits { size_bytes: 1001, ..PLAIN };
        check(large, Unsendable::TooLarge { size_bytes: 1001, size_bytes_max: 1000 });
        let header = BodyTraits { content: Content::Utf8Header, ..PLAIN };
        assert_eq!(
            commands(to, header, &Extensions::parse("x\n8BITMIME")),
            Err(Unsendable::HeaderNeedsSmtputf8)
        );
    }

    #[test]
    fn no_address_injects_a_command() {
        for user in ["a\r\nRCPT TO:<e@x>", "a\nb", "a b", "a>b", "<a", "a\0", "\"a b\"", "a\u{85}b", "a\tb"] {
            let address = Address::new_dangerous(user, "example.test");
            assert_eq!(
                commands(address, PLAIN, &everything()),
                Err(Unsendable::UnsafeAddress(Party::Recipient)),
                "{user:?}"
            );
        }
        for domain in ["x\r\nDATA", "x>", "x y"] {
            let address = Address::new_dangerous("a", domain);
            assert_eq!(
                commands(address, PLAIN, &everything()),
                Err(Unsendable::UnsafeAddress(Party::Recipient)),
                "{domain:?}"
            );
        }
        let long = Address::new_dangerous("a".repeat(60), format!("{}.test", "b".repeat(190)));
        assert_eq!(commands(long, PLAIN, &everything()), Err(Unsendable::AddressTooLong(Party::Recipient)));
    }

    #[test]
    fn too_many_recipients_are_refused() {
        let to = vec!["to@example.test".parse().unwrap(); RECIPIENTS_MAX + 1];
        let envelope = Envelope::new(None, to).unwrap();
        let refused = Commands::new(&envelope, PLAIN, &everything(), Reset::NotNeeded).unwrap_err();
        assert_eq!(refused, Unsendable::TooManyRecipients);
    }
}
