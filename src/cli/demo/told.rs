//! What a demonstration tells of its mails: what became of them, who got what, and why.

use std::collections::BTreeMap;

use crate::cli::say::say;
use crate::decision::Decision;
use crate::decision::VariantId;
use crate::send::SendId;
use crate::send::State;
use crate::stage::Stage;
use crate::store::Store;
use crate::store::StoredSend;

/// What was sent to whom, and why.
pub(super) async fn who_got_what(store: &Store, sends: &[StoredSend]) -> anyhow::Result<()> {
    let mut by_campaign: BTreeMap<&str, BTreeMap<State, usize>> = BTreeMap::new();
    let mut by_reason: BTreeMap<(State, &str), usize> = BTreeMap::new();
    let mut by_stage: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for stored in sends {
        *by_campaign
            .entry(stored.send.campaign.as_str())
            .or_default()
            .entry(stored.send.state)
            .or_default() += 1;
        if let Some(reason) = stored.reason.as_deref().filter(|_| stored.send.state != State::Sent) {
            *by_reason.entry((stored.send.state, reason)).or_default() += 1;
        }
        let variant = stored.variant.as_ref().filter(|_| stored.send.state == State::Sent);
        if let Some(family) = variant.map(VariantId::family) {
            let stage = family.split('/').nth(1).unwrap_or_default();
            *by_stage.entry(stage).or_default().entry(family).or_default() += 1;
        }
    }
    say!("\nWhat became of them");
    for (campaign, states) in &by_campaign {
        let counts: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        say!("  {campaign:<20} {}", counts.join(", "));
    }
    say!("\nWhy some got nothing");
    for ((state, reason), count) in &by_reason {
        say!("  {count:>6} {state}: {reason}");
    }
    say!("\nWho got what: one mail, many angles");
    for stage in Stage::ALL {
        let families = by_stage.get(stage.as_str());
        let total: usize = families.into_iter().flat_map(BTreeMap::values).sum();
        let mut ranked: Vec<_> = families.into_iter().flatten().collect();
        ranked.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let most: Vec<String> = ranked
            .iter()
            .take(3)
            .map(|(family, count)| format!("{} ({count})", family.rsplit('/').next().unwrap_or_default()))
            .collect();
        say!(
            "  {:<9} {total:>5} mails, {:>3} files; most often {}",
            stage.as_str(),
            ranked.len(),
            most.join(", ")
        );
    }
    tell_three(store, sends).await
}

/// Three people at different stages, with the reason for their mail.
async fn tell_three(store: &Store, sends: &[StoredSend]) -> anyhow::Result<()> {
    say!("\nThree of them");
    for stage in [Stage::Educate, Stage::Compare, Stage::Purchase] {
        let marker = format!("/{stage}/");
        let found = sends.iter().find(|stored| {
            stored.send.state == State::Sent
                && stored.variant.as_ref().is_some_and(|variant| variant.as_str().contains(&marker))
        });
        let Some(stored) = found else { continue };
        let ids: [SendId; 1] = [stored.send.id.clone()];
        let Some(decision) = store.decisions(&ids).await?.remove(&ids[0]) else { continue };
        say!("  {}", story(stored, &decision));
    }
    Ok(())
}

fn story(stored: &StoredSend, decision: &Decision) -> String {
    let name = decision.inputs["profile"]["first_name"].as_str().unwrap_or("somebody").to_owned();
    let variant = stored.variant.as_ref().map(|variant| variant.family().to_owned()).unwrap_or_default();
    format!(
        "{name} ({}): {}\n      got {variant}, one of {} that fitted, with probability {:.3}",
        stored.send.profile,
        decision.stage_reason,
        decision.candidates.len(),
        decision.propensity,
    )
}
