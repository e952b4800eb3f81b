//! Dates, traits and amounts as files write them.

use serde_json::Value;
use serde_json::json;

use super::items;
use super::options;
use super::told;
use crate::ingest::Noun;
use crate::ingest::Reader;
use crate::ingest::Source;

/// The traits of one row, and what of it was left out.
fn person(map: &str, csv: &str) -> (Value, Vec<String>) {
    let source = Source::new("in", None, std::io::Cursor::new(csv.as_bytes().to_vec())).unwrap();
    let mut reader = Reader::open(source, options(Noun::Profiles, map)).unwrap();
    let record = told(reader.next_item().unwrap().unwrap());
    let left_out = reader.left_out().map(|reject| format!("{}: {}", reject.line, reject.reason)).collect();
    (record["traits"].clone(), left_out)
}

#[test]
fn dates_follow_the_stated_format_or_their_own() {
    let map = |more: &str, born: &str| format!("{more}[fields]\nid = \"id\"\n[traits]\nborn = {born}\n");
    let german = "[time]\nformat = \"%d.%m.%Y\"\n";
    for (map, cell) in [
        (map(german, "\"geb\""), "31.12.1985"),
        (map(german, "\"geb\""), "1985-12-31"),
        (map(german, "{ column = \"geb\", type = \"date\" }"), "31.12.1985"),
        (map("", "{ column = \"geb\", format = \"%d.%m.%Y\" }"), "31.12.1985"),
        (map(german, "{ column = \"geb\", format = \"%m/%d/%Y\" }"), "12/31/1985"),
        // As programs write a day.
        (map("", "{ column = \"geb\", type = \"date\" }"), "1985-12-31T00:00:00.000Z"),
    ] {
        let found = person(&map, &format!("id,geb\n7,{cell}\n"));
        assert_eq!(found, (json!({"born": "1985-12-31"}), Vec::new()), "{map}");
    }
}

#[test]
fn a_trait_that_cannot_be_read_costs_itself_and_not_the_person() {
    let (traits, left_out) = person("", "id,age,born,shoe\n7,old,31.12.1985,42\n");
    assert_eq!(traits, json!({"shoe": "42"}));
    let end = "the rest of the row is loaded";
    assert_eq!(
        left_out,
        [
            format!("2: age: \"old\" is no number; [traits] of bespoke.toml declares a number; {end}"),
            format!(
                "2: born: \"31.12.1985\" is no date of the form 2026-01-31; [traits] of bespoke.toml declares a date, \
                 such as 1990-04-23; {end}"
            ),
        ]
    );
    let map = "[fields]\nid = \"id\"\n[traits]\nage = { column = \"years\", type = \"number\" }\n";
    let found = person(map, "id,years\n7,old\n");
    assert_eq!(found, (json!({}), vec![format!("2: age: \"old\" is no number; {end}")]));
    let (record, left_out) = person("", "id,email,age\n7,a@@b,old\n");
    assert_eq!((record, left_out), (Value::Null, Vec::new()), "a row that is rejected is told once");
}

#[test]
fn a_price_that_may_be_two_is_refused_unless_the_map_says_how_numbers_are_written() {
    let reason = "\"1.299\" may be 1299 or 1.299; write 1299.00 or 1.30, without a sign between thousands, or state \
                  `decimal = \",\"` or `decimal = \".\"` under [number] in the map";
    let products = "id,name,price\np,Sofa,1.299\nq,Pin,\"0,299\"\nr,Rug,\"1.299,00\"\n";
    let prices = |map: &str| -> Vec<Value> {
        let told = items(Noun::Products, map, products.as_bytes()).unwrap().into_iter().map(told);
        told.map(|product| product.get("price_minor").cloned().unwrap_or(product)).collect()
    };
    let refused = json!(format!("2: price: {reason}"));
    assert_eq!(prices(""), [refused.clone(), json!(30), json!(129_900)]);
    let typed = "[fields]\nid = \"id\"\nname = \"name\"\nprice = { column = \"price\", type = \"number\" }\n";
    assert_eq!(prices(typed)[0], refused);
    // Each by its own currency, whatever the shop's is.
    let dinar = "id,name,price,currency\np,Sofa,1.299,KWD\nq,Pin,1.299,EUR\nr,Rug,\"1,299\",JPY\n";
    let found =
        items(Noun::Products, &format!("{typed}currency = \"currency\"\n"), dinar.as_bytes()).unwrap();
    let found: Vec<Value> = found.into_iter().map(told).collect();
    let minor = |index: usize| found[index].get("price_minor").cloned();
    assert_eq!([minor(0), minor(2)], [Some(json!(1_299)), Some(json!(1_299))]);
    assert_eq!(found[1], json!(format!("3: price: {reason}")));
    // What is no money is a number like any other, by whatever name it goes.
    let people = "id,value\na,1.299\n";
    let map = "[fields]\nid = \"id\"\n[traits]\nvalue = { column = \"value\", type = \"number\" }\n";
    let found = told(items(Noun::Profiles, map, people.as_bytes()).unwrap().remove(0));
    assert_eq!(found["traits"], json!({"value": 1.299}));
    let german = format!("[number]\ndecimal = \",\"\n{typed}");
    assert_eq!(prices(&german), [json!(129_900), json!(30), json!(129_900)]);

    let orders = "profile,name,at,total,rating\na,Order Completed,2026-01-01,\"1,299\",4.125\n";
    let told_of = |map: &str| told(items(Noun::Events, map, orders.as_bytes()).unwrap().remove(0));
    let refused = reason.replacen("1.299", "1,299", 1);
    let by_name = "`total` is money: a number that is not needs another name";
    assert_eq!(told_of(""), json!(format!("2: total: {refused}; {by_name}")));
    let map = "other_columns = \"keep\"\n[number]\ndecimal = \".\"\n[fields]\nprofile = \"profile\"\nname = \"name\"\nat = \"at\"\n";
    assert_eq!(told_of(map)["properties"], json!({"total": 1299, "rating": 4.125}));
    let orders = "{\"profile\": \"a\", \"name\": \"Order Completed\", \"at\": \"2026-01-01\", \"subtotal\": \"1.299\", \
                  \"products\": [{\"price\": \"1.299\", \"quantity\": 1}]}\n";
    let map = "[number]\ndecimal = \",\"\n[fields]\nprofile = \"profile\"\nname = \"name\"\nat = \"at\"\n\
               [properties]\nsubtotal = \"subtotal\"\nproducts = \"products\"\n";
    let found = told(items(Noun::Events, map, orders.as_bytes()).unwrap().remove(0));
    let expected = json!({"subtotal": 1299, "products": [{"price": 1299, "quantity": 1}]});
    assert_eq!(found["properties"], expected);
}

#[test]
fn what_is_called_until_is_a_time_of_suppressions_alone() {
    let orders = "profile,name,at,booked\na,Table Booked,2026-01-01,20:00\n";
    let map =
        "[fields]\nprofile = \"profile\"\nname = \"name\"\nat = \"at\"\n[properties]\nuntil = \"booked\"\n";
    let found = told(items(Noun::Events, map, orders.as_bytes()).unwrap().remove(0));
    assert_eq!(found["properties"], json!({"until": "20:00"}));
}
