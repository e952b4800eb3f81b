//! `bespoke evaluate arms` on the real headline tests of Upworthy, and on files that are wrong.

use super::*;

/// The policies over a file of headline tests.
fn simulated(log: &str) -> Value {
    let mut words = vec!["arms", "--log", log, "--test", "clickability_test_id"];
    words.extend(["--impressions", "impressions", "--clicks", "clicks"]);
    json(&words, 0)
}

fn share(out: &Value, policy: &str) -> f64 {
    out[policy]["share"].as_f64().unwrap()
}

#[test]
#[ignore = "serves 65 million impressions: two minutes without optimisation"]
fn thompson_keeps_over_half_of_the_gain_on_upworthys_headlines() {
    let Some(log) = shared("upworthy/packages_dev.csv.gz") else { return };
    let out = simulated(&log.display().to_string());
    assert_eq!((out["tests"].as_u64(), out["left_out"].as_u64()), (Some(3_881), Some(0)));
    assert!(share(&out, "thompson") >= 0.53, "{}", share(&out, "thompson"));
    assert!(out["thompson"]["interval"]["low"].as_f64().unwrap() > 0.53);
    assert!(share(&out, "uniform").abs() < 0.01, "{}", share(&out, "uniform"));
}

#[test]
fn thompson_keeps_over_half_of_the_gain_on_the_first_of_upworthys_headlines() {
    let Some(log) = shared("upworthy/packages_dev.csv.gz") else { return };
    let mut text = String::new();
    let file = std::fs::File::open(log).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(file), &mut text).unwrap();
    let first: String = text.split_inclusive('\n').take(1_000).collect();
    let folder = folder(&[("first.csv", &first)]);
    let out = simulated(&path(&folder, "first.csv"));
    assert_eq!(out["tests"].as_u64(), Some(216));
    assert!(share(&out, "thompson") >= 0.53, "{}", share(&out, "thompson"));
    assert!(share(&out, "uniform").abs() < 0.02, "{}", share(&out, "uniform"));
}

#[test]
fn wrong_counts_are_named_and_a_file_without_tests_is_refused() {
    let check = |text: &str, code: i32, expected: &str| {
        let folder = folder(&[("tests.csv", text)]);
        let log = path(&folder, "tests.csv");
        let words = ["arms", "--log", &log, "--test", "t", "--impressions", "n", "--clicks", "c"];
        if code == 3 {
            assert!(table(&words, 3).contains(expected));
        } else {
            let said = complaint(&words, code);
            assert!(said.contains(expected), "{said}");
        }
    };
    check("t,n,c\na,10,1\na,10,11\n", 1, "line 3, column \"c\": 11 clicks on 10 impressions");
    check("t,n,c\na,ten,1\n", 1, "line 2, column \"n\": \"ten\" is not a number");
    check("t,n\na,1\n", 1, "has no column \"c\"");
    check("t,n,c\na,10,1\nb,0,0\nb,0,0\n", 3, "REFUSED: none of 2 tests has two arms that were seen");
}
