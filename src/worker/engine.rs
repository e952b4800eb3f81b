//! What decides and renders, for the worker, for previews and for explanations alike: one path, no copy of it.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Map;
use serde_json::Value;

use crate::campaign::CampaignId;
use crate::campaign::Tracking;
use crate::catalog::Catalog;
use crate::catalog::offer::Offer;
use crate::catalog::variant::CampaignEntry;
use crate::config::Config;
use crate::decision::TemplateHash;
use crate::facts::Asked;
use crate::history::FoldContext;
use crate::ingest;
use crate::learn::value::ValueModel;
use crate::product::ProductIndex;
use crate::product::money;
use crate::render::LinkSigner;
use crate::render::Renderer;
use crate::select::features;
use crate::select::recommend::ItemModel;
use crate::worker::gate::GateRules;
use crate::worker::links::Links;
use crate::worker::models::PolicyHolder;
use crate::worker::sender::Sender;
use crate::worker::steps::Steps;

/// Facts with products: a mail whose template names one of them shows its products.
const PRODUCT_FACTS: [&str; 7] =
    ["recommended", "related", "popular", "viewed", "wish_list", "purchased", "cart"];

/// Everything but the database: immutable, shared by all tasks, replaced as a whole when templates change.
#[derive(Debug)]
pub struct Engine {
    /// The configuration.
    pub config: Config,
    /// Campaigns, variants, rules.
    pub catalog: Catalog,
    /// Compiled templates.
    pub renderer: Renderer,
    /// Products by id.
    pub products: ProductIndex,
    /// What goes with what.
    pub items: ItemModel,
    /// Gate rules.
    pub rules: GateRules,
    /// Whom mail is from.
    pub sender: Sender,
    /// What customers are worth, where that could be fitted.
    pub value: Option<ValueModel>,
    /// The published model of the learning policy.
    pub policy: PolicyHolder,
    pub(super) fold: FoldContext,
    pub(super) shop: Map<String, Value>,
    /// What the configuration says of what comes in.
    pub(crate) intake: ingest::Shop,
    /// Per campaign, which facts its rules ask for.
    asked: HashMap<CampaignId, Asked>,
    /// Per campaign, the steps before it.
    pub(super) steps: Steps,
    /// Per template, which facts it may print at all: only these are frozen with a decision.
    pub(super) printed: HashMap<TemplateHash, HashSet<&'static str>>,
}

impl Engine {
    /// Puts the parts together.
    pub fn new(
        config: Config,
        catalog: Catalog,
        products: ProductIndex,
        items: ItemModel,
        sender: Sender,
    ) -> Self {
        let shop = match serde_json::to_value(&config.shop) {
            Ok(Value::Object(shop)) => shop,
            _ => Map::new(),
        };
        let intake = ingest::Shop::of_config(&config);
        let globals = Map::from_iter([("shop".to_owned(), Value::Object(shop.clone()))]);
        let links: Arc<dyn LinkSigner> = Arc::<Links>::clone(&sender.links);
        let mut renderer = Renderer::new(links, &globals);
        renderer.add(catalog.templates());
        let printed =
            catalog.templates().map(|(_, template)| (template.hash.clone(), printed(&template))).collect();
        let asked = catalog.campaigns().map(|entry| (entry.campaign.id.clone(), asked(&catalog, entry)));
        let asked = asked.collect();
        let currency = config.currency().unwrap_or(money::EURO);
        Self {
            asked,
            steps: Steps::of(&catalog),
            rules: GateRules::new(&config.cap, &config.quiet_hours),
            value: None,
            policy: PolicyHolder::new(features::traits_of(&catalog)),
            fold: FoldContext::new(&config.events.known, currency, &config.stage),
            catalog,
            renderer,
            products,
            items,
            sender,
            shop,
            intake,
            printed,
            config,
        }
    }

    /// Digits behind the point of the shop's currency.
    pub fn minor_digits(&self) -> u32 {
        self.config.minor_digits()
    }

    /// Whether a campaign's clicks and opens are counted.
    pub fn tracking(&self, campaign: Tracking) -> Tracking {
        let on = campaign == Tracking::On
            && self.config.public.tracking == Tracking::On
            && self.sender.links.can_track();
        if on { Tracking::On } else { Tracking::Off }
    }

    /// Which facts the rules of a campaign ask for.
    pub(super) fn asked(&self, campaign: &CampaignId) -> Option<&Asked> {
        self.asked.get(campaign)
    }

    /// The facts without those that this template cannot print: less to keep, less to leak.
    pub(super) fn frozen(&self, facts: Value, template: &TemplateHash) -> Value {
        let (Value::Object(mut facts), Some(printed)) = (facts, self.printed.get(template)) else {
            return Value::Null;
        };
        facts.retain(|name, _| printed.contains(name.as_str()));
        Value::Object(facts)
    }

    /// Products that a mail of this template shows: they are not recommended again for a while.
    pub(super) fn products_shown(&self, template: &TemplateHash, facts: &Value) -> Vec<String> {
        let Some(printed) = self.printed.get(template) else { return Vec::new() };
        let mut shown: Vec<String> = Vec::new();
        for list in PRODUCT_FACTS.into_iter().filter(|name| *name != "cart" && printed.contains(name)) {
            let items = facts.get(list).and_then(Value::as_array).into_iter().flatten();
            for id in items.filter_map(|product| product.get("id")?.as_str()) {
                if !shown.iter().any(|known| known == id) {
                    shown.push(id.to_owned());
                }
            }
        }
        shown
    }
}

/// Every path that a rule of the campaign, or of an offer that it may carry, reads.
fn asked(catalog: &Catalog, entry: &CampaignEntry) -> Asked {
    let mut asked = Asked::default();
    let whens = entry.variants().flat_map(|variant| variant.when.iter().map(Arc::as_ref));
    let offers = catalog.offers().flat_map(Offer::rules);
    for rule in entry.audience.iter().chain(whens).chain(offers) {
        rule.paths().for_each(|path| asked.path(&path));
    }
    entry.variants().flat_map(|variant| &variant.inputs).for_each(|input| asked.path(input));
    asked
}

/// A template that names a fact holds its name as a text somewhere. Names that only stand in the copy cost a little
/// space and nothing else. The profile is always kept: filters ask for its locale and zone.
fn printed(template: &crate::render::CompiledTemplate) -> HashSet<&'static str> {
    let parts = [&template.subject, &template.preheader, &template.html, &template.text];
    let others = ["history", "stage", "campaign", "related_to", "data", "now", "offer"];
    let named = |name: &&str| parts.iter().any(|part| part.contains(name));
    let mut found: HashSet<&'static str> = PRODUCT_FACTS.into_iter().chain(others).filter(named).collect();
    found.extend(["profile", "now"]);
    found
}
