//! The page of preferences as people see it.

use std::fmt::Write as _;

use axum::http::StatusCode;
use axum::response::Response;

use super::Action;
use super::Standing;
use crate::http::mailed::show;
use crate::http::mailed::topic_name;
use crate::http::page::escape;
use crate::profile::TRACKING_TRAIT;
use crate::profile::mask;

/// The words on the button that stops everything.
pub(super) const STOP: &str = "No more mail but what belongs to my orders and my account";

/// Hidden fields: what the page showed as wanted, and as not wanted.
pub(super) const SHOWN_ON: &str = "on";
pub(super) const SHOWN_OFF: &str = "off";

/// How a hidden field names a topic.
pub(super) fn topic(name: &str) -> String {
    format!("topic:{name}")
}

/// The page, with what was done by the last form, if there was one.
pub(super) fn page(standing: &Standing, done: Option<Action>) -> Response {
    let mut body = String::new();
    if let Some(done) = done {
        let _ = write!(body, "<p class=\"done\" role=\"status\">{}</p>", said(done));
    }
    let address = standing.mailed.profile.address.as_ref().map_or(String::new(), |to| mask(to.as_str()));
    let _ = write!(body, "<p>Mail from {} to {}.</p>", escape(&standing.shop), escape(&address));
    if standing.unreachable {
        body.push_str(
            "<p>Mail to this address came back, so none is sent. Give the shop another address.</p>",
        );
    } else if standing.subscribed() {
        subscribed(standing, &mut body);
    } else {
        let wording = escape(&standing.wording());
        let _ = write!(
            body,
            "<p>You get no mail but what belongs to your orders and your account.</p>\
             <blockquote>{wording}</blockquote>{}",
            button(Action::Subscribe, "Subscribe again", "")
        );
    }
    show(StatusCode::OK, "Your mail preferences", &body)
}

fn subscribed(standing: &Standing, body: &mut String) {
    if let Some(until) = standing.paused_until {
        let day = until.to_zoned(jiff::tz::TimeZone::UTC).strftime("%-d %B %Y").to_string();
        let _ = write!(
            body,
            "<p>Paused until {day}: nothing comes but what belongs to your orders and your account.</p>{}",
            button(Action::Resume, "End the pause now", " class=\"quiet\"")
        );
    }
    body.push_str("<form method=\"post\"><fieldset><legend>What you get</legend>");
    for (topic, wanted) in &standing.topics {
        let checked = if *wanted { " checked" } else { "" };
        let _ = write!(
            body,
            "{}<label><input type=\"checkbox\" name=\"topic\" value=\"{}\"{checked}> {}</label>",
            shown(&self::topic(topic), *wanted),
            escape(topic),
            escape(&topic_name(topic))
        );
    }
    let tracked = if standing.tracked { " checked" } else { "" };
    let _ = write!(
        body,
        "</fieldset>{}<label><input type=\"checkbox\" name=\"{TRACKING_TRAIT}\" value=\"on\"{tracked}> \
         Let the shop see which of its mails I open and click, so that it sends me what I like</label>\
         <button name=\"action\" value=\"{}\">Save</button></form><h2>Less, or nothing</h2>",
        shown(TRACKING_TRAIT, standing.tracked),
        Action::Save.as_str()
    );
    if standing.paused_until.is_none() {
        body.push_str(&button(Action::Pause, "Pause for 30 days", " class=\"quiet\""));
    }
    body.push_str(&button(Action::Stop, "Stop all mail", " class=\"quiet\""));
    body.push_str("<p class=\"note\">What belongs to your orders and your account still comes.</p>");
}

fn shown(what: &str, wanted: bool) -> String {
    let name = if wanted { SHOWN_ON } else { SHOWN_OFF };
    format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape(what))
}

fn button(action: Action, text: &str, class: &str) -> String {
    let action = action.as_str();
    format!("<form method=\"post\"><button name=\"action\" value=\"{action}\"{class}>{text}</button></form>")
}

fn said(done: Action) -> &'static str {
    match done {
        Action::Save => "Saved.",
        Action::Pause => "Paused for 30 days.",
        Action::Resume => "The pause is over.",
        Action::Stop => "You are unsubscribed from everything.",
        Action::Subscribe => "You are subscribed again. Welcome back.",
    }
}
