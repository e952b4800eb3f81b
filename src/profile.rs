//! A person we may write to: external id, address, traits, locale, time zone, consent.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

mod address;

pub use address::AddressError;
pub use address::EmailAddress;
pub use address::mask;

/// Longest external id, in characters.
pub const PROFILE_ID_CHARACTERS_MAX: usize = 255;

/// The id under which the customer's own systems know a person. It is the key of everything we hold on them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProfileId(String);

/// Why a text cannot be a profile id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileIdError {
    /// Nothing is left after trimming.
    #[error("the profile id is empty")]
    Empty,
    /// Over [`PROFILE_ID_CHARACTERS_MAX`].
    #[error("the profile id has {0} characters; at most {PROFILE_ID_CHARACTERS_MAX} are allowed")]
    TooLong(usize),
    /// Control characters cannot be typed or compared by people.
    #[error("the profile id holds a control character")]
    Control,
}

impl ProfileId {
    /// Trims and checks.
    pub fn parse(text: &str) -> Result<Self, ProfileIdError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ProfileIdError::Empty);
        }
        let characters = text.chars().count();
        if characters > PROFILE_ID_CHARACTERS_MAX {
            return Err(ProfileIdError::TooLong(characters));
        }
        if text.chars().any(char::is_control) {
            return Err(ProfileIdError::Control);
        }
        Ok(Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ProfileId {
    type Error = ProfileIdError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<ProfileId> for String {
    fn from(id: ProfileId) -> Self {
        id.0
    }
}

/// A person we may write to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The customer's own id of this person.
    pub id: ProfileId,
    /// Where mail goes; a profile without one is never written to.
    pub address: Option<EmailAddress>,
    /// Anything known of the person: `first_name`, `birthday`, `country` …
    #[serde(default)]
    pub traits: Map<String, Value>,
    /// BCP 47, such as `en-GB`.
    #[serde(default)]
    pub locale: Option<String>,
    /// IANA name, such as `Europe/Berlin`.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// Whether the person asked for, or refused, our mail.
    #[serde(default)]
    pub consent: Consent,
    /// When we first heard of this person.
    pub created_at: Timestamp,
    /// When this row last changed.
    pub updated_at: Timestamp,
}

impl Profile {
    /// Somebody of whom nothing is known but an id. Merged into somebody who is known, it says nothing new.
    pub fn nameless(id: ProfileId, at: Timestamp) -> Self {
        Self {
            id,
            address: None,
            traits: Map::new(),
            locale: None,
            time_zone: None,
            consent: Consent::Unknown,
            created_at: at,
            updated_at: at,
        }
    }

    /// The zone of this person, or `default` where none, or no known one, is stated.
    pub fn zone(&self, default: &TimeZone) -> TimeZone {
        self.time_zone.as_deref().and_then(|name| TimeZone::get(name).ok()).unwrap_or_else(|| default.clone())
    }
}

/// Consent to lifecycle mail. Transactional mail does not ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// Nothing is known: no lifecycle mail.
    #[default]
    Unknown,
    /// Asked for it.
    Granted,
    /// Took it back.
    Withdrawn,
}

impl Consent {
    /// The word that files, rules and the database use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Granted => "granted",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Reads [`Consent::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "unknown" => Some(Self::Unknown),
            "granted" => Some(Self::Granted),
            "withdrawn" => Some(Self::Withdrawn),
            _ => None,
        }
    }
}

/// The trait by which a person says whether their clicks and opens may be counted: `"off"` or `false` says no.
pub const TRACKING_TRAIT: &str = "tracking";

/// Whether the value of [`TRACKING_TRAIT`] says no.
pub fn refuses_tracking(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(wanted)) => !wanted,
        Some(Value::String(word)) => {
            matches!(word.trim().to_ascii_lowercase().as_str(), "off" | "no" | "false")
        }
        _ => false,
    }
}
