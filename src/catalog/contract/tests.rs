//! The contract, by table.

use super::*;

fn contract() -> Contract {
    let traits = BTreeMap::from([
        ("first_name".to_owned(), TraitType::String),
        ("birthday".to_owned(), TraitType::Date),
    ]);
    let shop = Map::from_iter([("name".to_owned(), Value::from("Shop"))]);
    Contract::new(&traits, &["Lesson Booked".to_owned()], &shop)
}

#[test]
fn every_fact_has_its_type_and_says_whether_it_may_be_absent() {
    use FactType::{Any, Date, Integer, Number, Text};
    use Presence::{Always, Optional};
    let contract = contract();
    for (path, expected) in [
        ("profile.email", (Text, Optional)),
        ("profile.birthday", (Date, Optional)),
        ("history.orders_total", (Integer, Always)),
        ("history.days_since_order", (Integer, Optional)),
        ("history.events.lesson_booked.count_30d", (Integer, Always)),
        ("history.events.product_viewed.days_since", (Integer, Optional)),
        ("history.mails.click_rate_last_5", (Number, Always)),
        ("history.value.clv_365d", (Integer, Optional)),
        ("cart.value", (Integer, Always)),
        ("data.order.id", (Any, Optional)),
        ("shop.name", (Text, Always)),
    ] {
        let path: Vec<&str> = path.split('.').collect();
        assert_eq!(contract.lookup(&path), Ok(expected), "{path:?}");
    }
}

#[test]
fn an_unknown_path_names_its_nearest() {
    let contract = contract();
    for (path, position, message, help) in [
        ("histroy.x", 0, "the facts have no `histroy`", "did you mean `history`?"),
        ("history.order_total", 1, "`history` has no `order_total`", "did you mean `history.orders_total`?"),
        (
            "profile.shoe_size",
            1,
            "`profile` has no `shoe_size`",
            "declare it under [traits] in bespoke.toml, or use one of: birthday, consent, created_at, email, \
             first_name, id, locale, time_zone",
        ),
        ("stage.name", 1, "`stage` is text: it has no `name`", "write `stage` alone"),
    ] {
        let path: Vec<&str> = path.split('.').collect();
        let expected = UnknownPath { position, message: message.to_owned(), help: help.to_owned() };
        assert_eq!(contract.lookup(&path), Err(expected));
    }
}

#[test]
fn facts_that_breach_the_contract_are_named_by_path() {
    let contract = contract().only(&["profile", "cart"]);
    let facts = serde_json::json!({
        "profile": {"id": "1", "consent": 3, "first_nam": "Ana", "birthday": "today", "email": null},
        "cart": {"items": [{"product": {}, "quantity": "two", "price": 1, "total": 2}], "value": 2},
    });
    assert_eq!(
        contract.breaches(&facts, 10),
        [
            "`cart.items[0].product.category` is missing",
            "`cart.items[0].product.currency` is missing",
            "`cart.items[0].product.description` is missing",
            "`cart.items[0].product.id` is missing",
            "`cart.items[0].product.image_url` is missing",
            "`cart.items[0].product.name` is missing",
            "`cart.items[0].product.price` is missing",
            "`cart.items[0].product.url` is missing",
            "`cart.items[0].quantity` must be a number",
            "`profile.birthday` must be a date",
        ]
    );
}

#[test]
fn no_fact_of_the_history_is_of_unknown_type() {
    fn any(kind: &FactType) -> bool {
        match kind {
            FactType::Any => true,
            FactType::List(item) => any(item),
            FactType::Object(fields) => fields.values().any(|fact| any(&fact.kind)),
            _ => false,
        }
    }
    assert!(!any(&history(&[])));
}
