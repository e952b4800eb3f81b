//! The sections about what comes back from providers, and what goes out to other systems.

use secrecy::SecretString;
use serde::Deserialize;

use crate::config::Config;

/// `[feedback]`: which providers may tell us of bounces and complaints. A provider without its secret is refused.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeedbackSection {
    /// ARNs of the SNS topics of your own account: Amazon signs everybody's topics with the same keys.
    pub ses_topics: Vec<String>,
    /// The verification key of SendGrid's signed event webhook, base64 as the console shows it.
    pub sendgrid_public_key: Option<String>,
    /// `user:password` that stands in the address given to Postmark, which sends it as Basic auth.
    pub postmark_basic_auth: Option<SecretString>,
    /// Mailgun's HTTP webhook signing key.
    pub mailgun_signing_key: Option<SecretString>,
}

/// `[webhooks]`: how other systems are told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhooks {
    /// Also hosts in private networks may be called. For tests, and for receivers beside us.
    pub allow_private: bool,
    /// How long one call may take.
    pub timeout_seconds: u64,
    /// A call that failed is tried again after these many seconds, the last one for ever after.
    pub retry_seconds: Vec<u32>,
    /// A message that was not taken by then is given up.
    pub give_up_hours: u32,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self {
            allow_private: false,
            timeout_seconds: 15,
            retry_seconds: vec![5, 300, 1_800, 7_200, 18_000, 36_000],
            give_up_hours: 72,
        }
    }
}

/// `[[webhook]]`: one receiver, called in the form of Standard Webhooks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSection {
    /// Where to; https, or http in private networks.
    pub url: String,
    /// `whsec_` and the base64 of 24 to 64 random bytes.
    pub secret: SecretString,
    /// Which events; all where none is stated.
    #[serde(default)]
    pub events: Vec<String>,
}

impl Config {
    /// The domain behind the @ of our Message-IDs.
    pub fn message_id_domain(&self) -> String {
        self.sender.message_id_domain.clone().unwrap_or_else(|| {
            let from = self.sender.from.rsplit_once('@').map_or("", |(_, domain)| domain);
            from.trim_end_matches('>').trim().to_lowercase()
        })
    }
}
