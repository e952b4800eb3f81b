//! The named features of a person and a variant (design §7): what the learning policy sees of both.
//!
//! One definition serves choosing, learning and scoring again. Whoever changes it raises [`FEATURES_VERSION`]: what was
//! learnt from other features is then no longer mixed with them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use super::model::Kind;
use super::model::space::INTERCEPT;
use super::model::vector::NamedFeatures;
use crate::campaign::CampaignId;
use crate::catalog::Catalog;
use crate::catalog::variant::Arm;
use crate::decision::Channel;
use crate::decision::VariantId;
use crate::history::History;
use crate::stage::Stage;

/// The definition in this file.
pub const FEATURES_VERSION: u32 = 1;

/// The person as numbers, about 0 to 1 each; the three behind `alive` say that something is not known. The last is where
/// it is shown. Records that hold fewer facts were made when there were no others: those they miss are 0.
pub const FACTS: [&str; 10] = [
    "recency",
    "frequency",
    "value",
    "tenure",
    "click rate",
    "alive",
    "never seen",
    "never ordered",
    "never mailed",
    "on a page",
];
/// The place of the channel in [`FACTS`]: 1 on a page, 0 in a mail.
const ON_PAGE: usize = 9;
/// Facts that may make an offer work better or worse, by position in [`FACTS`].
const WITH_OFFER: [usize; 6] = [0, 1, 2, 3, 4, 7];
/// What is shown is half as fresh in mind after this many days.
const RECENCY_HALF_LIFE_DAYS: f64 = 15.0;

/// What selection needs of a person beside the facts that rules ask.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Customer {
    /// By [`FACTS`].
    pub facts: [f64; FACTS.len()],
    /// Distinct orders.
    pub orders: u32,
    /// Money spent, in minor units.
    pub spend_minor: i64,
}

impl Customer {
    /// The person of a history.
    #[expect(clippy::cast_precision_loss, reason = "days and money of one person are far below 2^52")]
    pub fn of(history: &History) -> Self {
        let days = |days: i64| (days.max(0) as f64).ln_1p() / 6.0;
        let flag = |unknown: bool| f64::from(u8::from(unknown));
        let facts = [
            history.days_since_seen.map_or(0.0, days),
            f64::from(history.orders_365d).ln_1p() / 2.5,
            (history.spend_365d.max(0) as f64 / 100.0).ln_1p() / 6.0,
            days(history.tenure_days),
            4.0 * (history.mails.click_rate_last_5 - 0.03),
            history.value.as_ref().map_or(0.0, |value| value.p_alive),
            flag(history.days_since_seen.is_none()),
            flag(history.orders_total == 0),
            flag(history.mails.sent == 0),
            0.0,
        ];
        let facts = facts.map(|value| if value.is_finite() { value } else { 0.0 });
        Self { facts, orders: history.orders_total, spend_minor: history.spend_total.max(0) }
    }

    /// The same person, who is shown something there.
    #[must_use]
    pub fn shown(mut self, channel: Channel) -> Self {
        self.facts[ON_PAGE] = match channel {
            Channel::Mail => 0.0,
            Channel::Page => 1.0,
        };
        self
    }

    /// Where they are shown something.
    pub fn channel(&self) -> Channel {
        if self.facts[ON_PAGE] > 0.0 { Channel::Page } else { Channel::Mail }
    }
}

/// How fresh something is in mind that was last shown this many days ago: 2^(−days/15).
pub fn recency(days: f64) -> f64 {
    (-days.max(0.0) / RECENCY_HALF_LIFE_DAYS).exp2()
}

/// What a variant is, apart from its words: kept by catalogue version, so that old decisions can be scored again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmTraits {
    /// Its name.
    pub id: VariantId,
    /// For whom; absent for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Its options by slot.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// The offer that it carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<String>,
    /// How it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tone: Option<String>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Percent off that it offers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount_percent: Option<f64>,
}

/// The variants of one campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CampaignTraits {
    /// Which campaign.
    pub campaign: CampaignId,
    /// Its variants, in the order of the catalogue.
    pub arms: Vec<ArmTraits>,
}

/// All variants of a catalogue, in its order: features get their numbers in this order, everywhere alike.
pub fn traits_of(catalog: &Catalog) -> Vec<CampaignTraits> {
    let of = |entry: &crate::catalog::variant::CampaignEntry| CampaignTraits {
        campaign: entry.campaign.id.clone(),
        arms: entry.arms.iter().filter_map(arm_traits).collect(),
    };
    catalog.campaigns().map(of).collect()
}

/// The locales of a variant say the same thing in other words; the first speaks for all.
fn arm_traits(arm: &Arm) -> Option<ArmTraits> {
    let variant = arm.locales.first()?;
    Some(ArmTraits {
        id: arm.id.clone(),
        stage: arm.stage,
        options: variant.options.clone(),
        offer: variant.offer.clone(),
        tone: variant.tone.clone(),
        category: variant.category.clone(),
        discount_percent: variant.discount_depth,
    })
}

/// Where the value of a feature comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Term {
    /// Always this.
    Constant(f64),
    /// A fact of the person, by position in [`FACTS`].
    Fact(usize),
    /// How lately the person got this variant.
    VariantRecency,
    /// How lately the person got a variant of this file.
    FileRecency,
}

/// One feature.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    /// Features of one group have weights of one size.
    pub group: String,
    /// What the group is.
    pub kind: Kind,
    /// Its name: the same name is the same feature.
    pub name: String,
    /// Its value.
    pub term: Term,
}

impl Feature {
    fn new(group: impl Into<String>, kind: Kind, name: impl Into<String>, term: Term) -> Self {
        Self { group: group.into(), kind, name: name.into(), term }
    }
}

impl Term {
    /// Its value for a person who got the variant and its file that lately.
    pub fn value(self, facts: &[f64], recency: [f64; 2]) -> f64 {
        match self {
            Self::Constant(value) => value,
            Self::Fact(fact) => facts.get(fact).copied().unwrap_or(0.0),
            Self::VariantRecency => recency[0],
            Self::FileRecency => recency[1],
        }
    }
}

/// The person's own features: the same for every variant of the campaign.
pub fn shared(campaign: &CampaignId, stage: Stage) -> Vec<Feature> {
    let mut features = vec![
        Feature::new(INTERCEPT, Kind::Intercept, INTERCEPT, Term::Constant(1.0)),
        Feature::new("campaign", Kind::Shared, format!("campaign={campaign}"), Term::Constant(1.0)),
        Feature::new("stage", Kind::Shared, format!("stage={stage}"), Term::Constant(1.0)),
    ];
    let facts = FACTS.iter().enumerate();
    features.extend(facts.map(|(i, name)| Feature::new("customer", Kind::Shared, *name, Term::Fact(i))));
    features
}

/// The features of a variant for somebody at `stage`: its options, its tone, what it offers, itself, and how they go
/// with the person.
pub fn of_arm(campaign: &CampaignId, arm: &ArmTraits, stage: Stage) -> Vec<Feature> {
    let mut features = Vec::new();
    let one = Term::Constant(1.0);
    for (slot, option) in &arm.options {
        let group = format!("{campaign}/{slot}");
        let name = format!("{group}={option}");
        let both = format!("stage={stage}×{name}");
        features.push(Feature::new(format!("stage×{group}"), Kind::Interaction, both, one));
        features.push(on_page(&group, &name));
        features.push(Feature::new(group, Kind::Arm, name, one));
    }
    for (group, word) in [("tone", &arm.tone), ("category", &arm.category)] {
        let named = word.iter().map(|word| Feature::new(group, Kind::Arm, format!("{group}={word}"), one));
        features.extend(named);
    }
    if let Some(percent) = arm.discount_percent.filter(|percent| percent.is_finite()) {
        let depth = Term::Constant((percent / 20.0).clamp(0.0, 5.0));
        features.push(Feature::new("discount", Kind::Arm, "discount depth", depth));
    }
    if let Some(offer) = &arm.offer {
        features.push(Feature::new("offer", Kind::Arm, format!("offer={offer}"), one));
        features.extend(WITH_OFFER.iter().map(|fact| {
            let name = format!("{}×offer={offer}", FACTS[*fact]);
            Feature::new("customer×offer", Kind::Interaction, name, Term::Fact(*fact))
        }));
    }
    let file = arm.id.family();
    if file != arm.id.as_str() {
        features.push(Feature::new("file", Kind::Arm, format!("file={file}"), one));
    }
    let variant = format!("variant={}", arm.id.as_str());
    if arm.options.is_empty() {
        features.push(on_page("variant", &variant));
    }
    features.push(Feature::new("variant", Kind::Arm, variant, one));
    let lately =
        [("recency of the variant", Term::VariantRecency), ("recency of the file", Term::FileRecency)];
    features.extend(lately.map(|(name, term)| Feature::new("recency", Kind::Recency, name, term)));
    features
}

/// What works on a page need not work in a mail: there it is something of its own, so that pages do not teach mails what
/// holds for pages alone.
fn on_page(group: &str, name: &str) -> Feature {
    let (group, name) = (format!("on a page×{group}"), format!("on a page×{name}"));
    Feature::new(group, Kind::Arm, name, Term::Fact(ON_PAGE))
}

/// The features of a person and a variant together, by name, zeros left out: what is learnt from.
pub fn named(
    campaign: &CampaignId,
    arm: &ArmTraits,
    stage: Stage,
    facts: &[f64],
    recency: [f64; 2],
) -> NamedFeatures {
    let all = shared(campaign, stage).into_iter().chain(of_arm(campaign, arm, stage));
    let valued = all.map(|feature| (feature.name, feature.term.value(facts, recency)));
    NamedFeatures(valued.filter(|(_, value)| *value != 0.0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(id: &str) -> ArmTraits {
        ArmTraits {
            id: VariantId::new(id),
            stage: None,
            options: BTreeMap::from([("hero".to_owned(), "photo".to_owned())]),
            offer: Some("regular".to_owned()),
            tone: Some("warm".to_owned()),
            category: None,
            discount_percent: Some(10.0),
        }
    }

    #[test]
    fn a_variant_is_its_options_its_offer_and_itself() {
        let campaign = CampaignId("journey".to_owned());
        let facts = Customer::of(&History { orders_total: 1, orders_365d: 1, ..History::default() }).facts;
        let found = named(&campaign, &arm("journey/any/a+hero=photo"), Stage::Compare, &facts, [0.5, 0.25]);
        let names: Vec<&str> = found.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "1",
                "campaign=journey",
                "stage=compare",
                "frequency",
                "click rate",
                "never seen",
                "never mailed",
                "stage=compare×journey/hero=photo",
                "journey/hero=photo",
                "tone=warm",
                "discount depth",
                "offer=regular",
                "frequency×offer=regular",
                "click rate×offer=regular",
                "file=journey/any/a",
                "variant=journey/any/a+hero=photo",
                "recency of the variant",
                "recency of the file"
            ]
        );
        assert!((found.0.last().unwrap().1 - 0.25).abs() < 1e-12);
        assert_eq!((recency(0.0), recency(15.0), recency(30.0)), (1.0, 0.5, 0.25));
    }

    #[test]
    fn a_page_adds_features_of_its_own_and_changes_no_others() {
        let campaign = CampaignId("journey".to_owned());
        let plain = ArmTraits { options: BTreeMap::new(), ..arm("journey/any/a") };
        for (arm, own) in [
            (arm("journey/any/a+hero=photo"), "on a page×journey/hero=photo"),
            (plain, "on a page×variant=journey/any/a"),
        ] {
            let names = |channel: Channel| {
                let customer = Customer::of(&History::default()).shown(channel);
                assert_eq!(customer.channel(), channel);
                named(&campaign, &arm, Stage::Compare, &customer.facts, [0.0, 0.0]).0
            };
            let mut on_page = names(Channel::Page);
            let added = on_page.iter().filter(|(name, _)| name.contains("on a page"));
            assert_eq!(added.map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["on a page", own]);
            on_page.retain(|(name, _)| !name.contains("on a page"));
            assert_eq!(on_page, names(Channel::Mail));
        }
    }
}
