//! Whole small files: what becomes of each row.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use serde_json::json;

use super::*;
use crate::fault::SourceFile;
use crate::profile::EmailAddress;

mod written;

fn options(noun: Noun, map: &str) -> ReadOptions {
    let file = SourceFile { path: "map.toml".into(), text: map.into() };
    ReadOptions {
        noun,
        mapping: (!map.is_empty()).then(|| Mapping::parse(&file, noun).unwrap()),
        format: None,
        delimiter: None,
        shop: Shop {
            currency: "GBP".to_owned(),
            offer: None,
            reason: None,
            topic: None,
            traits: [("age".to_owned(), ValueType::Number), ("born".to_owned(), ValueType::Date)].into(),
        },
        now: "2026-06-01T12:00:00Z".parse().unwrap(),
    }
}

fn items(noun: Noun, map: &str, input: &[u8]) -> Result<Vec<Item>, ReadError> {
    let source = Source::new("in", None, std::io::Cursor::new(input.to_vec())).unwrap();
    let mut reader = Reader::open(source, options(noun, map))?;
    let mut items = Vec::new();
    while let Some(item) = reader.next_item()? {
        items.push(item);
    }
    Ok(items)
}

/// A record as JSON, `skipped`, or line and reason of a reject.
fn told(item: Item) -> Value {
    match item {
        Item::Record(Record::Profile(profile)) => json!(profile),
        Item::Record(Record::Event { event, identity }) => {
            let mut value = json!(event);
            if identity == Identity::Derived {
                value.as_object_mut().unwrap().remove("id");
            }
            value
        }
        Item::Record(Record::Product(product)) => json!(product),
        Item::Record(Record::Coupon(coupon)) => json!([coupon.offer, coupon.code]),
        Item::Record(Record::Suppression(suppression)) => json!(suppression),
        Item::Skipped => json!("skipped"),
        Item::Rejected(reject) => json!(format!("{}: {}", reject.line, reject.reason)),
    }
}

fn check(noun: Noun, map: &str, input: &str, expected: &[Value]) {
    let found: Vec<Value> = items(noun, map, input.as_bytes()).unwrap().into_iter().map(told).collect();
    assert_eq!(found, expected, "{input}");
}

fn check_fault(noun: Noun, map: &str, input: &[u8], expected: &str) {
    let fault = items(noun, map, input).expect_err("the file is faulty").to_string();
    assert_eq!(fault, expected);
}

#[test]
fn profiles_are_read_by_obvious_names() {
    let csv = "External ID;E-Mail;First Name;age;timezone;opt_in;created_at\n\
               7; Ana@Example.COM ;Ana \"the\" 1st;041;Europe/Berlin;yes;2020-01-02\n\
               \n8;;;;;;\n";
    let now = "2026-06-01T12:00:00Z";
    let ana = json!({"id": "7", "address": "Ana@example.com", "traits": {"first_name": "Ana \"the\" 1st", "age": 41},
        "locale": null, "time_zone": "Europe/Berlin", "consent": "granted", "created_at": "2020-01-02T00:00:00Z",
        "updated_at": now});
    let bare = json!({"id": "8", "address": null, "traits": {}, "locale": null, "time_zone": null,
        "consent": "unknown", "created_at": now, "updated_at": now});
    check(Noun::Profiles, "", csv, &[ana.clone(), bare.clone()]);
    let jsonl = "{\"userId\": 7, \"email\": \"Ana@example.com\", \"traits\": {\"first_name\": \"Ana \\\"the\\\" 1st\", \"age\": \"41\"}, \
                 \"timezone\": \"europe/berlin\", \"consent\": true, \"createdAt\": 1577923200}\r\n\r\n{\"id\": \"8\", \"email\": null}";
    check(Noun::Profiles, "", jsonl, &[ana, bare]);
}

#[test]
fn a_date_of_no_importance_that_cannot_be_is_absent() {
    let created = |row: &str| {
        let csv = format!("id,email,consent,created_at\n7,ana@example.test,no,{row}\n");
        told(items(Noun::Profiles, "", csv.as_bytes()).unwrap().remove(0))
    };
    let known = created("");
    assert_eq!(
        (&known["consent"], &known["created_at"]),
        (&json!("withdrawn"), &json!("2026-06-01T12:00:00Z"))
    );
    for never in ["0001-01-01T00:00:00", "1899-12-30", "9998-12-31T18:00:00Z"] {
        assert_eq!(created(never), known, "{never}");
        let csv = format!("id,name,published_at\np,Tea,{never}\n");
        let product = told(items(Noun::Products, "", csv.as_bytes()).unwrap().remove(0));
        assert_eq!((&product["name"], &product["published_at"]), (&json!("Tea"), &Value::Null), "{product}");
    }
    assert_eq!(created("1900-01-02")["created_at"], json!("1900-01-02T00:00:00Z"));
    let nonsense = "2: created_at: ";
    assert!(created("yesterday").as_str().is_some_and(|reason| reason.starts_with(nonsense)));
}

#[test]
fn of_several_columns_that_mean_one_field_the_best_counts_and_the_others_stay() {
    let csv = "id,external_id,name\n1,a,x\n";
    let found = items(Noun::Profiles, "", csv.as_bytes()).unwrap().remove(0);
    let Item::Record(Record::Profile(profile)) = found else { panic!("{found:?}") };
    assert_eq!((profile.id.as_str(), json!(profile.traits)), ("a", json!({"id": "1", "name": "x"})));
}

#[test]
fn events_are_read_by_a_map() {
    let map = r#"
        skip_when_empty = ["customer"]
        only = { country = ["France", "EIRE"] }
        skip = { qty = "0" }
        other_columns = "keep"
        [time]
        format = "%d/%m/%Y %H:%M"
        zone = "Europe/London"
        [fields]
        profile = "{{ customer }}-{{ country | upper | replace(from=\"R\", to=\"\") }}"
        name = { constant = "Order Completed" }
        at = "when"
        [properties]
        order_id = "invoice"
        quantity = { column = "qty", type = "number" }
        price = { column = "price", type = "number", default = "1,50" }
    "#;
    let csv = "invoice,qty,when,price,customer,country,note\n\
               1,2,31/07/2026 18:00,2.10,7,France,x\n\
               1,2,31/07/2026 18:00,2.10,,France,\n\
               1,2,31/07/2026 18:00,2.10,7,Germany,\n\
               1,0,31/07/2026 18:00,2.10,7,EIRE,\n\
               1,two,31/07/2026 18:00,2.10,7,EIRE,\n\
               1,2,2026-07-31,2.10,7,EIRE,\n\
               1,2,31/12/2026 18:00,,7,EIRE,\n\
               1,2,31/12/2199 18:00,,7,EIRE,\n\
               1,2,31/12/9998 18:00,,7,EIRE,\n";
    let event = |profile: &str, at: &str, properties: Value| json!({"profile": profile, "name": "Order Completed", "at": at, "properties": properties});
    check(
        Noun::Events,
        map,
        csv,
        &[
            event(
                "7-FANCE",
                "2026-07-31T17:00:00Z",
                json!({"order_id": "1", "price": 2.1, "quantity": 2, "note": "x"}),
            ),
            json!("skipped"),
            json!("skipped"),
            json!("skipped"),
            json!("6: quantity: \"two\" is no number"),
            json!("7: at: \"2026-07-31\" is no time of the form %d/%m/%Y %H:%M"),
            event("7-EIE", "2026-12-31T18:00:00Z", json!({"order_id": "1", "price": 1.5, "quantity": 2})),
            event("7-EIE", "2199-12-31T18:00:00Z", json!({"order_id": "1", "price": 1.5, "quantity": 2})),
            json!("10: at: \"9998-12-31T18:00:00Z\" is outside the years 1900 to 2199"),
        ],
    );
}

#[test]
fn a_segment_track_call_is_an_event() {
    let jsonl = r#"{"type":"track","messageId":"m1","userId":"ana","event":"Product Viewed","timestamp":"2026-01-31T18:00:00.5Z","context":{"ip":"1.2.3.4"},"properties":{"product_id":"tea","none":null,"list":[1]}}"#;
    let expected = json!({"id": "m1", "profile": "ana", "name": "Product Viewed", "at": "2026-01-31T18:00:00.5Z",
        "properties": {"product_id": "tea", "list": [1]}});
    check(Noun::Events, "", jsonl, &[expected]);
}

#[test]
fn products_and_coupons_are_read() {
    let csv = "sku|title|price|compare_at_price|in_stock|consumable|link|image|colour\n\
               tea|Tea 🫖|1,234.50|2000|0|true|https://shop.example/tea?a=b c|https://shop.example/tea.png|green\n\
               mug|Mug||||||http://shop.example/mug.png|\n\
               jar|Jar|-1||||javascript:alert(1)||\n";
    let tea = json!({"id": "tea", "name": "Tea 🫖", "description": "", "category": "", "price_minor": 123_450,
        "list_price_minor": 200_000, "currency": "GBP", "url": "https://shop.example/tea?a=b%20c",
        "image_url": "https://shop.example/tea.png", "availability": "out_of_stock", "repeat": "consumable",
        "attributes": {"colour": "green"}, "published_at": null});
    let no_image = json!("3: image_url \"http://shop.example/mug.png\" is no https address");
    check(Noun::Products, "", csv, &[tea, no_image, json!("4: price \"-1\" is no price")]);

    let coupons = "code,offer\nA-1,welcome\n,welcome\nB-2,\n";
    let no_offer = json!("4: offer is missing; state it in the row, the map, or with --offer");
    check(Noun::Coupons, "", coupons, &[json!(["welcome", "A-1"]), json!("3: code is missing"), no_offer]);

    let map = "[fields]\naddress = \"email\"\nreason = { constant = \"hard_bounce\" }\nat = { column = \"created\", format = \"%s\" }";
    let bounces =
        "status,reason,email,created\n5.1.1,550 no such user,a@b.test,1748736000\n5.1.1,550,a@b,1748736000\n";
    let listed = json!({"address": "a@b.test", "topic": "*", "reason": "hard_bounce", "at": "2025-06-01T00:00:00Z",
        "send": null, "until": null});
    let no_address = json!("3: address \"a@b\": the domain has no dot");
    check(Noun::Suppressions, map, bounces, &[listed, no_address]);
}

#[test]
fn a_bad_row_is_named_and_all_others_load() {
    let long = "x".repeat(ROW_BYTES_MAX);
    let mut csv: Vec<u8> = b"id,email,note\n1,a@example.com,\n2,a@@example.com,\n3,b@example.com\n".to_vec();
    csv.extend(b"4,c@example.com,\xff\n5,d@example.com,\"open\n6,e@example.com,ok\n");
    csv.extend(
        format!("7,f@example.com,{long}\n8,g@example.com,\"two\nlines\"\n,h@example.com,\n").as_bytes(),
    );
    csv.extend(b"a\x07b,h@example.com,\n9,i@b\xc3\xbccher.example,fin");
    let items = items(Noun::Profiles, "", &csv).unwrap();
    let found: Vec<Value> = items
        .iter()
        .map(|item| match item {
            Item::Record(Record::Profile(profile)) => {
                json!(profile.address.as_ref().map(EmailAddress::as_str))
            }
            other => told(other.clone()),
        })
        .collect();
    let expected = [
        json!("a@example.com"),
        json!(
            "3: email \"a@@example.com\": the part before the @ holds a character that is not allowed there"
        ),
        json!("4: 2 columns where the header has 3"),
        json!("5: not UTF-8 at byte 17 of the row; save the file as UTF-8"),
        json!("6: a quote is opened and not closed within 64 KB"),
        json!("e@example.com"),
        json!("8: the row is longer than 64 KB"),
        json!("g@example.com"),
        json!("11: id is missing"),
        json!("12: the profile id holds a control character"),
        json!("i@xn--bcher-kva.example"),
    ];
    assert_eq!(found, expected);
    let Item::Rejected(open) = &items[4] else { panic!("{items:?}") };
    assert_eq!(open.raw, "5,d@example.com,\"open");
    let Item::Rejected(long) = &items[6] else { panic!("{items:?}") };
    assert!(long.raw.len() < 1_100 && long.raw.ends_with('…'));
}

#[test]
fn jsonl_rows_have_the_same_limits() {
    let deep = format!("{{\"id\": 1, \"a\": {}1{}}}", "[".repeat(40), "]".repeat(40));
    let wide: Vec<String> = (0..201).map(|number| format!("\"k{number}\": 1")).collect();
    let wide_traits = format!("{{\"id\": 1, \"traits\": {{{}}}}}", wide.join(","));
    let long = format!("{{\"id\": \"{}\"}}", "x".repeat(ROW_BYTES_MAX));
    let event = format!("{{\"id\": 1, \"traits\": {{\"a\": \"{}\"}}}}", "x".repeat(49 * 1024));
    let jsonl = [&deep, &wide_traits, &long, &event, "not json", "{\"id\": {}}"].join("\n");
    let rejects = [
        "1: column 47: nested deeper than 32 levels",
        "2: 201 fields; at most 200 are allowed",
        "3: the row is longer than 64 KB",
        "4: too long: the traits have 50184 bytes, at most 49152 are allowed",
        "5: column 2: not JSON: expected ident",
        "6: id is a list or an object, not a text",
    ];
    let mut map_less = options(Noun::Profiles, "");
    map_less.format = Some(Format::Jsonl);
    let source = Source::new("in", None, std::io::Cursor::new(jsonl.into_bytes())).unwrap();
    let mut reader = Reader::open(source, map_less).unwrap();
    let mut found = Vec::new();
    while let Some(item) = reader.next_item().unwrap() {
        found.push(told(item));
    }
    assert_eq!(found, rejects.map(|reject| json!(reject)));
}

#[test]
fn identical_rows_are_told_apart_and_read_again_have_the_same_ids() {
    let csv = "profile,event,at,product_id\n7,Order Completed,2026-01-01,tea\n7,Order Completed,2026-01-01,mug\n\
               7,Order Completed,2026-01-01,tea\n";
    let ids = || -> Vec<String> {
        let event = |item| match item {
            Item::Record(Record::Event { event, .. }) => event.id,
            other => panic!("{other:?}"),
        };
        items(Noun::Events, "", csv.as_bytes()).unwrap().into_iter().map(event).collect()
    };
    let first = ids();
    assert_eq!(first, ids());
    let distinct: std::collections::BTreeSet<&String> = first.iter().collect();
    assert_eq!(distinct.len(), 3);
    assert!(first.iter().all(|id| id.len() == 32));
}

#[test]
fn gzip_is_known_by_its_bytes_and_may_have_members() {
    let mut bytes = Vec::new();
    for part in ["id,email\n1,\n", "2,\n"] {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(part.as_bytes()).unwrap();
        bytes.extend(encoder.finish().unwrap());
    }
    assert_eq!(items(Noun::Profiles, "", &bytes).unwrap().len(), 2);
    let cut = items(Noun::Profiles, "", &bytes[..bytes.len() - 5]).unwrap_err().to_string();
    assert!(cut.starts_with("in: ") || cut.starts_with("in, line"), "{cut}");
}

#[test]
fn a_file_that_cannot_be_used_says_why_and_what_to_do() {
    check_fault(Noun::Profiles, "", b"", "in: the file is empty; its first line must name the columns");
    check_fault(Noun::Profiles, "", b"\xff\xfei\0d\0", "in: is UTF-16; save it as UTF-8");
    check_fault(
        Noun::Profiles,
        "",
        b"PK\x03\x04....",
        "in: is a zip archive or a spreadsheet; unpack it, or save it as CSV",
    );
    check_fault(
        Noun::Profiles,
        "",
        b" [{\"id\": 1}]",
        "in: is one JSON list; write an object on each line instead (`jq -c '.[]'`)",
    );
    check_fault(
        Noun::Coupons,
        "",
        b"a,b\n1,2\n",
        "in: no column is called code, or what else stands for it (coupon, coupon_code); the columns are \"a\", \
         \"b\"; say with --map which is which",
    );
    let map = "[fields]\nid = \"customer\"";
    check_fault(
        Noun::Profiles,
        map,
        b"a,b\n1,2\n",
        "in: the map does not fit the file\n  × no column is called \"customer\"; the columns are \"a\", \"b\"\n   ╭─[map.toml:2:7]\n 1 │ [fields]\n 2 │ id = \"customer\"\n   ·       ────────\n   ╰────",
    );
    check_fault(
        Noun::Profiles,
        map,
        b"customer,customer\n1,2\n",
        "in: the map does not fit the file\n  × two columns are called \"customer\"; give each its own name\n   ╭─[map.toml:2:7]\n 1 │ [fields]\n 2 │ id = \"customer\"\n   ·       ────────\n   ╰────",
    );
    check_fault(
        Noun::Profiles,
        "",
        b"id,email,email\n1,a@example.test,b@example.test\n",
        "in: two columns are called \"email\"; give each its own name",
    );
    let wide = vec!["c"; 201].join(",");
    check_fault(Noun::Profiles, "", wide.as_bytes(), "in: 201 columns; at most 200 are allowed");
}

#[test]
fn a_faulty_map_is_shown_with_its_place() {
    for (map, expected) in [
        (
            "[fields]\nid = 7",
            (2, "this is a whole number; it must be a column, a \"{{ template }}\", or { constant = … }"),
        ),
        ("[fields]\nid = \"{{ a\"", (2, "a {{ is never closed by }}")),
        (
            "[fields]\nid = { column = \"a\", constant = 1 }",
            (2, "write exactly one of column, template and constant"),
        ),
        ("[fields]\nid = \"a\"\ntelephone = \"b\"", (3, "profiles have no field \"telephone\"")),
        ("[fields]\nemail = \"a\"", (1, "the map does not say where id comes from")),
        ("[fields]\nid = \"a\"\n[properties]\nb = \"c\"", (3, "profiles have no [properties]")),
        ("[time]\nzone = \"Mars\"\n[fields]\nid = \"a\"", (1, "there is no time zone \"Mars\"")),
        (
            "[fields]\nid = \"a\"\n[traits]\nborn = { column = \"b\", type = \"date\", format = \"%q%\" }",
            (4, ""),
        ),
        ("shape = 1", (1, "there is no key `shape`")),
    ] {
        let file = SourceFile { path: "map.toml".into(), text: map.into() };
        let faults = Mapping::parse(&file, Noun::Profiles).unwrap_err();
        let (line, message) = (faults[0].line(), &faults[0].message);
        assert!(line == expected.0 && message.starts_with(expected.1), "{map}\n{line}: {message}");
    }
}
