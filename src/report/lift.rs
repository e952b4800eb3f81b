//! Lift: what campaigns changed, by everybody they were dealt to, as dealt, against the holdout.
//!
//! A unit is a person whose first send of a campaign in the period came as far as the deal: in time, with an address,
//! not suppressed. Whether mail then went (consent, cap, audience, nothing to show) does not matter: nobody on the
//! holdout's side was asked these questions, so asking them on one side only would compare different people.
//!
//! Of all campaigns together, the unit is a person whom any of them dealt with, from their first send on, and the sides
//! are those of the global holdout: people held out of one campaign only belong to the side with mail.

use std::collections::BTreeMap;
use std::collections::HashMap;

use jiff::Timestamp;

use super::ReportError;
use super::document::Report;
use super::people::Person;
use super::people::each_person;
use super::people::net;
use super::scope::CONFIDENCE;
use super::scope::Sources;
use crate::campaign::Campaign;
use crate::campaign::CampaignId;
use crate::catalog::Catalog;
use crate::decision::Slice;
use crate::learn::lift::Experiment;
use crate::learn::lift::Findings;
use crate::learn::lift::Options;
use crate::learn::lift::Outcome;
use crate::learn::lift::compare;
use crate::profile::ProfileId;
use crate::select::slices;
use crate::store::DealtSend;
use crate::worker::assemble;

mod tell;

/// A true difference is found with this probability by the smallest detectable one.
const POWER: f64 = 0.8;
/// Fewer people than this on a side are no experiment.
const PEOPLE_MIN: usize = 2;
/// The reason of a send to somebody in the holdout.
const HOLDOUT: &str = "holdout";
/// The gate asks about these before the deal, on both sides alike.
const BEFORE_THE_DEAL: [&str; 4] = ["no_address", "suppressed", "no_profile", "no_campaign"];
/// Over before the deal, or, on the side with mail only, after it: the side is told by the hash that would have dealt.
const TOLD_BY_HASH: [&str; 8] = [
    "deadline",
    "campaign_canceled",
    "canceled",
    "called_off",
    "erased",
    "orphaned",
    "quarantined",
    "unreadable",
];
/// The outcome that is a share.
const BOUGHT: &str = "people who bought";
/// The experiment of all campaigns together: whoever is held out of all against everybody else.
const ALL: &str = "all campaigns";
/// The sides.
const ARMS: [&str; 2] = ["mail", "holdout"];

/// Which side somebody is on, and since when.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Dealt {
    since: Timestamp,
    side: usize,
}

/// What somebody did within the days after the deal.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Doings {
    orders: f64,
    revenue: f64,
    /// Within as many days before the deal: what is known already.
    revenue_before: f64,
}

/// The experiment of one campaign.
#[derive(Debug, Default)]
struct Trial {
    people: HashMap<ProfileId, Dealt>,
    /// By side, dealt too late: their days are not over.
    too_young: [usize; 2],
    units: Vec<(Dealt, Doings)>,
}

pub(super) async fn make(sources: &Sources<'_>) -> Result<Report, ReportError> {
    let dealt = sources.store.dealt_sends(&sources.scope.window()).await?;
    // Without templates sizes are not tested, and whoever did not come as far as the deal is on nobody's side.
    let catalog = assemble::catalog(sources.config).ok();
    let mut trials = trials(dealt, sources, catalog.as_ref());
    each_person(sources, |person| {
        for trial in trials.values_mut() {
            if let Some(dealt) = trial.people.get(&person.id) {
                trial.units.push((*dealt, doings(&person, *dealt, sources)));
            }
        }
    })
    .await?;
    let told = trials.into_iter().map(|(campaign, trial)| {
        let share = if campaign == ALL {
            Some(sources.config.holdout.percent / 100.0)
        } else {
            campaign_of(catalog.as_ref(), &campaign).map(|campaign| holdout_share(campaign, sources))
        };
        let findings = trial.findings(share);
        (campaign, trial, findings)
    });
    Ok(tell::tell(sources, &told.collect::<Vec<_>>()))
}

/// The first send of everybody in each campaign says on which side they are.
fn trials(
    dealt: Vec<DealtSend>,
    sources: &Sources<'_>,
    catalog: Option<&Catalog>,
) -> BTreeMap<String, Trial> {
    let mut trials: BTreeMap<String, Trial> = BTreeMap::new();
    let mut whole: HashMap<ProfileId, Timestamp> = HashMap::new();
    let mut last: Option<(ProfileId, String)> = None;
    for send in dealt {
        let key = (send.profile, send.campaign);
        let is_first = last.as_ref() != Some(&key);
        last = Some(key.clone());
        let is_open = send.reason.is_empty();
        if !is_first || is_open || BEFORE_THE_DEAL.contains(&send.reason.as_str()) {
            continue;
        }
        let side = match send.reason.as_str() {
            HOLDOUT => 1,
            reason if TOLD_BY_HASH.contains(&reason) => {
                let Some(campaign) = campaign_of(catalog, &key.1) else { continue };
                let slice = slices::slice(campaign, &key.0, sources.config.holdout.percent);
                usize::from(slice == Slice::Holdout)
            }
            _ => 0,
        };
        let first = whole.entry(key.0.clone()).or_insert(send.due_at);
        *first = send.due_at.min(*first);
        trials.entry(key.1).or_default().deal(key.0, Dealt { since: send.due_at, side }, sources);
    }
    let held_out = sources.config.holdout.percent;
    if sources.scope.campaign.is_none() && held_out > 0.0 && trials.len() > 1 {
        let trial = trials.entry(ALL.to_owned()).or_default();
        for (profile, since) in whole {
            let side = usize::from(slices::is_held_out_of_all(&profile, held_out));
            trial.deal(profile, Dealt { since, side }, sources);
        }
    }
    trials
}

fn doings(person: &Person, dealt: Dealt, sources: &Sources<'_>) -> Doings {
    let days_ms = sources.scope.days_ms();
    let mut doings = Doings::default();
    for order in &person.orders {
        let after = order.at.as_millisecond() - dealt.since.as_millisecond();
        if (0..days_ms).contains(&after) {
            doings.orders += 1.0;
            doings.revenue += sources.major(net(order));
        } else if (-days_ms..0).contains(&after) {
            doings.revenue_before += sources.major(net(order));
        }
    }
    doings
}

fn campaign_of<'c>(catalog: Option<&'c Catalog>, name: &str) -> Option<&'c Campaign> {
    let entry = catalog?.campaign(&CampaignId(name.to_owned()))?;
    Some(&entry.campaign)
}

/// The share of people that a campaign was to hold out, as it is stated now.
fn holdout_share(campaign: &Campaign, sources: &Sources<'_>) -> f64 {
    let global = sources.config.holdout.percent / 100.0;
    global + (1.0 - global) * campaign.holdout_percent / 100.0
}

impl Trial {
    /// Takes somebody in, unless their days are not over.
    fn deal(&mut self, profile: ProfileId, dealt: Dealt, sources: &Sources<'_>) {
        if dealt.since.as_millisecond() + sources.scope.days_ms() > sources.scope.until.as_millisecond() {
            self.too_young[dealt.side] += 1;
        } else {
            self.people.insert(profile, dealt);
        }
    }

    fn sizes(&self) -> [usize; 2] {
        [0, 1].map(|side| self.units.iter().filter(|(dealt, _)| dealt.side == side).count())
    }

    /// What the comparison says; `None` where there is nobody on a side.
    fn findings(&self, holdout_share: Option<f64>) -> Option<Findings> {
        let sizes = self.sizes();
        if sizes.iter().any(|size| *size < PEOPLE_MIN) {
            return None;
        }
        let column = |name: &str, value: fn(&Doings) -> f64| Outcome {
            name: name.to_owned(),
            values: self.units.iter().map(|(_, doings)| value(doings)).collect(),
        };
        let outcomes = vec![
            column(BOUGHT, |doings| f64::from(doings.orders > 0.0)),
            column("orders a person", |doings| doings.orders),
            column("revenue a person", |doings| doings.revenue),
        ];
        let known = holdout_share.filter(|share| *share > 0.0 && *share < 1.0);
        let actual = sizes.map(crate::learn::stats::as_f64);
        let experiment = Experiment {
            arms: ARMS.map(str::to_owned).to_vec(),
            control: 1,
            arm_of: self.units.iter().map(|(dealt, _)| u32::from(dealt.side == 1)).collect(),
            outcomes,
            covariate: Some(self.units.iter().map(|(_, doings)| Some(doings.revenue_before)).collect()),
            // Where the share is not known the sizes are taken as they are, and the test says nothing.
            expected_shares: known.map_or(actual.to_vec(), |share| vec![1.0 - share, share]),
        };
        Some(compare(&experiment, &Options { confidence: CONFIDENCE, power: POWER }))
    }
}
