//! The sentence that names the facts behind a placement.

use super::Stage;
use super::place::Evidence;
use super::place::Verdict;
use crate::event::name;
use crate::event::slug;
use crate::history::EventCounts;
use crate::history::History;

/// Stands where the slug of an event stands.
pub(super) const REPEAT_VIEWS: &str = "repeat_views";
/// How many facts a sentence names.
const FACTS_MAX: usize = 2;

/// What one and several of an event are called.
const NOUNS: &[(&str, &str, &str)] = &[
    (name::SIGNED_UP, "sign-up", "sign-ups"),
    (name::PAGE_VIEWED, "page view", "page views"),
    (name::PRODUCT_LIST_VIEWED, "category view", "category views"),
    (name::ARTICLE_VIEWED, "article read", "articles read"),
    (name::EMAIL_LINK_CLICKED, "click in a mail", "clicks in mails"),
    (name::PRODUCTS_SEARCHED, "search", "searches"),
    (name::PRODUCT_COMPARED, "product comparison", "product comparisons"),
    (name::PRODUCT_ADDED_TO_WISHLIST, "addition to the wish list", "additions to the wish list"),
    (name::PRODUCT_ADDED, "addition to the cart", "additions to the cart"),
    (name::CHECKOUT_STARTED, "checkout started", "checkouts started"),
    (name::ORDER_COMPLETED, "order", "orders"),
    (name::PRODUCT_REVIEWED, "review written", "reviews written"),
];

pub(super) fn sentence(
    history: &History,
    evidence: &[Evidence<'_>],
    stage: Stage,
    verdict: Verdict,
) -> String {
    let mut sentence = title(stage).to_owned();
    if let Verdict::Kept { leader } = verdict {
        sentence.push_str(", kept because ");
        sentence.push_str(title(leader));
        sentence.push_str(" leads by too little");
    }
    sentence.push_str(": ");
    sentence.push_str(&facts(history, evidence, stage));
    sentence
}

fn title(stage: Stage) -> &'static str {
    match stage {
        Stage::Discover => "Discover",
        Stage::Educate => "Educate",
        Stage::Compare => "Compare",
        Stage::Purchase => "Purchase",
    }
}

/// The facts that weigh most for this stage; where none does, how long ago the person was last seen.
fn facts(history: &History, evidence: &[Evidence<'_>], stage: Stage) -> String {
    let points = |item: &&Evidence<'_>| item.points.of(stage) * item.weight;
    let mut telling: Vec<&Evidence<'_>> = evidence.iter().filter(|item| points(item) >= 0.1).collect();
    telling.sort_by(|a, b| points(b).total_cmp(&points(a)));
    // A return to a product is told as all the views of how few products, once.
    let views = |item: &Evidence<'_>| item.slug == REPEAT_VIEWS || item.slug == slug(name::PRODUCT_VIEWED);
    let mut told = false;
    telling.retain(|item| !(views(item) && std::mem::replace(&mut told, true)));
    telling.truncate(FACTS_MAX);
    let Some(window_days) = telling.iter().map(|item| window_days(item.counts)).max() else {
        return nothing_telling(history, stage);
    };
    let phrases: Vec<String> = telling.iter().map(|item| phrase(history, item, window_days)).collect();
    let window = match window_days {
        1 => "24 hours".to_owned(),
        days => format!("{days} days"),
    };
    format!("{} in {window}", phrases.join(" and "))
}

fn nothing_telling(history: &History, stage: Stage) -> String {
    match (stage, history.days_since_order, history.days_since_seen) {
        (Stage::Educate, Some(days), _) => format!("a customer whose last order was {} ago", in_days(days)),
        (_, _, Some(days)) => format!("last seen {} ago", in_days(days)),
        (_, _, None) => "nothing is known yet".to_owned(),
    }
}

fn in_days(days: i64) -> String {
    match days {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// The smallest window that holds nearly all of the last year's.
fn window_days(counts: &EventCounts) -> u16 {
    let nearly_all = counts.count_365d.max(1) - counts.count_365d / 5;
    [(1, counts.count_1d), (7, counts.count_7d), (30, counts.count_30d), (90, counts.count_90d)]
        .into_iter()
        .find(|(_, count)| *count >= nearly_all)
        .map_or(365, |(days, _)| days)
}

fn phrase(history: &History, item: &Evidence<'_>, window_days: u16) -> String {
    if item.slug == REPEAT_VIEWS || item.slug == slug(name::PRODUCT_VIEWED) {
        return views_phrase(history, window_days);
    }
    let count = count_in(item.counts, window_days);
    match NOUNS.iter().find(|(name, _, _)| slug(name) == item.slug) {
        Some((_, one, _)) if count == 1 => format!("1 {one}"),
        Some((_, _, many)) => format!("{count} {many}"),
        None => format!("{count} × {}", item.slug),
    }
}

fn views_phrase(history: &History, window_days: u16) -> String {
    let views = history.events.get(&slug(name::PRODUCT_VIEWED));
    let views = views.map_or(0, |counts| count_in(counts, window_days));
    let products = match window_days {
        7 => Some(history.viewed_products_7d),
        30 => Some(history.viewed_products_30d),
        _ => None,
    };
    let of = match products {
        Some(1) => "1 product".to_owned(),
        Some(products) => format!("{products} products"),
        None => "products".to_owned(),
    };
    format!("{views} {} of {of}", if views == 1 { "view" } else { "views" })
}

fn count_in(counts: &EventCounts, window_days: u16) -> u32 {
    match window_days {
        1 => counts.count_1d,
        7 => counts.count_7d,
        30 => counts.count_30d,
        90 => counts.count_90d,
        _ => counts.count_365d,
    }
}
