//! What a server offers in its reply to EHLO.

use lettre::transport::smtp::authentication::Mechanism;

/// The extensions we use, as announced by one EHLO reply; those of before TLS are forgotten after it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a keyword that was announced or not")]
pub struct Extensions {
    /// PIPELINING (RFC 2920): MAIL, RCPT and DATA go in one write.
    pub pipelining: bool,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// CHUNKING (RFC 3030): known for the record; messages go by DATA.
    pub chunking: bool,
    /// SIZE (RFC 1870): the largest message in bytes, 0 when the server names no maximum.
    pub size_bytes_max: Option<u64>,
    /// AUTH (RFC 4954): the mechanisms we know, in the server's order.
    pub auth: Vec<Mechanism>,
}

impl Extensions {
    /// Reads the text of an EHLO reply. Its first line is the server's name; unknown keywords are passed over.
    pub fn parse(text: &str) -> Self {
        let mut extensions = Self::default();
        for line in text.split('\n').skip(1) {
            // Before RFC 4954 some servers wrote "AUTH=PLAIN"; some still announce both.
            let mut words =
                line.split(|c: char| c == '=' || c.is_ascii_whitespace()).filter(|w| !w.is_empty());
            let Some(keyword) = words.next() else { continue };
            match keyword.to_ascii_uppercase().as_str() {
                "PIPELINING" => extensions.pipelining = true,
                "8BITMIME" => extensions.eight_bit_mime = true,
                "SMTPUTF8" => extensions.smtputf8 = true,
                "STARTTLS" => extensions.starttls = true,
                "CHUNKING" => extensions.chunking = true,
                "SIZE" => {
                    extensions.size_bytes_max = Some(words.next().and_then(|n| n.parse().ok()).unwrap_or(0));
                }
                "AUTH" => words.filter_map(mechanism).for_each(|mechanism| {
                    if !extensions.auth.contains(&mechanism) {
                        extensions.auth.push(mechanism);
                    }
                }),
                _ => {}
            }
        }
        extensions
    }
}

fn mechanism(word: &str) -> Option<Mechanism> {
    [Mechanism::Plain, Mechanism::Login, Mechanism::Xoauth2]
        .into_iter()
        .find(|mechanism| mechanism.to_string().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ehlo_replies_of_real_servers_are_read() {
        assert_eq!(
            Extensions::parse(
                "smtp.example.test at your service, [192.0.2.1]\nSIZE 35882577\n8BITMIME\n\
                 AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH\nENHANCEDSTATUSCODES\n\
                 PIPELINING\nCHUNKING\nSMTPUTF8"
            ),
            Extensions {
                pipelining: true,
                eight_bit_mime: true,
                smtputf8: true,
                starttls: false,
                chunking: true,
                size_bytes_max: Some(35_882_577),
                auth: vec![Mechanism::Login, Mechanism::Plain, Mechanism::Xoauth2],
            }
        );
        let old = Extensions::parse("mail\nauth=plain login\nAUTH LOGIN\nsize\nstarttls\n");
        assert_eq!(old.auth, [Mechanism::Plain, Mechanism::Login]);
        assert_eq!((old.size_bytes_max, old.starttls, old.pipelining), (Some(0), true, false));
    }

    #[test]
    fn the_servers_name_is_no_extension() {
        assert_eq!(Extensions::parse("STARTTLS"), Extensions::default());
        assert_eq!(Extensions::parse(""), Extensions::default());
        assert_eq!(Extensions::parse("x\nSIZE -5").size_bytes_max, Some(0));
    }
}
