//! Rules, by table: what they come to, and what is wrong with them.

use std::collections::BTreeMap;

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::*;
use crate::config::TraitType;

fn contract() -> Contract {
    let traits = BTreeMap::from([
        ("first_name".to_owned(), TraitType::String),
        ("country".to_owned(), TraitType::String),
        ("birthday".to_owned(), TraitType::Date),
        ("points".to_owned(), TraitType::Number),
        ("vip".to_owned(), TraitType::Bool),
    ]);
    let shop = Map::from_iter([("name".to_owned(), Value::from("Shop"))]);
    Contract::new(&traits, &[], &shop)
}

/// Ana, with a cart and two orders.
fn full() -> Value {
    json!({
        "profile": {"id": "ana", "email": "ana@shop.example", "locale": "de-AT", "time_zone": "Europe/Vienna",
            "consent": "granted", "country": "AT", "birthday": "1990-11-25", "points": 7, "vip": true},
        "history": {"orders_total": 2, "days_since_order": 45, "spend_total": 12_000,
            "favourite_categories": ["boots", "hats"], "viewed_products": ["B1"], "wish_list": [],
            "purchased": [{"product_id": "B1", "quantity": 1, "orders": 1, "days_since": 45}],
            "cart": [{"product_id": "B2", "quantity": 2, "price": 4_000}],
            "events": {"product_viewed": {"count_30d": 4, "days_since": 3}},
            "mails": {"click_rate_last_5": 0.25, "last": [
                {"campaign": "winback", "at": "2026-11-01T10:00:00Z", "opened_at": null}]}},
        "stage": "compare",
        "cart": {"items": [
            {"product": {"id": "B2", "list_price": 5_000}, "quantity": 2, "price": 4_000, "total": 8_000},
            {"product": {"id": "H1"}, "quantity": 1, "price": 900, "total": 900}], "value": 8_900},
        "viewed": [{"id": "B1", "category": "boots"}],
        "purchased": [{"id": "B1", "category": "boots"}],
        "data": {"total": 70, "lines": [{"sku": "A", "gift": true}, {"sku": "B"}]},
        "now": "2026-11-22T10:00:00Z",
    })
}

/// Somebody of whom nothing is known.
fn minimal() -> Value {
    json!({
        "profile": {"id": "x", "consent": "unknown", "points": null},
        "history": {"orders_total": 0, "days_since_order": null, "favourite_categories": [], "purchased": [],
            "events": {"product_viewed": {"count_30d": 0, "days_since": null}}, "mails": {"last": []}},
        "stage": "discover", "cart": {"items": [], "value": 0}, "viewed": [], "data": {},
        "now": "2026-11-22T10:00:00Z",
    })
}

#[test]
fn a_condition_holds_or_not_and_what_is_absent_makes_it_false() {
    let check = |source: &str, with_all: bool, with_nothing: bool| {
        let rule = Rule::compile(source, "here", Expected::Condition, &contract())
            .unwrap_or_else(|faults| panic!("{source}: {faults:?}"));
        let found = (rule.holds(&full()), rule.holds(&minimal()));
        assert_eq!(found, (Ok(with_all), Ok(with_nothing)), "{source}");
    };
    check("true", true, true);
    check("history.orders_total >= 2 && stage == \"compare\"", true, false);
    check("history.days_since_order > 30", true, false);
    check("history.days_since_order <= 30", false, false);
    check("!(history.days_since_order > 30)", false, true);
    check("history.days_since_order == 45", true, false);
    check("history.days_since_order != 45", false, true);
    check("history.days_since_order == null", false, true);
    check("null != history.days_since_order", true, false);
    check("has(history.days_since_order)", true, false);
    check("!has(history.days_since_order) || history.days_since_order > 40", true, true);
    check("history.days_since_order * 2 == 90", true, false);
    check("history.days_since_order - history.orders_total != 43", false, false);
    check("profile.vip", true, false);
    check("!profile.vip", false, true);
    check("profile.vip == true", true, false);
    check("profile.vip && profile.country in [\"DE\", \"AT\"]", true, false);
    check("profile.email.endsWith(\".example\")", true, false);
    check("profile.id.matches(\"^[a-z]{3}$\")", true, false);
    check("profile.points > 6.5 && profile.points + 1 == 8", true, false);
    check("profile.birthday < \"2000-01-01\"", true, false);
    check("\"boots\" in history.favourite_categories", true, false);
    check("size(cart.items) > 1 && cart.items.size() < 3", true, false);
    check("cart.items[0].price == 4000", true, false);
    check("cart.items[9].price == 4000", false, false);
    check("cart.items.exists(line, line.price > 3000 && line.quantity == 2)", true, false);
    check("cart.items.all(line, line.total < 10000)", true, true);
    check("cart.items.exists_one(line, line.product.id == \"H1\")", true, false);
    check("cart.items.exists(line, line.product.list_price > line.price)", true, false);
    check("cart.items.all(line, has(line.product.list_price))", false, true);
    check("size(cart.items.filter(line, line.price > 1000)) == 1", true, false);
    check("\"B2\" in cart.items.map(line, line.product.id)", true, false);
    check("\"B2\" in cart.items.map(line, line.price > 1000, line.product.id)", true, false);
    check("history.events.product_viewed.count_30d > 3", true, false);
    check("history.events[\"product_viewed\"].count_30d > 3", true, false);
    check("data.total > 50", true, false);
    check("data.total == 70", true, false);
    check("data.lines.exists(line, line.gift)", true, false);
    check("data.lines.exists(line, line.gift == false || line.sku == \"B\")", true, false);
    check("data.nothing.at.all == 3", false, false);
    check("(stage == \"compare\" ? history.orders_total : 5) == 2", true, false);
    check(
        "history.mails.last.exists(mail, mail.opened_at == null && mail.campaign == \"winback\")",
        true,
        false,
    );
    check("min(history.orders_total, 1) == 1 && max(1.5, history.orders_total) == 2", true, false);
    check("string(history.orders_total) == \"2\" && int(\"3\") == 3", true, false);
    check("bought(\"X\", \"B1\") && viewed(\"B1\") && in_cart(\"B2\")", true, false);
    check(
        "bought_category(\"boots\") && viewed_category(\"boots\") && likes_category(\"hats\")",
        true,
        false,
    );
    check("on_wish_list(\"B1\")", false, false);
    check("did(\"Product Viewed\", 3) && !did(\"Product Viewed\", 2)", true, false);
    check("in_country(\"AT\") && speaks(\"de\")", true, false);
    check("on_weekday(\"sun\") && in_month(11)", true, true);
    check("mailed(\"winback\", 30) && !mailed(\"winback\", 20)", true, false);
    check("birthday_within(\"birthday\", 3) && !birthday_within(\"birthday\", 2)", true, false);
}

#[test]
fn a_number_or_text_comes_out_for_anybody() {
    let number = |source: &str, with_all: f64, with_nothing: f64| {
        let rule = Rule::compile(source, "here", Expected::Number, &contract())
            .unwrap_or_else(|faults| panic!("{source}: {faults:?}"));
        assert_eq!(
            (rule.number(&full()), rule.number(&minimal())),
            (Ok(with_all), Ok(with_nothing)),
            "{source}"
        );
    };
    number("15", 15.0, 15.0);
    number("history.orders_total >= 1 ? 15 : 10.5", 15.0, 10.5);
    number("has(history.days_since_order) ? history.days_since_order / 10 : 0", 4.0, 0.0);
    number("history.days_since_order > 30 ? min(history.days_since_order, 40) : 5", 40.0, 5.0);
    number("history.days_since_order == null ? 1 : history.days_since_order", 45.0, 1.0);
    number("round(cart.value * 0.1)", 890.0, 0.0);
    number("has(profile.points) && profile.points > 2 ? profile.points : 2", 7.0, 2.0);
    let rule =
        Rule::compile("stage == 'compare' ? 'two' : 'one'", "here", Expected::Text, &contract()).unwrap();
    assert_eq!((rule.text(&full()), rule.text(&minimal())), (Ok("two".to_owned()), Ok("one".to_owned())));
}

#[test]
fn a_faulty_rule_is_told_with_its_place_and_what_to_write() {
    let check = |source: &str, at: &str, message: &str, help: &str| {
        let faults = Rule::compile(source, "here", Expected::Condition, &contract()).expect_err(source);
        let found: Vec<(&str, &str, &str)> =
            faults.iter().map(|fault| (&source[fault.span.clone()], &*fault.message, &*fault.help)).collect();
        assert_eq!(found, [(at, message, help)], "{source}");
    };
    check("", "", "the rule is empty", "leave the key out, or write such as `history.orders_total > 0`");
    check(
        "stage = \"compare\"",
        "=",
        "the rule cannot be read: token recognition error at: '= '",
        "write `==` to compare",
    );
    check(
        "profile.vip and stage == \"compare\"",
        "a",
        "the rule cannot be read: mismatched input 'and'",
        "write `&&` for and",
    );
    check(
        "history.order_total > 3",
        "history.order_total",
        "`history` has no `order_total`",
        "did you mean `history.orders_total`?",
    );
    check(
        "profile.first_name != \"é\" && profile.fist_name == \"x\"",
        "profile.fist_name",
        "`profile` has no `fist_name`",
        "did you mean `profile.first_name`?",
    );
    check("offr.percent > 3", "offr.percent", "the facts have no `offr`", "did you mean `offer`?");
    check(
        "history.orders_total > \"3\"",
        "history.orders_total > \"3\"",
        "`history.orders_total` is a number, and is compared with text",
        "write a number, such as `history.orders_total > 3`",
    );
    check("stage == \"compair\"", "\"compair\"", "`stage` is never `compair`", "did you mean `\"compare\"`?");
    check(
        "stage in [\"buy\"]",
        "\"buy\"",
        "`stage` is never `buy`",
        "it is one of discover, educate, compare, purchase",
    );
    check(
        "history.orders_total",
        "history.orders_total",
        "`history.orders_total` is a number; it must be true or false",
        "compare it, such as `history.orders_total > 0`",
    );
    check(
        "profile.first_name && true",
        "profile.first_name",
        "`profile.first_name` is text; it must be true or false",
        "compare it, such as `profile.first_name == \"…\"`",
    );
    check(
        "view(\"B1\")",
        "view(\"B1\")",
        "there is no function `view`",
        "did you mean `viewed(\"BOOT-1\")`?",
    );
    check(
        "history.favourite_categories.contains(\"boots\")",
        "history.favourite_categories.contains(\"boots\")",
        "`history.favourite_categories` is a list; `contains` is for text",
        "for a list write `\"boots\" in history.favourite_categories`",
    );
    check(
        "\"a\" in profile.email",
        "\"a\" in profile.email",
        "`\"a\"` is text, and is looked for in text",
        "for text inside text write `profile.email.contains(\"a\")`",
    );
    check(
        "3 in history.favourite_categories",
        "3 in history.favourite_categories",
        "`3` is a number, and is looked for in a list whose items are text",
        "write such as `stage in [\"compare\", \"purchase\"]`",
    );
    check(
        "has(history.orders_total)",
        "has(history.orders_total)",
        "`history.orders_total` is always there",
        "leave the question out",
    );
    check(
        "cart.items == null",
        "cart.items == null",
        "`cart.items` is always there",
        "ask whether it is empty: `size(cart.items) > 0`",
    );
    check(
        "profile.birthday > \"22.11.2026\"",
        "\"22.11.2026\"",
        "`22.11.2026` is not a date",
        "write it as year, month, day: `\"2026-11-22\"`",
    );
    check(
        "profile.id.matches(\"[\")",
        "\"[\"",
        "this is not a regular expression",
        "write such as `\"^[A-Z]{2}-[0-9]+$\"`",
    );
    check("cart.value / 0 > 1", "cart.value / 0", "nothing can be divided by 0", "divide by another number");
    check(
        "cart.items.exists(line, line.prize > 1)",
        "line.prize",
        "`line` has no `prize`",
        "did you mean `line.price`?",
    );
    check(
        "[history.days_since_order].exists(days, days > 3)",
        "history.days_since_order",
        "`history.days_since_order` may be absent",
        "guard it: `has(history.days_since_order) ? history.days_since_order : 0`, with what fits instead of 0",
    );
    check(
        "bought()",
        "bought()",
        "`bought` does not take 0 arguments",
        "write such as `bought(\"BOOT-1\", \"BOOT-2\")`",
    );
    check(
        "bought(stage)",
        "stage",
        "`bought` takes text in quotes here, written out",
        "write such as `bought(\"BOOT-1\", \"BOOT-2\")`",
    );
    check(
        "on_weekday(\"sonntag\")",
        "\"sonntag\"",
        "`sonntag` is not a day",
        "one of mon, tue, wed, thu, fri, sat, sun",
    );
    check(
        "birthday_within(\"first_name\", 3)",
        "\"first_name\"",
        "the trait `first_name` is not a date",
        "declare `first_name = \"date\"` under [traits] in bespoke.toml",
    );
    check(
        "did(\"Product Vewed\", 3)",
        "did(\"Product Vewed\", 3)",
        "`did` reads `history.events.product_vewed.days_since`, and `history.events` has no `product_vewed`",
        "did you mean `history.events.product_viewed`?",
    );
    check(
        "{\"a\": 1} == 3",
        "{\"a\": 1}",
        "rules cannot make objects",
        "compare facts with texts, numbers and lists",
    );
    check(
        "[1, \"a\"] == [1]",
        "\"a\"",
        "the list holds a number and text",
        "put things of one kind into a list",
    );
    check(
        "cart == 3",
        "cart == 3",
        "`cart` is an object, and is compared with a number",
        "name one of its facts and compare that",
    );
}

#[test]
fn an_offer_value_that_may_be_absent_or_is_no_number_is_a_fault() {
    let check = |source: &str, message: &str| {
        let faults = Rule::compile(source, "here", Expected::Number, &contract()).expect_err(source);
        assert_eq!(faults.iter().map(|fault| &*fault.message).collect::<Vec<_>>(), [message], "{source}");
    };
    check("history.days_since_order / 2", "`history.days_since_order` may be absent");
    check("stage", "the rule comes to text; it must be a number");
    check("stage == \"compare\" ? 1 : \"2\"", "one side is a number, the other text");
}

#[test]
fn a_rule_says_which_facts_it_read() {
    let source = "history.orders_total > 1 && history.days_since_order > 9 && did(\"Product Viewed\", 3)";
    let rule = Rule::compile(source, "here", Expected::Condition, &contract()).unwrap();
    let facts = full();
    let used: Vec<(String, String)> =
        rule.facts_used(&facts).into_iter().map(|(path, value)| (path, value.to_string())).collect();
    let expected = [
        ("history.orders_total", "2"),
        ("history.days_since_order", "45"),
        ("history.events.product_viewed.days_since", "3"),
    ];
    assert_eq!(used, expected.map(|(path, value)| (path.to_owned(), value.to_owned())));
}

#[test]
fn a_rule_that_overflows_is_an_error_that_names_its_place() {
    let rule =
        Rule::compile("data.total * 9000000000000000 > 1", "a.mjml:3", Expected::Condition, &contract())
            .unwrap();
    let facts = json!({"data": {"total": 9_000_000}});
    let error = rule.holds(&facts).unwrap_err();
    assert_eq!((error.place.as_str(), error.source_text.as_str()), ("a.mjml:3", rule.source()));
    assert!(error.to_string().starts_with("a.mjml:3: the rule `data.total"), "{error}");
}
