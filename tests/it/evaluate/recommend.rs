//! Recommendations on Complete Journey (84.51°, 2017), split by date, and on files that cannot carry them.

use std::collections::HashMap;
use std::fmt::Write;

use bespoke::learn::table::Table;

use super::{complaint, folder, json, near, path, shared, table};

/// What households bought before October and from then on, by the category of the product; `None` when the
/// shared data are absent.
fn complete_journey() -> Option<tempfile::TempDir> {
    let (transactions, products) =
        (shared("completejourney/transactions_sample.csv.gz")?, shared("completejourney/products.csv.gz")?);
    let products = Table::read(&products, &["product_id", "product_category"]).unwrap();
    let categories: HashMap<&str, &str> = products
        .column("product_id")
        .unwrap()
        .texts()
        .zip(products.column("product_category").unwrap().texts())
        .collect();
    let wanted = ["household_id", "product_id", "transaction_timestamp"];
    let rows = Table::read(&transactions, &wanted).unwrap();
    assert_eq!(rows.row_count(), 75_000);
    let [household, product, time] = wanted.map(|name| rows.column(name).unwrap());
    let mut files = ["household,category\n".to_owned(), "household,category\n".to_owned()];
    for row in 0..rows.row_count() {
        let later = usize::from(time.text(row) >= "2017-10-01");
        let category = categories.get(product.text(row)).copied().unwrap_or_default();
        writeln!(files[later], "{},\"{category}\"", household.text(row)).unwrap();
    }
    Some(folder(&[("train.csv", &files[0]), ("test.csv", &files[1])]))
}

fn words<'a>(train: &'a str, test: &'a str, method: &'a str) -> Vec<&'a str> {
    vec![
        "recommend",
        "--train",
        train,
        "--test",
        test,
        "--user",
        "household",
        "--item",
        "category",
        "--method",
        method,
        "--resamples",
        "200",
    ]
}

#[test]
fn ease_beats_popularity_on_complete_journey() {
    let Some(files) = complete_journey() else { return };
    let (train, test) = (path(&files, "train.csv"), path(&files, "test.csv"));
    for repeats in ["skip", "keep"] {
        let ease = json(&[words(&train, &test, "ease"), vec!["--repeats", repeats]].concat(), 0);
        assert_eq!((&ease["method"], &ease["train_users"]), (&"ease".into(), &2326.into()));
        let gain = &ease["gain_over_popular"]["ndcg"];
        assert!(gain["interval"]["low"].as_f64().unwrap() > 0.0, "{repeats}: {gain}");
        let popular = json(&[words(&train, &test, "popular"), vec!["--repeats", repeats]].concat(), 0);
        for measure in ["ndcg", "recall", "precision", "map"] {
            let (better, base) = (ease[measure].as_f64().unwrap(), popular[measure].as_f64().unwrap());
            assert!(better > base, "{repeats} {measure}: {better} {base}");
            near(&ease["popular"][measure]["value"], base, 1e-12);
            near(&popular["gain_over_popular"][measure]["value"], 0.0, 0.0);
        }
    }
    let text = table(&words(&train, &test, "ease"), 0);
    assert!(text.contains("ease ranks better than popularity (nDCG)."), "{text}");
    let neighbours = json(&words(&train, &test, "itemknn"), 0);
    assert!(neighbours["ndcg"].as_f64().unwrap() > neighbours["popular"]["ndcg"]["value"].as_f64().unwrap());
}

/// Twenty users like boots and socks, twenty hats and scarves; each test user lacks the second of their pair.
#[test]
fn what_goes_together_is_found_where_popularity_finds_nothing() {
    let (mut train, mut test) = ("household,category\n".to_owned(), "household,category\n".to_owned());
    for user in 0..40 {
        let (first, second) = if user < 20 { ("boots", "socks") } else { ("hats", "scarves") };
        writeln!(train, "{user},{first}\n{user},bread").unwrap();
        if user % 2 == 0 {
            writeln!(train, "{user},{second}").unwrap();
        } else {
            writeln!(test, "{user},{second}").unwrap();
        }
    }
    writeln!(test, "new,bread\n,bread").unwrap();
    let files = folder(&[("train.csv", &train), ("test.csv", &test)]);
    let (train, test) = (path(&files, "train.csv"), path(&files, "test.csv"));
    for method in ["ease", "itemknn"] {
        let flags = ["--k", "1", "--lambda", "5"];
        let result = json(&[words(&train, &test, method), flags.to_vec()].concat(), 0);
        near(&result["ndcg"], 1.0, 1e-12);
        near(&result["recall"], 1.0, 1e-12);
        assert_eq!(result["judged_users"], 21);
        assert!(result["popular"]["ndcg"]["value"].as_f64().unwrap() < 0.6);
        let notes = result["notes"].to_string();
        assert!(
            notes.contains("1 users are new") && notes.contains("1 rows without a user or an item"),
            "{notes}"
        );
    }
}

#[test]
fn what_is_too_large_for_ease_gets_item_neighbours_and_says_so() {
    let mut train = "household,category\n".to_owned();
    for index in 0..10_001 {
        writeln!(train, "{index},{index}\n{index},bread").unwrap();
    }
    let files = folder(&[("train.csv", &train), ("test.csv", "household,category\n5,7\n")]);
    let (train, test) = (path(&files, "train.csv"), path(&files, "test.csv"));
    let result = json(&words(&train, &test, "ease"), 0);
    assert_eq!(result["method"], "itemknn");
    let note = "10001 users and 10002 items: EASE needs at most 10000 of one of them; item neighbours were fitted instead";
    assert_eq!(result["notes"][0], note);
}

#[test]
fn files_that_carry_no_recommendation_are_refused() {
    let files = folder(&[
        ("train.csv", "household,category\na,bread\n"),
        ("same.csv", "household,category\na,bread\n"),
        ("empty.csv", "household,category\n,bread\n"),
        ("other.csv", "user,item\na,bread\n"),
    ]);
    let [train, same, empty, other] =
        ["train", "same", "empty", "other"].map(|n| path(&files, &format!("{n}.csv")));
    let error = complaint(&words(&train, &same, "ease"), 1);
    assert!(error.contains("nobody takes anything that they had not before"), "{error}");
    let error = complaint(&words(&train, &empty, "ease"), 1);
    assert!(error.contains("empty.csv, line 1: no row has both a user and an item"), "{error}");
    let error = complaint(&words(&other, &same, "ease"), 1);
    assert!(
        error.contains("other.csv has no column \"household\"; its columns are \"user\", \"item\""),
        "{error}"
    );
    complaint(&[words(&train, &same, "ease"), vec!["--k", "0"]].concat(), 2);
    complaint(&[words(&train, &same, "ease"), vec!["--lambda", "-1"]].concat(), 2);
}
