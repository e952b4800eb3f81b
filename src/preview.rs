//! Previews: the worker's own gate → select → render → compose for people to look at. Nothing is sent, and nothing is
//! written but files.
//!
//! In reading order: `subject` (a send that might be), `ruling` (what the worker would do with it), `coverage`
//! (every variant for a sample recipient), `shot` (what is kept of one mail), `folder` and `gallery` (the files),
//! [`test_mail`] (one such mail for real), [`replay`] (the same people under other templates).

use std::path::Path;

use jiff::Timestamp;

use crate::campaign::CampaignId;
use crate::catalog::variant::CampaignEntry;
use crate::profile::ProfileId;
use crate::store::Store;
use crate::words::Counted;
use crate::words::counted;
use crate::worker::engine::Engine;

mod coverage;
pub mod dry_run;
mod folder;
mod gallery;
pub mod replay;
mod ruling;
mod shot;
mod subject;
pub mod test_mail;
mod warnings;

use gallery::Gallery;
use ruling::rule;

/// Mails of one preview, at most.
pub const PREVIEWS_MAX: usize = 10_000;
/// Profiles that are read at a time; memory is bounded by it.
const BATCH_ROWS: usize = 100;

/// What is to be previewed.
#[derive(Debug, Clone)]
pub struct PreviewRequest {
    /// These campaigns; all where none is named.
    pub campaigns: Vec<CampaignId>,
    /// For whom.
    pub whom: Whom,
    /// As if it were this time.
    pub now: Timestamp,
    /// What becomes of mails that the gate stops.
    pub gate: Gate,
}

/// For whom a preview is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// These people.
    Profiles(Vec<ProfileId>),
    /// This many people per campaign, the same ones each time; of those only for whom the
    /// campaign would start: who did what starts it, who has the date.
    Sample(usize),
    /// The sample recipients of the templates: every variant once, drawn or not.
    Coverage,
}

/// Whether the gate has its say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gate {
    /// What it stops is shown as not sent, with the reason. Quiet hours stop nothing, they only delay.
    #[default]
    Kept,
    /// What it stops is shown as if it were sent, with the reason beside it.
    Ignored,
}

/// What a preview came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PreviewSummary {
    /// Mails written.
    pub mails: usize,
    /// Sends that would not become mails, by reason.
    pub not_sent: Vec<(String, usize)>,
    /// Mails with at least one warning.
    pub with_warnings: usize,
    /// Variants of the previewed campaigns.
    pub variants: usize,
    /// Of these, how many were never chosen here.
    pub variants_never_chosen: usize,
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The database.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// The folder, or a file in it.
    #[error("{0}")]
    Folder(String),
    /// A campaign that the templates do not have.
    #[error("{0}")]
    UnknownCampaign(String),
    /// Profiles that the database does not have.
    #[error("there is no profile {0:?}; `bespoke import profiles` brings people in, --coverage needs none")]
    UnknownProfile(String),
    /// Nobody to choose from.
    #[error("{0}")]
    Nobody(String),
    /// More than [`PREVIEWS_MAX`].
    #[error(
        "{expected} previews were asked for, of {campaigns}; at most {PREVIEWS_MAX} go into one folder: name fewer \
         campaigns with --campaign, or ask for at most {} people of each",
        PREVIEWS_MAX / campaigns.count().max(1)
    )]
    TooMany {
        /// How many.
        expected: usize,
        /// Of how many campaigns.
        campaigns: Counted<'static>,
    },
}

/// Hears how far it is: done, and of how many.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Makes previews into `out`: a folder that is missing, empty, or holds an earlier preview, which is replaced.
pub async fn preview(
    store: &Store,
    engine: &Engine,
    request: &PreviewRequest,
    out: &Path,
    progress: Progress<'_>,
) -> Result<PreviewSummary, PreviewError> {
    let entries = entries(engine, &request.campaigns)?;
    // Whatever is wrong with the request is said before an earlier preview is removed.
    let mut people = Vec::new();
    for entry in &entries {
        people.push(subject::people(store, entry, &request.whom).await?);
    }
    let expected = match request.whom {
        Whom::Coverage => entries.iter().map(|entry| entry.variants().count()).sum(),
        Whom::Sample(count) => people.iter().map(|ids| ids.len().min(count)).sum(),
        Whom::Profiles(_) => people.iter().map(Vec::len).sum(),
    };
    if expected > PREVIEWS_MAX {
        return Err(PreviewError::TooMany { expected, campaigns: counted(entries.len(), "campaign") });
    }
    let mut gallery = Gallery::open(out, request, engine)?;
    for (entry, ids) in entries.iter().zip(people) {
        if request.whom == Whom::Coverage {
            for decided in coverage::decide(engine, entry, request.now) {
                gallery.add(&shot::take(engine, entry, decided))?;
                progress(gallery.count(), expected);
            }
        } else {
            show_people(store, engine, entry, request, ids, &mut gallery, &|done| progress(done, expected))
                .await?;
        }
        gallery.cover(entry);
    }
    gallery.finish()
}

async fn show_people(
    store: &Store,
    engine: &Engine,
    entry: &CampaignEntry,
    request: &PreviewRequest,
    ids: Vec<ProfileId>,
    gallery: &mut Gallery,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<(), PreviewError> {
    let wanted = match request.whom {
        Whom::Sample(count) => count,
        _ => usize::MAX,
    };
    let before = gallery.count();
    for batch in ids.chunks(BATCH_ROWS) {
        for candidate in subject::load(store, engine, entry, batch, request.now).await? {
            let by_chance = matches!(request.whom, Whom::Sample(_));
            if by_chance && candidate.start.is_missing() {
                continue;
            }
            let ruling = rule(store, engine, entry, &candidate, request.gate, request.now).await?;
            gallery.add(&shot::take(engine, entry, ruling))?;
            progress(gallery.count());
            if gallery.count() - before >= wanted {
                return Ok(());
            }
        }
    }
    if gallery.count() == before {
        gallery.note(format!(
            "{}: none of the {} people looked at did what starts this campaign; name some with --profile, or see every variant with --coverage",
            entry.campaign.id,
            ids.len()
        ));
    }
    Ok(())
}

/// The named campaigns, or all.
fn entries<'e>(engine: &'e Engine, names: &[CampaignId]) -> Result<Vec<&'e CampaignEntry>, PreviewError> {
    if names.is_empty() {
        return Ok(engine.catalog.campaigns().collect());
    }
    names.iter().map(|name| entry(engine, name)).collect()
}

/// One campaign of the catalogue.
pub fn entry<'e>(engine: &'e Engine, name: &CampaignId) -> Result<&'e CampaignEntry, PreviewError> {
    engine.catalog.known_campaign(name.as_str()).map_err(PreviewError::UnknownCampaign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_previews_are_refused_with_what_would_do() {
        let error = PreviewError::TooMany { expected: 19_500, campaigns: counted(13_usize, "campaign") };
        assert_eq!(
            error.to_string(),
            "19500 previews were asked for, of 13 campaigns; at most 10000 go into one folder: name fewer campaigns \
             with --campaign, or ask for at most 769 people of each"
        );
    }
}
