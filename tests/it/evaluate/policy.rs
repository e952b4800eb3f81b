//! `bespoke evaluate policy` on mailings whose truth is known: nobody, one mail, the other mail.

use std::fmt::Write as _;

use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;

/// A mailing test: `none`, `mens`, `womens`, assigned at random; each mail doubles the visits of its own customers and
/// does nothing for the others.
fn mailing(rows: usize, seed: u64) -> String {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut text = "recency,history,bought,segment,visit\n".to_owned();
    for _ in 0..rows {
        let mut unit = || random.random::<f64>();
        let recency = 1.0 + (12.0 * unit()).floor();
        let history = (-(1.0 - unit()).ln() * 200.0).floor();
        let bought = if unit() < 0.5 { "men" } else { "women" };
        let draw = unit();
        let segment = if draw < 1.0 / 3.0 {
            "none"
        } else if draw < 2.0 / 3.0 {
            "mens"
        } else {
            "womens"
        };
        let base = 0.12 - 0.005 * recency;
        let rate = if segment.starts_with(bought) { 2.5 * base } else { base };
        let visit = u8::from(unit() < rate);
        let history = if unit() < 0.1 { String::new() } else { history.to_string() };
        writeln!(text, "{recency},{history},{bought},{segment},{visit}").unwrap();
    }
    text
}

fn words<'a>(train: &'a str, test: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut words =
        vec!["policy", "--train", train, "--test", test, "--action", "segment", "--reward", "visit"];
    words.extend(["--context", "recency,history,bought"]);
    words.extend(more);
    words
}

fn figure(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn files() -> (tempfile::TempDir, String, String) {
    let folder = folder(&[("train.csv", &mailing(9_000, 1)), ("test.csv", &mailing(9_000, 2))]);
    let (train, test) = (path(&folder, "train.csv"), path(&folder, "test.csv"));
    (folder, train, test)
}

#[test]
fn each_customer_gets_the_mail_that_works_for_them() {
    let (folder, train, test) = files();
    let file = path(&folder, "out.csv");
    let out = json(&words(&train, &test, &["--none", "none", "--decisions", &file]), 0);
    let (value, mens) = (figure(&out["value"]), figure(&out["fixed"]["mens"]["value"]));
    assert!(value > 1.25 * mens, "{value} beside {mens}");
    assert!(figure(&out["over_best_in_training"]["z"]) > 3.0 && figure(&out["over_none"]["z"]) > 3.0);
    assert_eq!(out["notes"], serde_json::json!([]));

    // Anyone can recompute it: rows whose logged action was decided, by the share of that action in the file.
    let text = std::fs::read_to_string(&test).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let decisions = std::fs::read_to_string(&file).unwrap();
    let mut decided = decisions.lines();
    assert_eq!(decided.next(), Some("row,mens,none,womens"));
    let (mut earned, mut weights, mut right) = (0.0, 0.0, 0);
    for (number, (line, decided)) in lines.iter().zip(decided).enumerate() {
        let cells: Vec<&str> = decided.split(',').collect();
        assert_eq!(cells[0], (number + 1).to_string());
        let action = ["mens", "none", "womens"][cells[1..].iter().position(|p| *p == "1").unwrap()];
        right += usize::from(action.starts_with(line[2]));
        if action == line[3] {
            let same = lines.iter().filter(|other| other[3] == action).count();
            #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
            let weight = lines.len() as f64 / same as f64;
            earned += weight * line[4].parse::<f64>().unwrap();
            weights += weight;
        }
    }
    near(&out["value"], earned / weights, 1e-9);
    assert!(right > 8_500, "only {right} of 9,000 got the mail that works for them");
}

#[test]
fn what_costs_more_than_it_earns_is_held() {
    let (_folder, train, test) = files();
    let held = |cost: &str| {
        let out = json(&words(&train, &test, &["--none", "none", "--cost", cost]), 0);
        (figure(&out["decided"]["none"]), out)
    };
    let (none_at_all, _) = held("0");
    let (all, dear) = held("0.9");
    let (some, _) = held("0.12");
    assert!(none_at_all < 300.0, "{none_at_all}");
    assert!((all - 9_000.0).abs() < 0.5, "{all}");
    assert!(
        (1_000.0..8_900.0).contains(&some),
        "a mail that gains 9 to 17 points is worth 12 for some: {some}"
    );
    // Nothing sent: the value is that of never sending.
    assert_eq!(dear["value"], dear["fixed"]["none"]["value"]);
}

#[test]
fn assignment_that_depends_on_the_customer_is_called_out() {
    let (_folder, train, _) = files();
    let text = mailing(6_000, 3);
    let kept = |line: &&str| !(line.starts_with("1,") && line.contains(",none,"));
    let text = text.lines().filter(kept).collect::<Vec<_>>().join("\n");
    let folder = folder(&[("biased.csv", &text)]);
    let out = json(&words(&train, &path(&folder, "biased.csv"), &["--none", "none"]), 0);
    let notes = out["notes"].to_string();
    assert!(notes.contains("recency") && !notes.contains("bought"), "{notes}");
}

#[test]
fn a_test_file_that_is_too_short_is_refused_and_the_decisions_are_written() {
    let (folder, train, _) = files();
    std::fs::write(folder.path().join("short.csv"), mailing(50, 4)).unwrap();
    let (short, file) = (path(&folder, "short.csv"), path(&folder, "out.csv"));
    let words = words(&train, &short, &["--decisions", &file]);
    let out = json(&words, 3);
    assert_eq!((out["value"].is_null(), out["refused"].as_bool()), (true, Some(true)));
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 51);
    assert!(table(&words, 3).starts_with("REFUSED: "));
}

#[test]
fn wrong_words_are_explained() {
    let (folder, train, test) = files();
    let check = |more: &[&str], code: i32, expected: &str| {
        let said = complaint(&words(&train, &test, more), code);
        assert!(said.contains(expected), "{said}");
    };
    check(
        &["--none", "nobody"],
        1,
        "--none \"nobody\" is not an action: column \"segment\" of the files has mens, none",
    );
    check(&["--cost", "0.1"], 2, "--none");
    check(&["--none", "none", "--cost", "-1"], 2, "write a number from 0 on");
    std::fs::write(
        folder.path().join("train.csv"),
        "recency,history,bought,segment,visit\n1,2,men,mens,yes\n",
    )
    .unwrap();
    check(&[], 1, "train.csv, line 2, column \"visit\": \"yes\" is not a number");
}

#[test]
fn the_table_names_every_action_and_claims_no_more_than_it_says() {
    let (_folder, train, test) = files();
    let text = table(&words(&train, &test, &["--none", "none"]), 0);
    for expected in
        ["the decisions", "always mens", "always womens", "always none", "Less never sending (none)"]
    {
        assert!(text.contains(expected), "{expected} is missing from {text}");
    }
}
