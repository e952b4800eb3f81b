//! Lift of a campaign from its log: what is claimed, and what is not.

use std::fmt::Write;

use super::{complaint, folder, json, near, path, table};

/// 1,000 recipients in each arm. Mail doubles opening and does nothing to buying; spend follows last year's.
fn campaign() -> tempfile::TempDir {
    let mut log = "id,arm,opened,bought,spend,last_year\n".to_owned();
    for unit in 0..2000 {
        let (arm, every) = if unit % 2 == 0 { ("none", 10) } else { ("mail", 5) };
        let place = unit / 2;
        let (opened, bought) = (u8::from(place % every == 0), place % 20 == 3);
        let last_year = (place * 37) % 100;
        let spend = last_year * 2 + place % 3 + unit % 2;
        writeln!(log, "{unit},{arm},{opened},{bought},{spend},{last_year}").unwrap();
    }
    folder(&[("log.csv", &log)])
}

fn words(file: &str) -> Vec<&str> {
    vec!["lift", "--log", file, "--arm", "arm", "--control", "none", "--outcome"]
}

#[test]
fn what_changed_is_said_and_what_did_not_is_not_significant() {
    let files = campaign();
    let file = path(&files, "log.csv");
    let result = json(&[words(&file), vec!["opened,bought"]].concat(), 0);
    assert_eq!((&result["trusted"], &result["arms"][0]["recipients"]), (&true.into(), &1000.into()));
    let (opened, bought) = (&result["comparisons"][0], &result["comparisons"][1]);
    assert_eq!((&opened["verdict"], &bought["verdict"]), (&"higher".into(), &"not significant".into()));
    near(&opened["difference"], 0.1, 1e-12);
    near(&opened["lift"], 1.0, 1e-12);
    near(&bought["difference"], 0.0, 1e-12);
    assert!(opened["difference_interval"]["low"].as_f64().unwrap() > 0.0);
    assert!(bought["minimum_detectable_effect"].as_f64().unwrap() > 0.0);
    let text = table(&[words(&file), vec!["opened,bought"]].concat(), 0);
    assert!(text.contains("Verdict: significantly higher than control (adjusted p < 0.0001)"), "{text}");
    assert!(text.contains("Verdict: not significant (adjusted p = 1.0000); a true difference of"), "{text}");
}

#[test]
fn a_covariate_makes_a_small_effect_visible() {
    let files = campaign();
    let file = path(&files, "log.csv");
    let plain = json(&[words(&file), vec!["spend"]].concat(), 0);
    let result = json(&[words(&file), vec!["spend", "--covariate", "last_year"]].concat(), 0);
    assert_eq!(plain["comparisons"][0]["verdict"], "not significant");
    let found = &result["comparisons"][0];
    assert_eq!(found["verdict"], "higher");
    near(&found["cuped"]["difference"], 1.0, 0.01);
    assert!(found["cuped"]["variance_removed"].as_f64().unwrap() > 0.99);
}

#[test]
fn a_sample_ratio_that_fails_takes_every_verdict_away() {
    let files = campaign();
    let log = std::fs::read_to_string(files.path().join("log.csv")).unwrap();
    // The mails of people who did not open are lost from the log, as when it lists openers only.
    let kept: Vec<&str> = log.lines().filter(|line| !line.contains(",mail,0,")).collect();
    std::fs::write(files.path().join("log.csv"), kept.join("\n")).unwrap();
    let file = path(&files, "log.csv");
    let result = json(&[words(&file), vec!["bought"]].concat(), 0);
    assert_eq!(result["trusted"], false);
    assert_eq!(result["comparisons"][0]["verdict"], "not to be trusted");
    let text = table(&[words(&file), vec!["bought"]].concat(), 0);
    assert!(text.starts_with("NOT TO BE TRUSTED: the arms do not have the sizes"), "{text}");
    assert!(text.contains("No verdict: the sample ratio fails."), "{text}");
    let split = ["bought", "--expected-split", "none=5,mail=1"];
    assert_eq!(json(&[words(&file), split.to_vec()].concat(), 0)["trusted"], true);
}

#[test]
fn rows_of_a_recipient_are_summed_and_must_be_in_one_arm() {
    let files = folder(&[
        ("orders.csv", "who,arm,paid\na,none,10\na,none,5\nb,none,\nc,mail,7\nd,mail,8\n"),
        ("both.csv", "who,arm,paid\na,none,10\na,mail,5\n"),
    ]);
    let (orders, both) = (path(&files, "orders.csv"), path(&files, "both.csv"));
    let flags = ["paid", "--recipient", "who", "--missing", "zero"];
    let result = json(&[words(&orders), flags.to_vec()].concat(), 0);
    let found = &result["comparisons"][0];
    assert_eq!((&found["control"]["count"], &found["treated"]["count"]), (&2.into(), &2.into()));
    near(&found["control"]["mean"], 7.5, 1e-12);
    assert!(found["lift"].is_null() && found["lift_missing"].is_string());
    let error = complaint(&[words(&both), flags.to_vec()].concat(), 1);
    assert!(error.contains("both.csv, line 3, column \"arm\": this recipient has another arm"), "{error}");
    let error = complaint(&[words(&orders), vec!["paid"]].concat(), 1);
    assert!(
        error.contains("orders.csv, line 4, column \"paid\": the outcome is missing; write 0"),
        "{error}"
    );
}

#[test]
fn an_arm_that_is_not_there_is_said_with_those_that_are() {
    let files = campaign();
    let file = path(&files, "log.csv");
    let error =
        complaint(&["lift", "--log", &file, "--arm", "arm", "--control", "hold", "--outcome", "bought"], 1);
    assert!(error.contains("no row has \"hold\" in column \"arm\", only \"none\", \"mail\""), "{error}");
    let error = complaint(&[words(&file), vec!["bought", "--expected-split", "none=1"]].concat(), 1);
    assert!(error.contains("the expected split does not name arm \"mail\""), "{error}");
    complaint(&[words(&file), vec!["bought", "--expected-split", "none"]].concat(), 2);
}
