//! The signed addresses of a mail: clicks, opens, unsubscribe, preferences, view.

use std::sync::Arc;

use crate::profile::EmailAddress;
use crate::render::LinkSigner;
use crate::send::SendId;
use crate::token::Keyring;
use crate::token::Purpose;

/// Makes the addresses that lead back to us. Without a public address nothing is tracked, and people unsubscribe
/// by mail.
#[derive(Debug, Clone)]
pub struct Links {
    keys: Arc<Keyring>,
    public_url: Option<String>,
    domain: String,
}

/// What one mail's footer and headers need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnLinks {
    /// `links.unsubscribe`: the page for people.
    pub unsubscribe: String,
    /// The one https address of RFC 8058, where there is a public address.
    pub one_click: Option<String>,
    /// An address whose mails are unsubscribes.
    pub unsubscribe_address: String,
    /// `links.preferences`, where there is a public address.
    pub preferences: Option<String>,
    /// `links.view`, where there is a public address.
    pub view: Option<String>,
}

impl Links {
    /// `domain` receives what people and hosts send back.
    pub fn new(keys: Arc<Keyring>, public_url: Option<&str>, domain: &str) -> Self {
        let public_url = public_url.map(|url| url.trim_end_matches('/').to_owned());
        Self { keys, public_url, domain: domain.to_owned() }
    }

    /// What they are signed with.
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keys
    }

    /// Whether clicks and opens can be counted at all.
    pub fn can_track(&self) -> bool {
        self.public_url.is_some()
    }

    /// The links of one send.
    pub fn own(&self, send: &SendId) -> OwnLinks {
        let address = format!("u{}", self.keys.sign_return_path(send).trim_start_matches('b'));
        let unsubscribe_address = format!("{address}@{}", self.domain);
        let page = |path: &str, purpose: Purpose| {
            let url = self.public_url.as_ref()?;
            Some(format!("{url}/{path}/{}", self.keys.sign(purpose, send.as_str().as_bytes())))
        };
        let one_click = page("u", Purpose::Unsubscribe);
        let by_mail = || format!("mailto:{unsubscribe_address}?subject=unsubscribe");
        OwnLinks {
            unsubscribe: one_click.clone().unwrap_or_else(by_mail),
            preferences: page("p", Purpose::Preferences),
            view: page("v", Purpose::View),
            unsubscribe_address,
            one_click,
        }
    }

    /// The envelope sender of one send: bounces that come there name the send, and nobody can forge it.
    pub fn return_path(&self, send: &SendId) -> EmailAddress {
        let address = format!("{}@{}", self.keys.sign_return_path(send), self.domain);
        EmailAddress::parse(&address).expect("60 hex digits and hyphens at a domain that was parsed before")
    }
}

/// What a click's token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Click {
    /// In which mail.
    pub send: SendId,
    /// Which link of its template; `None`: the one that no person sees.
    pub link: Option<u32>,
    /// Where it leads.
    pub target: String,
}

/// Stands for the link that no person sees; templates have far fewer links.
const TRAP_LINK: u32 = u32::MAX;
/// How many bytes of a click's token name the send.
const SEND_ID_BYTES: usize = 32;

impl Links {
    /// The address that only machines follow: hidden from people and screen readers. `None` where nothing is tracked.
    pub fn trap(&self, send: &SendId, target: &str) -> Option<String> {
        (self.can_track() && !target.is_empty()).then(|| self.click(send.as_str(), TRAP_LINK, target))
    }

    /// The page on which somebody confirms that they want our mail.
    pub fn confirm(&self, request: &str) -> Option<String> {
        let url = self.public_url.as_ref()?;
        Some(format!("{url}/k/{}", self.keys.sign(Purpose::Confirm, request.as_bytes())))
    }

    /// The send that a token of ours names.
    pub fn send_of(&self, purpose: Purpose, token: &str) -> Option<SendId> {
        SendId::parse(&self.text_of(purpose, token)?)
    }

    /// The text that a token of ours is signed over.
    pub fn text_of(&self, purpose: Purpose, token: &str) -> Option<String> {
        String::from_utf8(self.keys.verify(purpose, token)?).ok()
    }

    /// What a click's token of ours says.
    pub fn click_of(&self, token: &str) -> Option<Click> {
        let payload = self.keys.verify(Purpose::Click, token)?;
        let (send, rest) = payload.split_at_checked(SEND_ID_BYTES)?;
        let (link, target) = rest.split_first_chunk()?;
        let link = u32::from_be_bytes(*link);
        Some(Click {
            send: SendId::parse(std::str::from_utf8(send).ok()?)?,
            link: (link != TRAP_LINK).then_some(link),
            target: String::from_utf8(target.to_vec()).ok()?,
        })
    }
}

impl LinkSigner for Links {
    fn click(&self, send: &str, link: u32, target: &str) -> String {
        let Some(url) = &self.public_url else { return target.to_owned() };
        // Room for the token too: there are dozens in a mail.
        let mut address = String::with_capacity(url.len() + 64 + (send.len() + target.len()) * 4 / 3);
        address.push_str(url);
        address.push_str("/c/");
        let payload = [send.as_bytes(), &link.to_be_bytes(), target.as_bytes()];
        self.keys.sign_onto(&mut address, Purpose::Click, &payload);
        address
    }

    fn open(&self, send: &str) -> String {
        let Some(url) = &self.public_url else { return String::new() };
        format!("{url}/o/{}.gif", self.keys.sign(Purpose::Open, send.as_bytes()))
    }
}
