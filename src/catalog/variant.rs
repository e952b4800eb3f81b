//! Variants in memory: what the policy chooses among, and the campaign that they belong to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::name;
use super::rule::Rule;
use crate::campaign::Campaign;
use crate::campaign::CampaignId;
use crate::decision::TemplateHash;
use crate::decision::VariantId;
use crate::stage::Stage;

/// One complete template: a file, or a file with one option chosen for each of its slots.
#[derive(Debug, Clone)]
pub struct Variant {
    /// Its name; the variants of one file in several locales share it.
    pub id: VariantId,
    /// Whose it is.
    pub campaign: CampaignId,
    /// For whom; `None` is everybody (the folder `any`).
    pub stage: Option<Stage>,
    /// The locale in the file's name; `None` is the default locale, and everybody without a better one.
    pub locale: Option<String>,
    /// The chosen option of each slot.
    pub options: BTreeMap<String, String>,
    /// Its weight times those of its options.
    pub weight: f64,
    /// Where it stands among others under `rules`; none stands last.
    pub order: Option<i64>,
    /// All must hold.
    pub when: Vec<Arc<Rule>>,
    /// Facts that must be there and not empty, each as a path.
    pub inputs: Vec<String>,
    /// The offer that it carries.
    pub offer: Option<String>,
    /// A feature: how it speaks.
    pub tone: Option<String>,
    /// A feature: what it is about.
    pub category: Option<String>,
    /// A feature: percent off that it offers.
    pub discount_depth: Option<f64>,
    /// The compiled content.
    pub template: TemplateHash,
    /// The files that it is made of, its own first, then its options'.
    pub files: Vec<PathBuf>,
}

impl Variant {
    /// The first input that is absent, null or empty in these facts; `None` when all are there.
    pub fn missing_input(&self, facts: &Value) -> Option<&str> {
        self.inputs.iter().map(String::as_str).find(|path| !is_present(facts, path))
    }
}

/// Whether the fact at `path` is there and not empty.
pub(crate) fn is_present(facts: &Value, path: &str) -> bool {
    let value = path.split('.').try_fold(facts, |value, name| value.get(name));
    match value {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.trim().is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(fields)) => !fields.is_empty(),
        Some(Value::Bool(_) | Value::Number(_)) => true,
    }
}

/// All locales of one variant.
#[derive(Debug, Clone)]
pub struct Arm {
    /// Their name.
    pub id: VariantId,
    /// The name without the chosen options.
    pub family: Arc<str>,
    /// Their stage; `None` is everybody.
    pub stage: Option<Stage>,
    /// One per locale, the file without a locale first.
    pub locales: Vec<Variant>,
}

impl Arm {
    /// The variant for a person of this locale: `de-AT`, else `de`, else the file without a locale. `None` when
    /// there is none of them.
    pub fn for_locale(&self, locale: Option<&str>) -> Option<&Variant> {
        let ranked = self.locales.iter().filter_map(|variant| {
            name::locale_rank(variant.locale.as_deref(), locale).map(|rank| (rank, variant))
        });
        ranked.max_by_key(|(rank, _)| *rank).map(|(_, variant)| variant)
    }
}

/// A campaign with its variants.
#[derive(Debug, Clone)]
pub struct CampaignEntry {
    /// As written.
    pub campaign: Arc<Campaign>,
    /// Who may get it; everybody where there is none.
    pub audience: Option<Rule>,
    /// In the order of `rules`: by `order`, then by name.
    pub arms: Vec<Arm>,
    by_stage: [Vec<usize>; 4],
    /// By stage, each file once that is for people at another.
    elsewhere: [Vec<Arc<str>>; 4],
}

impl CampaignEntry {
    pub(super) fn new(campaign: Campaign, audience: Option<Rule>, variants: Vec<Variant>) -> Self {
        let mut arms: BTreeMap<VariantId, Arm> = BTreeMap::new();
        for variant in variants {
            let arm = arms.entry(variant.id.clone()).or_insert_with(|| Arm {
                id: variant.id.clone(),
                family: variant.id.family().into(),
                stage: variant.stage,
                locales: Vec::new(),
            });
            arm.locales.push(variant);
        }
        let mut arms: Vec<Arm> = arms.into_values().collect();
        for arm in &mut arms {
            arm.locales.sort_by(|left, right| left.locale.cmp(&right.locale));
        }
        let order = |arm: &Arm| arm.locales.first().and_then(|variant| variant.order).unwrap_or(i64::MAX);
        arms.sort_by_key(order);
        let by_stage = Stage::ALL.map(|stage| {
            let fits = |arm: &Arm| arm.stage.is_none_or(|of_arm| of_arm == stage);
            (0..arms.len()).filter(|index| fits(&arms[*index])).collect()
        });
        let elsewhere = Stage::ALL.map(|stage| {
            let mut families: Vec<Arc<str>> = Vec::new();
            for arm in arms.iter().filter(|arm| arm.stage.is_some_and(|of_arm| of_arm != stage)) {
                if !families.iter().rev().any(|known| *known == arm.family) {
                    families.push(Arc::clone(&arm.family));
                }
            }
            families
        });
        Self { campaign: Arc::new(campaign), audience, arms, by_stage, elsewhere }
    }

    /// The arms for people at `stage`, those for everybody included, in the order of `rules`.
    pub fn arms_at(&self, stage: Stage) -> impl Iterator<Item = &Arm> {
        let indexes = place(stage).map(|at| &self.by_stage[at]);
        indexes.into_iter().flatten().map(|index| &self.arms[*index])
    }

    /// The files that are for people at other stages, each once.
    pub fn families_not_at(&self, stage: Stage) -> &[Arc<str>] {
        place(stage).map_or(&[], |at| &self.elsewhere[at])
    }

    /// Every variant, in every locale.
    pub fn variants(&self) -> impl Iterator<Item = &Variant> {
        self.arms.iter().flat_map(|arm| &arm.locales)
    }
}

fn place(stage: Stage) -> Option<usize> {
    Stage::ALL.iter().position(|known| *known == stage)
}
