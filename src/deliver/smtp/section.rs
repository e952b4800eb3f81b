//! From a `[[relay]]` of the configuration to a relay.

use secrecy::ExposeSecret as _;

use super::Relay;
use super::deadlines::DEADLINE_MS_MAX;
use super::deadlines::Deadlines;
use super::relay::CONNECTIONS;
use super::relay::CONNECTIONS_UNDER_A_RATE;
use super::relay::RelayError;
use super::relay::parse_mechanism;
use crate::config::Rates;
use crate::config::RelaySection;

impl Relay {
    /// The relay that a section of the configuration describes, under the rates of all mail.
    ///
    /// # Errors
    ///
    /// The first thing in it that cannot work.
    pub fn of_section(section: &RelaySection, rates: &Rates) -> Result<Self, RelayError> {
        let mut relay = Self::from_url(section.url.expose_secret())?;
        if let Some(name) = &section.name {
            relay.name.clone_from(name);
        }
        let fail = |problem: String| RelayError { relay: relay.name.clone(), problem };
        if let Some(mechanism) = &section.auth {
            let parsed = parse_mechanism(mechanism)
                .ok_or_else(|| fail(format!("auth = {mechanism:?}; write plain, login or xoauth2")))?;
            if let Some(credentials) = &mut relay.credentials {
                credentials.mechanism = Some(parsed);
            }
        }
        if section.per_second.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
            return Err(fail("per_second must be greater than 0; leave it out for no limit".to_owned()));
        }
        for (phase, seconds) in &section.deadline_seconds {
            set_deadline(&mut relay.deadlines, phase, *seconds).map_err(fail)?;
        }
        relay.ca_file.clone_from(&section.ca_file);
        relay.ehlo_name.clone_from(&section.ehlo_name);
        relay.weight = section.weight;
        let rated = section.per_second.or(rates.per_second).is_some();
        let usual = if rated { CONNECTIONS_UNDER_A_RATE } else { CONNECTIONS };
        relay.max_connections = section.max_connections.unwrap_or(usual);
        relay.max_messages_per_connection = section.max_messages_per_connection;
        relay.max_connection_age_ms = section.max_connection_age_seconds * 1_000;
        relay.check()?;
        Ok(relay)
    }
}

fn set_deadline(deadlines: &mut Deadlines, phase: &str, seconds: f64) -> Result<(), String> {
    let deadline = match phase {
        "connect" => &mut deadlines.connect_ms,
        "greeting" => &mut deadlines.greeting_ms,
        "tls" => &mut deadlines.tls_ms,
        "ehlo" => &mut deadlines.ehlo_ms,
        "auth" => &mut deadlines.auth_ms,
        "mail" => &mut deadlines.mail_ms,
        "rcpt" => &mut deadlines.rcpt_ms,
        "data" => &mut deadlines.data_ms,
        "body" => &mut deadlines.body_ms,
        "dot" => &mut deadlines.dot_ms,
        "quit" => &mut deadlines.quit_ms,
        other => {
            return Err(format!(
                "there is no phase {other:?}; write connect, greeting, tls, ehlo, auth, mail, rcpt, data, body, dot or \
                 quit"
            ));
        }
    };
    // What is no number, or below zero, becomes 0.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    let milliseconds = (seconds * 1_000.0).ceil() as u64;
    if !(1..=DEADLINE_MS_MAX).contains(&milliseconds) {
        return Err(format!("the deadline of {phase} must be above 0, and an hour at most"));
    }
    *deadline = milliseconds;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(section: &str, rates: &str) -> usize {
        let section = toml::from_str(&format!("url = \"smtp://127.0.0.1\"\n{section}")).unwrap();
        Relay::of_section(&section, &toml::from_str(rates).unwrap()).unwrap().max_connections
    }

    #[test]
    fn a_stated_rate_may_open_more_connections_and_a_stated_number_is_kept() {
        for (section, rates, expected) in [
            ("", "", 50),
            ("", "per_day = 10_000", 50),
            ("", "per_second = 500", 100),
            ("per_second = 500", "", 100),
            ("per_second = 500\nmax_connections = 7", "per_second = 9", 7),
        ] {
            assert_eq!(connections(section, rates), expected, "{section:?} {rates:?}");
        }
    }
}
