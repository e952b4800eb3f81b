//! What a page says, in its reader's language: the person's own where the link names somebody, else their browser's.

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header;
use axum::http::request::Parts;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::catalog::page_texts::Texts;
use crate::catalog::page_texts::filled;
use crate::http::Service;
use crate::http::page::escape;
use crate::render::day_in_words;

/// Languages of a browser that are looked at, at most.
const ACCEPTED_MAX: usize = 20;

/// The languages that a browser asks for, best first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Accepted(Vec<String>);

impl Accepted {
    /// As `Accept-Language` has them (RFC 9110, 12.5.4).
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let text = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        Self::parse(text.unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let weighed = |part: &str| {
            let (tag, weight) = part.split_once(';').unwrap_or((part, "q=1"));
            let weight = weight.trim().strip_prefix("q=")?.trim().parse::<f32>().ok()?;
            (weight > 0.0).then(|| (tag.trim().to_owned(), weight))
        };
        let mut tags: Vec<(String, f32)> = text.split(',').take(ACCEPTED_MAX).filter_map(weighed).collect();
        tags.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        Self(tags.into_iter().map(|(tag, _)| tag).collect())
    }
}

impl FromRequestParts<Service> for Accepted {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Service) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

/// The texts of one language, and what every page may name.
#[derive(Debug, Clone)]
pub(super) struct Words {
    texts: Arc<Texts>,
    shop: String,
}

impl Deref for Words {
    type Target = Texts;

    fn deref(&self) -> &Texts {
        &self.texts
    }
}

impl Words {
    /// A text with what is known put in, as plain text.
    pub(super) fn plain(&self, text: &str, known: &[(&str, &str)]) -> String {
        let known: Vec<(&str, &str)> = known.iter().copied().chain([("shop", self.shop.as_str())]).collect();
        filled(text, &known)
    }

    /// The same for a page.
    pub(super) fn html(&self, text: &str, known: &[(&str, &str)]) -> String {
        escape(&self.plain(text, known))
    }

    /// A text as a paragraph.
    pub(super) fn paragraph(&self, text: &str) -> String {
        format!("<p>{}</p>", self.html(text, &[]))
    }

    /// A text as a paragraph beside the matter.
    pub(super) fn note(&self, text: &str) -> String {
        format!("<p class=\"note\">{}</p>", self.html(text, &[]))
    }

    /// What a topic is called.
    pub(super) fn topic_name(&self, topic: &str) -> String {
        self.topic(topic).map_or_else(|| as_words(topic), str::to_owned)
    }

    /// The day of a moment.
    pub(super) fn day(&self, at: Timestamp, zone: &TimeZone) -> String {
        day_in_words(zone.to_datetime(at).date(), self.language())
    }
}

impl Service {
    /// The words for whoever reads a page; `own` is the locale of the person whom its link names.
    pub(super) fn words(&self, own: Option<&str>, accepted: &Accepted) -> Words {
        let engine = self.engine();
        let texts = engine.catalog.page_texts().for_reader(own, &accepted.0);
        let name = engine.config.shop.get("name").and_then(toml::Value::as_str);
        Words { shop: name.unwrap_or(&texts.this_shop).to_owned(), texts }
    }
}

/// A topic as people read it: `weekly-picks` is `Weekly picks`.
fn as_words(topic: &str) -> String {
    // `one-to-one` is one word, `weekly-picks` are two.
    let hyphened = topic.matches('-').count() > 1;
    let text = if hyphened { topic.to_owned() } else { topic.replace(['_', '-'], " ") };
    let mut characters = text.chars();
    characters.next().map_or(String::new(), |first| first.to_uppercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_shown_as_words() {
        for (topic, expected) in [
            ("weekly-picks", "Weekly picks"),
            ("one-to-one", "One-to-one"),
            ("weekly picks", "Weekly picks"),
            ("", ""),
        ] {
            assert_eq!(as_words(topic), expected);
        }
    }

    #[test]
    fn a_browsers_languages_are_taken_in_the_order_of_their_weights() {
        for (text, expected) in [
            ("de-AT,de;q=0.9,en;q=0.8", &["de-AT", "de", "en"][..]),
            ("en;q=0.5, fr , es;q = 0.7", &["fr", "en"]),
            ("de;q=0, *;q=0.1, x;q=much", &["*"]),
            ("", &[""]),
        ] {
            assert_eq!(Accepted::parse(text).0, expected, "{text:?}");
        }
    }
}
