//! What a user says about a relay: where it is, how to log in, how much it takes, how long we wait.

use std::net::IpAddr;
use std::path::PathBuf;

use lettre::transport::smtp::authentication::Mechanism;
use secrecy::SecretString;
use url::Url;

use super::deadlines::{DEADLINE_MS_MAX, Deadlines};

/// Connections that one relay may be given at most, whatever the settings say.
pub const CONNECTIONS_MAX: usize = 10_000;

/// Connections open at a time where nothing is said: as many as Postfix takes from one client
/// (`smtpd_client_connection_count_limit`).
pub const CONNECTIONS: usize = 50;

/// The same under a stated rate, which opens no more than it needs: 100 carry 500 mails a second to a relay 50 ms away.
pub const CONNECTIONS_UNDER_A_RATE: usize = 100;

/// A server that takes our mail, and the terms on which it does.
#[derive(Debug, Clone)]
pub struct Relay {
    /// Its name in limits, reports and logs.
    pub name: String,
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is secured.
    pub security: Security,
    /// How to log in; a relay that knows us by our address needs none.
    pub credentials: Option<Credentials>,
    /// Certificate authorities in PEM that vouch for this relay, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The name we say in EHLO; by default the address literal of our end of the connection.
    pub ehlo_name: Option<String>,
    /// Its share of the mail, relative to the other relays. 0: used only while no other is usable.
    pub weight: u32,
    /// Connections open at a time, at most.
    pub max_connections: usize,
    /// Messages before a connection is ended with QUIT.
    pub max_messages_per_connection: u32,
    /// Age in milliseconds at which a connection is ended with QUIT.
    pub max_connection_age_ms: u64,
    /// Milliseconds that an unused connection is kept; under the idle timeout of common servers.
    pub max_idle_ms: u64,
    /// Deadlines of the phases.
    pub deadlines: Deadlines,
}

/// How a connection is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// TLS from the first byte (RFC 8314), port 465.
    #[default]
    Implicit,
    /// Plain at first, then STARTTLS, which is required: without it nothing is sent. Port 587.
    StartTls,
    /// No TLS. A password then goes to loopback hosts only.
    None,
}

/// A login.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The account.
    pub user: String,
    /// Its password, or the access token of XOAUTH2.
    pub secret: SecretString,
    /// The mechanism to use; by default the first of PLAIN, LOGIN, XOAUTH2 that the server offers.
    pub mechanism: Option<Mechanism>,
}

/// Reads the name of a mechanism; `None` when there is none of this name.
pub fn parse_mechanism(name: &str) -> Option<Mechanism> {
    match name.to_ascii_lowercase().as_str() {
        "plain" => Some(Mechanism::Plain),
        "login" => Some(Mechanism::Login),
        "xoauth2" => Some(Mechanism::Xoauth2),
        _ => None,
    }
}

/// What is wrong with a relay's settings. No message holds a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("relay {relay}: {problem}")]
pub struct RelayError {
    /// The relay's name, or the part of its URL that is safe to show.
    pub relay: String,
    /// What is wrong and what to write instead.
    pub problem: String,
}

impl Relay {
    /// A relay with default limits and deadlines, without login.
    pub fn new(name: &str, host: &str, port: u16, security: Security) -> Self {
        Self {
            name: name.to_owned(),
            host: host.to_owned(),
            port,
            security,
            credentials: None,
            ca_file: None,
            ehlo_name: None,
            weight: 1,
            max_connections: CONNECTIONS,
            max_messages_per_connection: 1_000,
            max_connection_age_ms: 300_000,
            max_idle_ms: 30_000,
            deadlines: Deadlines::default(),
        }
    }

    /// Reads `smtps://user:password@host:port` (implicit TLS, port 465), `smtp+starttls://…` (STARTTLS required,
    /// port 587) or `smtp://…` (no TLS, port 25). User and password are percent-decoded; the relay is named by
    /// its host.
    ///
    /// # Errors
    ///
    /// When it is no such URL, or the result does not pass [`Relay::check`].
    pub fn from_url(text: &str) -> Result<Self, RelayError> {
        let error =
            |problem: &str| RelayError { relay: "from its URL".to_owned(), problem: problem.to_owned() };
        let url = Url::parse(text.trim()).map_err(|why| {
            error(&format!(
                "not a URL ({why}); write smtps://user:password@host, with @ / : # in them as %40 %2F %3A %23"
            ))
        })?;
        let (security, port) = match url.scheme() {
            "smtps" => (Security::Implicit, 465),
            "smtp+starttls" => (Security::StartTls, 587),
            "smtp" => (Security::None, 25),
            _ => return Err(error("the scheme must be smtps, smtp+starttls or smtp")),
        };
        let host =
            url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| error("no host in the URL"))?;
        let host = percent_decoded(host).ok_or_else(|| error("the host is not valid"))?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(error("nothing may follow host and port; write / ? # in a password as %2F %3F %23"));
        }
        let mut relay = Self::new(&host, &host, url.port().unwrap_or(port), security);
        let user = percent_decoded(url.username()).ok_or_else(|| error("the user has a bad % escape"))?;
        let secret = percent_decoded(url.password().unwrap_or_default())
            .ok_or_else(|| error("the password has a bad % escape"))?;
        relay.credentials = match (user.is_empty(), url.password().is_some()) {
            (true, false) => None,
            (false, true) => Some(Credentials { user, secret: secret.into(), mechanism: None }),
            (true, true) => return Err(error("a password without a user")),
            (false, false) => return Err(error("a user without a password")),
        };
        relay.check()?;
        Ok(relay)
    }

    /// Checks what can be known without the network.
    ///
    /// # Errors
    ///
    /// The first fault: a host, EHLO name or limit that cannot work, or a password that would go out in clear.
    pub fn check(&self) -> Result<(), RelayError> {
        let fail = |problem: String| Err(RelayError { relay: self.name.clone(), problem });
        let host = self.host.trim_matches(['[', ']']);
        let is_host = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        };
        if !is_host(host) && host.parse::<IpAddr>().is_err() {
            return fail(format!("{:?} is neither a host name (A-labels) nor an IP address", self.host));
        }
        if let Some(name) = &self.ehlo_name {
            let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
            if !literal
                .map_or(is_host(name), |inner| inner.trim_start_matches("IPv6:").parse::<IpAddr>().is_ok())
            {
                return fail(format!("ehlo_name {name:?} is neither a host name nor an address literal"));
            }
        }
        if self.port == 0 {
            return fail("port 0 cannot be connected to".to_owned());
        }
        if self.max_connections == 0 || self.max_connections > CONNECTIONS_MAX {
            return fail(format!("max_connections must be 1 to {CONNECTIONS_MAX}"));
        }
        if self.max_messages_per_connection == 0 {
            return fail("max_messages_per_connection must be at least 1".to_owned());
        }
        if let Some(phase) = self.deadlines.first_bad() {
            return fail(format!("the deadline of {phase} must be 1 to {DEADLINE_MS_MAX} ms"));
        }
        if self.credentials.is_some() && self.security == Security::None && !is_loopback(host) {
            return fail(
                "a password would go out in clear; use smtps:// or smtp+starttls:// (plain smtp:// with a \
                 password is for loopback hosts)"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// The host without the brackets of an IPv6 literal.
    pub(super) fn host_name(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }
}

/// Whether the name means this very machine.
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// `None` when an escape is broken or the result is not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let (high, low) = (*tail.first()?, *tail.get(1)?);
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            bytes.push(digit(high)? * 16 + digit(low)?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    type Read = (String, u16, Security, Option<(String, String)>);

    fn read(url: &str) -> Result<Read, String> {
        let relay = Relay::from_url(url).map_err(|error| error.problem)?;
        let login = relay.credentials.map(|c| (c.user, c.secret.expose_secret().to_owned()));
        Ok((relay.host, relay.port, relay.security, login))
    }

    fn check(url: &str, host: &str, port: u16, security: Security, login: Option<(&str, &str)>) {
        let login = login.map(|(user, secret)| (user.to_owned(), secret.to_owned()));
        assert_eq!(read(url), Ok((host.to_owned(), port, security, login)), "{url}");
    }

    #[test]
    fn urls_say_host_port_security_and_login() {
        check("smtps://mail.example.test", "mail.example.test", 465, Security::Implicit, None);
        check(
            "smtp+starttls://u%40x.test:p%3A%2F%40%25ss@mail.example.test",
            "mail.example.test",
            587,
            Security::StartTls,
            Some(("u@x.test", "p:/@%ss")),
        );
        check("smtp://10.0.0.1", "10.0.0.1", 25, Security::None, None);
        check("smtp://u:p@127.0.0.1:2525/", "127.0.0.1", 2525, Security::None, Some(("u", "p")));
        check("smtp://[::1]:25", "[::1]", 25, Security::None, None);
    }

    #[test]
    fn bad_urls_say_what_to_write_and_never_the_password() {
        for (url, expected) in [
            ("mail.example.test", "not a URL"),
            ("http://u:hunter2@mail.test", "scheme must be"),
            ("smtp://u:hunter2@mail.example.test", "in clear"),
            ("smtps://", "host"),
            ("smtps://u:hunter2@", "host"),
            ("smtps://u:hunter2/x@mail.test", ""),
            ("smtps://u:hunter2%zz@mail.test", "bad % escape"),
            ("smtps://u:hunter2@mail.test/path", "nothing may follow"),
            ("smtps://u:hunter2@mail.test?x=1", "nothing may follow"),
            ("smtps://u@mail.test", "without a password"),
            ("smtps://u:@mail.test", "without a password"),
            ("smtps://:hunter2@mail.test", "without a user"),
            ("smtps://mail.test:0", "port 0"),
            ("smtps://mail.test:70000", "not a URL"),
            ("smtps://ma il.test", ""),
            ("smtps://bücher.test", "A-labels"),
        ] {
            let error = read(url).expect_err(url);
            assert!(error.contains(expected), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{url}: {error}");
        }
    }

    #[test]
    fn debug_output_has_no_secret() {
        let relay = Relay::from_url("smtps://user:hunter2@mail.test").unwrap();
        assert!(!format!("{relay:?}").contains("hunter2"));
    }

    #[test]
    fn limits_that_cannot_work_are_refused() {
        let check = |relay: Relay, expected: &str| {
            let error = relay.check().unwrap_err().to_string();
            assert!(error.starts_with("relay r: ") && error.contains(expected), "{error}");
        };
        let relay = || Relay::new("r", "mail.test", 25, Security::None);
        check(Relay { max_connections: 0, ..relay() }, "max_connections");
        check(Relay { max_connections: CONNECTIONS_MAX + 1, ..relay() }, "max_connections");
        check(Relay { max_messages_per_connection: 0, ..relay() }, "max_messages_per_connection");
        for dot_ms in [0, u64::MAX] {
            let deadlines = Deadlines { dot_ms, ..Deadlines::default() };
            check(Relay { deadlines, ..relay() }, "the deadline of final dot");
        }
    }

    #[test]
    fn an_ehlo_name_cannot_carry_a_command() {
        for (name, good) in [
            ("shop.example.test", true),
            ("[192.0.2.1]", true),
            ("[IPv6:2001:db8::1]", true),
            ("a b", false),
            ("a\r\nMAIL FROM:<x@y>", false),
            ("", false),
        ] {
            let relay =
                Relay { ehlo_name: Some(name.to_owned()), ..Relay::new("r", "h", 25, Security::None) };
            assert_eq!(relay.check().is_ok(), good, "{name:?}");
        }
    }
}
