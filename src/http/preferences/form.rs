//! The page of preferences as people see it.

use std::fmt::Write as _;

use axum::http::StatusCode;
use axum::response::Response;

use super::Action;
use super::Standing;
use crate::http::mailed::show;
use crate::http::page::escape;
use crate::http::words::Words;
use crate::profile::TRACKING_TRAIT;
use crate::profile::mask;

/// Hidden fields: what the page showed as wanted, and as not wanted.
pub(super) const SHOWN_ON: &str = "on";
pub(super) const SHOWN_OFF: &str = "off";

/// How a hidden field names a topic.
pub(super) fn topic(name: &str) -> String {
    format!("topic:{name}")
}

/// The page, with what was done by the last form, if there was one.
pub(super) fn page(standing: &Standing, done: Option<Action>) -> Response {
    let words = &standing.words;
    let mut body = String::new();
    if let Some(done) = done {
        let said = words.html(said(words, done), &[]);
        let _ = write!(body, "<p class=\"done\" role=\"status\">{said}</p>");
    }
    let address = standing.mailed.profile.address.as_ref().map_or(String::new(), |to| mask(to.as_str()));
    let _ = write!(body, "<p>{}</p>", words.html(&words.preferences_of, &[("address", &address)]));
    if standing.unreachable {
        body.push_str(&words.paragraph(&words.unreachable));
    } else if standing.subscribed() {
        subscribed(standing, &mut body);
    } else {
        let _ = write!(
            body,
            "{}<blockquote>{}</blockquote>{}",
            words.paragraph(&words.stopped),
            escape(&standing.wording()),
            button(words, Action::Subscribe, &words.subscribe_button, "")
        );
    }
    show(words, StatusCode::OK, &words.preferences_title, &body)
}

fn subscribed(standing: &Standing, body: &mut String) {
    let words = &standing.words;
    let quiet = " class=\"quiet\"";
    if let Some(until) = standing.paused_until {
        let day = words.day(until, &standing.zone);
        let _ = write!(
            body,
            "<p>{}</p>{}",
            words.html(&words.paused, &[("day", &day)]),
            button(words, Action::Resume, &words.resume_button, quiet)
        );
    }
    let legend = words.html(&words.topics_legend, &[]);
    let _ = write!(body, "<form method=\"post\"><fieldset><legend>{legend}</legend>");
    for (topic, wanted) in &standing.topics {
        let checked = if *wanted { " checked" } else { "" };
        let _ = write!(
            body,
            "{}<label><input type=\"checkbox\" name=\"topic\" value=\"{}\"{checked}> {}</label>",
            shown(&self::topic(topic), *wanted),
            escape(topic),
            escape(&words.topic_name(topic))
        );
    }
    let tracked = if standing.tracked { " checked" } else { "" };
    let _ = write!(
        body,
        "</fieldset>{}<label><input type=\"checkbox\" name=\"{TRACKING_TRAIT}\" value=\"on\"{tracked}> {}</label>\
         <button name=\"action\" value=\"{}\">{}</button></form><h2>{}</h2>",
        shown(TRACKING_TRAIT, standing.tracked),
        words.html(&words.tracking_label, &[]),
        Action::Save.as_str(),
        words.html(&words.save_button, &[]),
        words.html(&words.less_heading, &[])
    );
    if standing.paused_until.is_none() {
        body.push_str(&button(words, Action::Pause, &words.pause_button, quiet));
    }
    body.push_str(&button(words, Action::Stop, &words.stop_all_button, quiet));
    body.push_str(&words.note(&words.still_comes_note));
}

fn shown(what: &str, wanted: bool) -> String {
    let name = if wanted { SHOWN_ON } else { SHOWN_OFF };
    format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape(what))
}

fn button(words: &Words, action: Action, text: &str, class: &str) -> String {
    let (action, text) = (action.as_str(), words.html(text, &[]));
    format!("<form method=\"post\"><button name=\"action\" value=\"{action}\"{class}>{text}</button></form>")
}

fn said(words: &Words, done: Action) -> &str {
    match done {
        Action::Save => &words.done_save,
        Action::Pause => &words.done_pause,
        Action::Resume => &words.done_resume,
        Action::Stop => &words.done_stop,
        Action::Subscribe => &words.done_subscribe,
    }
}
