//! A mail that was really sent, and the addresses in it, for the tests of what they lead to.

use bespoke::send::SendId;
use mail_parser::MessageParser;

use crate::support::TestApp;
use crate::support::app::Files;

/// Where the tests' configuration says that the service stands.
pub(super) const PUBLIC: &str = "https://m.shop.test";

/// A lifecycle mail with two links, and all links of its own.
pub(super) const LINKED: Files<'static> = &[
    (
        "layouts/default.mjml",
        "<mjml><mj-head><mj-title>{{ shop.name }}</mj-title></mj-head><mj-body><mj-content /><mj-section><mj-column>\
         <mj-text><a href=\"{{ links.view }}\">View</a> <a href=\"{{ links.preferences }}\">Preferences</a> \
         <a href=\"{{ links.unsubscribe }}\">Unsubscribe</a></mj-text></mj-column></mj-section></mj-body></mjml>",
    ),
    (
        "news/campaign.toml",
        "kind = \"lifecycle\"\nno_repeat_variant_days = 0\ntrigger = { cron = { schedule = \"0 10 * * *\" } }\n",
    ),
    (
        "news/any/hello.mjml",
        "+++\nsubject = \"Hello {{ profile.first_name or 'there' }}\"\n+++\n<mj-section><mj-column><mj-text>Dear {{ profile.first_name or 'friend' }}, \
         <a href=\"https://shop.test/new?for={{ profile.id }}\">see what is new</a> or <a href=\"https://shop.test/old\">what is old</a>.</mj-text></mj-column></mj-section>",
    ),
];

/// One mail, and the paths of its addresses.
#[derive(Debug, Clone)]
pub(super) struct Links {
    pub(super) send: SendId,
    pub(super) html: String,
    /// `/c/…` of the links that people see, in their order.
    pub(super) clicks: Vec<String>,
    /// `/c/…` of the one that they do not.
    pub(super) trap: Option<String>,
    /// `/o/….gif`
    pub(super) pixel: Option<String>,
    pub(super) unsubscribe: String,
    pub(super) preferences: String,
    pub(super) view: String,
}

/// Sends the planned mails of ten o'clock and reads the newest one to `name`.
pub(super) async fn mail_to(app: &TestApp, name: &str) -> Links {
    app.plans().await;
    app.at("2026-03-02T10:00:00Z").await;
    app.runs_until_idle().await;
    newest(app, name)
}

/// The newest mail to `name`.
pub(super) fn newest(app: &TestApp, name: &str) -> Links {
    let to = format!("{name}@example.test");
    let mail = app.mails().into_iter().rfind(|mail| mail.to == to).unwrap();
    let html = MessageParser::new().parse(&mail.bytes).unwrap().body_html(0).unwrap().into_owned();
    let addresses = |start: &str| -> Vec<(String, String)> {
        let found = html.split('<').filter_map(|tag| {
            let (_, rest) = tag.split_once(&format!("=\"{PUBLIC}{start}"))?;
            Some((format!("{start}{}", rest.split('"').next()?), tag.to_owned()))
        });
        found.collect()
    };
    let (hidden, seen): (Vec<_>, Vec<_>) =
        addresses("/c/").into_iter().partition(|(_, tag)| tag.contains("display:none"));
    let only = |start: &str| addresses(start).into_iter().next().map(|(path, _)| path);
    assert!(
        hidden.iter().all(|(_, tag)| tag.contains("aria-hidden=\"true\"") && tag.contains("tabindex=\"-1\""))
    );
    Links {
        send: mail.send,
        clicks: seen.into_iter().map(|(path, _)| path).collect(),
        trap: hidden.into_iter().next().map(|(path, _)| path),
        pixel: only("/o/"),
        unsubscribe: only("/u/").unwrap(),
        preferences: only("/p/").unwrap_or_default(),
        view: only("/v/").unwrap_or_default(),
        html,
    }
}
