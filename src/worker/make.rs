//! From a saved decision to signed bytes. A retry comes here too, and gets the same bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::campaign::Campaign;
use crate::campaign::Tracking;
use crate::decision::Choice;
use crate::decision::Decision;
use crate::decision::TemplateHash;
use crate::deliver::message::ComposedMail;
use crate::deliver::message::Extras;
use crate::metrics::Metrics;
use crate::metrics::Step;
use crate::profile::EmailAddress;
use crate::render::CompiledTemplate;
use crate::render::LinkContext;
use crate::render::RenderFault;
use crate::render::Rendered;
use crate::worker::engine::Engine;
use crate::worker::links::OwnLinks;
use crate::worker::sender::MailError;

/// Why a decision does not become a mail. Data: the send fails with it, and nobody else's does.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The content.
    #[error(transparent)]
    Render(#[from] RenderFault),
    /// The mail around it.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// A decision to send nothing came here.
    #[error("the decision is to send nothing")]
    Nothing,
}

impl MakeError {
    /// The machine word under which reports count it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Render(_) => "render",
            Self::Mail(_) => "compose",
            Self::Nothing => "no_send",
        }
    }
}

impl Engine {
    /// Whether the catalogue still holds the template of a decision.
    pub fn knows_template(&self, decision: &Decision) -> bool {
        match &decision.choice {
            Choice::Variant { template, .. } => self.renderer.contains(template),
            Choice::NoSend => true,
        }
    }

    /// Renders a decision. `stored` is its template as it was, where the catalogue has changed since.
    pub fn render(
        &self,
        decision: &Decision,
        campaign: &Campaign,
        stored: Option<Arc<CompiledTemplate>>,
    ) -> Result<(Rendered, OwnLinks), MakeError> {
        let refused = crate::profile::refuses_tracking(
            decision.inputs.get("profile").and_then(|profile| profile.get(crate::profile::TRACKING_TRAIT)),
        );
        let tracking = if refused { Tracking::Off } else { self.tracking(campaign.tracking) };
        self.render_with(decision, tracking, stored)
    }

    /// The mail as a web page: what was sent, without anything that counts who looks.
    pub fn render_page(
        &self,
        decision: &Decision,
        stored: Option<Arc<CompiledTemplate>>,
    ) -> Result<String, MakeError> {
        self.render_with(decision, Tracking::Off, stored).map(|(rendered, _)| rendered.html)
    }

    fn render_with(
        &self,
        decision: &Decision,
        tracking: Tracking,
        stored: Option<Arc<CompiledTemplate>>,
    ) -> Result<(Rendered, OwnLinks), MakeError> {
        let Choice::Variant { variant, template } = &decision.choice else { return Err(MakeError::Nothing) };
        let shop_url = self.shop.get("url").and_then(serde_json::Value::as_str).unwrap_or_default();
        let own = self.sender.links.own(&decision.send);
        let trap = match tracking {
            Tracking::On => self.sender.links.trap(&decision.send, shop_url),
            Tracking::Off => None,
        };
        let links = LinkContext {
            send: decision.send.as_str(),
            tracking,
            unsubscribe: &own.unsubscribe,
            preferences: own.preferences.as_deref(),
            view: own.view.as_deref(),
            honeypot: trap.as_deref(),
        };
        let rendered = match stored {
            Some(stored) => {
                let renderer = self.renderer.with_stored(variant.as_str().to_owned(), stored);
                renderer.render(template, &decision.inputs, &links)?
            }
            None => self.renderer.render(template, &decision.inputs, &links)?,
        };
        Ok((rendered, own))
    }

    /// Renders regions of a decision's HTML for another place than a mail, each by its name: links lead where they say,
    /// and nothing is counted by them. One that the variant does not show is left out.
    pub fn regions<'n>(
        &self,
        decision: &Decision,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<BTreeMap<String, String>, MakeError> {
        let Choice::Variant { template, .. } = &decision.choice else { return Err(MakeError::Nothing) };
        let own = self.sender.links.own(&decision.send);
        let links = LinkContext {
            send: decision.send.as_str(),
            tracking: Tracking::Off,
            unsubscribe: &own.unsubscribe,
            preferences: own.preferences.as_deref(),
            view: own.view.as_deref(),
            honeypot: None,
        };
        Ok(self.renderer.regions(template, names, &decision.inputs, &links)?)
    }

    /// Renders, composes and signs, each a step of `metrics`.
    pub fn make(
        &self,
        decision: &Decision,
        campaign: &Campaign,
        to: &EmailAddress,
        stored: Option<Arc<CompiledTemplate>>,
        extras: Extras<'_>,
        metrics: &Metrics,
    ) -> Result<ComposedMail, MakeError> {
        let (rendered, own) = metrics.step(Step::Render, || self.render(decision, campaign, stored))?;
        let compose = || self.sender.compose(decision, campaign, to, &rendered, &own, extras);
        let mail = metrics.step(Step::Compose, compose)?;
        Ok(metrics.step(Step::Sign, || self.sender.sign(mail, decision))?)
    }

    /// Every template of the catalogue as the database keeps it.
    pub fn stored_form(&self, hash: &TemplateHash) -> Option<String> {
        let template = self.catalog.template(hash)?;
        serde_json::to_string(template.as_ref()).ok()
    }
}
