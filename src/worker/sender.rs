//! From a rendered mail to signed bytes: who it is from, where bounces go, which headers it has.

use std::sync::Arc;

use lettre::message::Mailbox;

use crate::campaign::Campaign;
use crate::campaign::Kind;
use crate::config::Config;
use crate::decision::Decision;
use crate::decision::VariantId;
use crate::deliver::dkim;
use crate::deliver::dkim::DkimError;
use crate::deliver::dkim::DkimKey;
use crate::deliver::dkim::UnusableKey;
use crate::deliver::dkim::sign;
use crate::deliver::message::ComposeError;
use crate::deliver::message::ComposedMail;
use crate::deliver::message::Extras;
use crate::deliver::message::ListHeaders;
use crate::deliver::message::Mail;
use crate::profile::EmailAddress;
use crate::render::Rendered;
use crate::token::Keyring;
use crate::worker::links::Links;
use crate::worker::links::OwnLinks;

/// Whom mail is from, and what it is signed with.
#[derive(Debug)]
pub struct Sender {
    from: Mailbox,
    reply_to: Option<Mailbox>,
    message_id_domain: String,
    list_domain: String,
    keys: Vec<DkimKey>,
    /// Signed addresses.
    pub links: Arc<Links>,
    /// Postmark tells us of bounces, so mail may go through it.
    by_postmark: bool,
}

/// Why no mail can be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum SenderError {
    /// `sender.from` or `sender.reply_to`.
    #[error("{key} = {value:?} is no mailbox ({reason}); write `Shop <hello@shop.example>`")]
    Mailbox {
        /// Which key.
        key: &'static str,
        /// What it says.
        value: String,
        /// What is wrong.
        reason: String,
    },
    /// A domain that cannot take mail.
    #[error("sender.return_path_domain = {domain:?} is no domain: {reason}")]
    Domain {
        /// What it says.
        domain: String,
        /// What is wrong.
        reason: String,
    },
    /// DKIM keys that cannot sign, all of them.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Keys(Vec<UnusableKey>),
}

/// Why one mail could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// Its headers or parts.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// Its signature.
    #[error(transparent)]
    Sign(#[from] DkimError),
}

impl Sender {
    /// Reads keys and checks addresses.
    pub fn new(config: &Config, keyring: Arc<Keyring>) -> Result<Self, SenderError> {
        let sender = &config.sender;
        let from = mailbox("sender.from", &sender.from)?;
        let reply_to = sender.reply_to.as_deref().map(|text| mailbox("sender.reply_to", text)).transpose()?;
        let own_domain = from.email.domain().to_lowercase();
        let or_own = |domain: &Option<String>| domain.clone().unwrap_or_else(|| own_domain.clone());
        let return_path = or_own(&sender.return_path_domain);
        let probe = EmailAddress::parse(&format!("b@{return_path}"))
            .map_err(|error| SenderError::Domain { domain: return_path, reason: error.to_string() })?;
        let keys = dkim::keys(&config.dkim).map_err(SenderError::Keys)?;
        Ok(Self {
            from,
            reply_to,
            message_id_domain: or_own(&sender.message_id_domain),
            list_domain: or_own(&sender.list_id),
            keys,
            by_postmark: config.feedback.postmark_basic_auth.is_some(),
            links: Arc::new(Links::new(keyring, config.public.url.as_deref(), probe.domain())),
        })
    }

    /// The domain behind the @ of Message-IDs.
    pub fn message_id_domain(&self) -> &str {
        &self.message_id_domain
    }

    /// Whom a campaign's mail is from.
    pub fn from_of(&self, campaign: &Campaign) -> Mailbox {
        campaign.from.as_deref().and_then(|text| text.parse().ok()).unwrap_or_else(|| self.from.clone())
    }

    /// Signs, where there are keys. The same decision and content give the same bytes.
    pub fn sign(&self, mut mail: ComposedMail, decision: &Decision) -> Result<ComposedMail, MailError> {
        if !self.keys.is_empty() {
            mail.bytes = sign(&mail.bytes, &self.keys, decision.at)?;
        }
        Ok(mail)
    }

    /// Composes a mail that is not signed yet. The same decision and content give the same bytes.
    pub fn compose(
        &self,
        decision: &Decision,
        campaign: &Campaign,
        to: &EmailAddress,
        rendered: &Rendered,
        own: &OwnLinks,
        extras: Extras<'_>,
    ) -> Result<ComposedMail, MailError> {
        let from = self.from_of(campaign);
        let reply_to: Option<Mailbox> = campaign.reply_to.as_deref().and_then(|text| text.parse().ok());
        let list_id = format!("{}.{}", label(campaign.topic()), self.list_domain);
        let feedback_id = feedback_id(decision, campaign, &from);
        let return_path = self.links.return_path(&decision.send);
        let name = to_name(decision);
        let mail = Mail {
            send: &decision.send,
            from: &from,
            reply_to: reply_to.as_ref().or(self.reply_to.as_ref()),
            to,
            to_name: name.as_deref(),
            date: decision.at,
            subject: &rendered.subject,
            html: &rendered.html,
            text: &rendered.text,
            return_path: &return_path,
            message_id_domain: &self.message_id_domain,
            kind: campaign.kind,
            list: (campaign.kind == Kind::Lifecycle).then_some(ListHeaders {
                list_id: &list_id,
                unsubscribe_url: own.one_click.as_deref(),
                unsubscribe_address: &own.unsubscribe_address,
            }),
            feedback_id: &feedback_id,
            attachments: extras.attachments,
            purpose: extras.purpose,
            postmark_metadata: self.by_postmark.then(|| local_part(&return_path)),
        };
        Ok(mail.compose()?)
    }
}

fn local_part(address: &EmailAddress) -> &str {
    address.as_str().rsplit_once('@').map_or("", |(local, _)| local)
}

fn mailbox(key: &'static str, text: &str) -> Result<Mailbox, SenderError> {
    text.parse().map_err(|error: lettre::address::AddressError| SenderError::Mailbox {
        key,
        value: text.to_owned(),
        reason: error.to_string(),
    })
}

/// The recipient's name as they wrote it, for the To header.
fn to_name(decision: &Decision) -> Option<String> {
    let profile = decision.inputs.get("profile")?;
    let text = |name: &str| profile.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    let name = match text("name") {
        "" => format!("{} {}", text("first_name"), text("last_name")),
        name => name.to_owned(),
    };
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Letters, digits and hyphens: what a label of a domain name may hold.
fn label(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let label: String = text.chars().map(safe).take(63).collect();
    label.trim_matches('-').to_owned()
}

/// `campaign:family:kind:sender`, each part without colons and short.
fn feedback_id(decision: &Decision, campaign: &Campaign, from: &Mailbox) -> String {
    let family = match &decision.choice {
        crate::decision::Choice::Variant { variant, .. } => VariantId::family(variant).to_owned(),
        crate::decision::Choice::NoSend => String::new(),
    };
    let family = family.rsplit('/').next().unwrap_or_default();
    let domain = from.email.domain();
    format!("{}:{}:{}:{}", label(campaign.id.as_str()), label(family), campaign.kind.as_str(), label(domain))
}
