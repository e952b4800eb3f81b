//! Address parsing against dominicsayers/isemail: 164 addresses, each with its category by the RFCs.

use bespoke::profile::EmailAddress;
use serde_json::Value;

/// Where the shared data lies, from the project's root, where tests run.
const CASES: &str = "../shared/data/isemail/tests.json";

/// Symbols stand for control characters, so that the file stays readable.
fn unmasked(address: &str) -> String {
    let unmask = |character: char| match character {
        '\u{2400}'..='\u{2421}' => char::from_u32(u32::from(character) - 0x2400).unwrap(),
        other => other,
    };
    address.chars().map(unmask).collect()
}

#[test]
fn addresses_that_a_customer_may_have_are_accepted_and_all_others_refused() {
    let text = std::fs::read_to_string(CASES).expect("the shared data is at ../shared/data");
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut wrong = Vec::new();
    let mut accepted = std::collections::BTreeMap::new();
    for case in &cases {
        let text = |key: &str| case[key].as_str().unwrap_or_default();
        let (category, diagnosis) = (text("category"), text("diagnosis"));
        let parsed = EmailAddress::parse(&unmasked(text("address")));
        *accepted.entry(category).or_insert(0) += usize::from(parsed.is_ok());
        let wanted = matches!(category, "ISEMAIL_VALID_CATEGORY" | "ISEMAIL_DNSWARN");
        if wanted != parsed.is_ok() {
            wrong.push(format!("{} {:?} {category} {diagnosis}: {parsed:?}", text("id"), text("address")));
        }
    }
    assert_eq!(cases.len(), 164);
    assert!(wrong.is_empty(), "{accepted:?}\n{}", wrong.join("\n"));
}

#[test]
fn an_address_is_canonical_and_cannot_carry_commands_or_headers() {
    for (text, expected) in [
        ("Ana.B+x@Example.COM", Some("Ana.B+x@example.com")),
        (" ana@example.com", None),
        ("ana@example.com\r\n", None),
        ("x@bücher.test", Some("x@xn--bcher-kva.test")),
        ("x@BÜCHER.test", Some("x@xn--bcher-kva.test")),
        ("../../x@y.example", None),
        ("a/b@y.example", Some("a/b@y.example")),
        ("a\r\nBcc: b@c.example@d.example", None),
        ("\"a\r\nRCPT TO:<e@x>\"@y.example", None),
        ("a@b.example\r\nRCPT TO:<e@x>", None),
        ("a b@c.example", None),
        ("<a@b.example>", None),
        ("a@b.example, c@d.example", None),
        ("a@b_c.example", None),
        ("a@-b.example", None),
        ("a@b..example", None),
        ("a@[127.0.0.1]", None),
        ("a@127.0.0.1", None),
        ("a@localhost", None),
        ("a@example", None),
        ("a@ai", Some("a@ai")),
        ("a@xn--a.example", None),
        ("a@b.example\0", None),
    ] {
        let parsed = EmailAddress::parse(text).ok();
        assert_eq!(parsed.as_ref().map(EmailAddress::as_str), expected, "{text:?}");
        if let Some(address) = parsed {
            assert_eq!(EmailAddress::parse(address.as_str()).unwrap(), address, "parsing is stable");
            assert_eq!(address.to_lettre().to_string(), address.as_str());
        }
    }
}
