//! How much each deed says about where a person stands; the `[stage]` table of the configuration.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;

use super::Stage;
use crate::event::name;
use crate::event::slug;

/// Weights by which [`super::place`] scores. Every key may be left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StageWeights {
    /// How soon evidence halves.
    pub half_life_days: f64,
    /// Another stage must lead the present one by this share of its score to replace it.
    pub margin: f64,
    /// Of one kind of deed at most this many (decayed) count, so that one habit cannot drown all others.
    pub count_max: f64,
    /// Evidence for Discover that everybody has and that never decays: who has less for any other stage is new to us.
    pub discover_base: f64,
    /// Evidence for Educate that everybody has who ever bought: a customer who went away is not new to us.
    pub customer_base: f64,
    /// Points for a view of a product that was viewed before within 30 days, on top of those for the view.
    pub repeat_view: StagePoints,
    /// Points by event, named (`"Product Viewed"`) or by slug (`product_viewed`). What a file states is laid over the
    /// defaults, event by event. `order_completed` counts orders, not lines.
    #[serde(deserialize_with = "laid_over_defaults")]
    pub events: BTreeMap<String, StagePoints>,
}

/// A number for each stage.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StagePoints {
    /// For [`Stage::Discover`].
    pub discover: f64,
    /// For [`Stage::Educate`].
    pub educate: f64,
    /// For [`Stage::Compare`].
    pub compare: f64,
    /// For [`Stage::Purchase`].
    pub purchase: f64,
}

impl StagePoints {
    const fn new(discover: f64, educate: f64, compare: f64, purchase: f64) -> Self {
        Self { discover, educate, compare, purchase }
    }

    /// The number of one stage.
    pub fn of(&self, stage: Stage) -> f64 {
        match stage {
            Stage::Discover => self.discover,
            Stage::Educate => self.educate,
            Stage::Compare => self.compare,
            Stage::Purchase => self.purchase,
        }
    }

    /// Adds `points` as often as `count` says.
    pub(super) fn add(&mut self, points: &Self, count: f64) {
        self.discover += points.discover * count;
        self.educate += points.educate * count;
        self.compare += points.compare * count;
        self.purchase += points.purchase * count;
    }

    fn numbers(&self) -> [f64; 4] {
        [self.discover, self.educate, self.compare, self.purchase]
    }
}

impl Default for StageWeights {
    fn default() -> Self {
        Self {
            half_life_days: 14.0,
            margin: 0.25,
            count_max: 6.0,
            discover_base: 1.0,
            customer_base: 1.5,
            repeat_view: StagePoints::new(0.0, 0.0, 1.0, 0.0),
            events: default_events(),
        }
    }
}

fn default_events() -> BTreeMap<String, StagePoints> {
    let points = [
        (name::SIGNED_UP, StagePoints::new(2.0, 0.0, 0.0, 0.0)),
        (name::PAGE_VIEWED, StagePoints::new(0.5, 0.5, 0.0, 0.0)),
        (name::PRODUCT_LIST_VIEWED, StagePoints::new(0.0, 1.0, 0.0, 0.0)),
        (name::ARTICLE_VIEWED, StagePoints::new(0.0, 1.5, 0.0, 0.0)),
        (name::EMAIL_LINK_CLICKED, StagePoints::new(0.0, 0.5, 0.0, 0.0)),
        (name::PRODUCTS_SEARCHED, StagePoints::new(0.0, 1.0, 0.5, 0.0)),
        (name::PRODUCT_VIEWED, StagePoints::new(0.0, 0.6, 0.3, 0.0)),
        (name::PRODUCT_COMPARED, StagePoints::new(0.0, 0.0, 2.0, 0.0)),
        (name::PRODUCT_ADDED_TO_WISHLIST, StagePoints::new(0.0, 0.0, 1.5, 0.0)),
        (name::PRODUCT_ADDED, StagePoints::new(0.0, 0.0, 0.5, 4.0)),
        (name::CHECKOUT_STARTED, StagePoints::new(0.0, 0.0, 0.0, 5.0)),
        (name::ORDER_COMPLETED, StagePoints::new(0.0, 0.0, 0.0, 8.0)),
        (name::PRODUCT_REVIEWED, StagePoints::new(0.0, 0.5, 0.0, 1.0)),
    ];
    points.into_iter().map(|(name, points)| (slug(name), points)).collect()
}

fn laid_over_defaults<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, StagePoints>, D::Error> {
    let stated = BTreeMap::<String, StagePoints>::deserialize(deserializer)?;
    let mut events = default_events();
    events.extend(stated.into_iter().map(|(name, points)| (slug(&name), points)));
    Ok(events)
}

impl StageWeights {
    /// What is wrong with these weights, a sentence each with the key in it. `declared` are the names of events
    /// beyond [`name::ALL`].
    pub fn problems(&self, declared: &[String]) -> Vec<String> {
        let mut problems = Vec::new();
        for (key, value, at_least) in [
            ("half_life_days", self.half_life_days, 0.01),
            ("margin", self.margin, 0.0),
            ("count_max", self.count_max, 0.0),
            ("discover_base", self.discover_base, 0.0),
            ("customer_base", self.customer_base, 0.0),
        ] {
            if !(value.is_finite() && value >= at_least) {
                problems.push(format!("stage.{key} is {value}; write a number of at least {at_least}"));
            }
        }
        for (key, points) in &self.events {
            let known = |name: &str| slug(name) == *key;
            if !name::ALL.iter().copied().any(known) && !declared.iter().map(String::as_str).any(known) {
                problems
                    .push(format!("stage.events.{key} is no known event; declare it, or correct its name"));
            }
            if points.numbers().iter().any(|number| !(number.is_finite() && *number >= 0.0)) {
                problems.push(format!("stage.events.{key} holds a number that is not 0 or more"));
            }
        }
        if self.repeat_view.numbers().iter().any(|number| !(number.is_finite() && *number >= 0.0)) {
            problems.push("stage.repeat_view holds a number that is not 0 or more".to_owned());
        }
        problems
    }
}
