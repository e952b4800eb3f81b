//! Off-policy evaluation on the Open Bandit Dataset (Saito et al. 2021) and on logs that cannot answer.

use std::fmt::Write;

use super::{complaint, folder, json, near, path, shared, table};

struct Published {
    campaign: &'static str,
    ips: f64,
    snips: f64,
    dr: f64,
    ess: f64,
    max_weight: f64,
}

const PUBLISHED: [Published; 2] = [
    Published {
        campaign: "all",
        ips: 0.004_553,
        snips: 0.004_776,
        dr: 0.004_728,
        ess: 1639.5,
        max_weight: 19.60,
    },
    Published {
        campaign: "men",
        ips: 0.004_534,
        snips: 0.004_604,
        dr: 0.004_569,
        ess: 2467.4,
        max_weight: 10.69,
    },
];

#[test]
fn the_open_bandit_figures_come_out_to_the_digits_given() {
    for Published { campaign, ips, snips, dr, ess, max_weight } in PUBLISHED {
        let log = shared(&format!("obd/random/{campaign}/{campaign}.csv.gz"));
        let target = shared(&format!("obd/bts_action_dist_{campaign}.csv"));
        let (Some(log), Some(target)) = (log, target) else { return };
        let words = [
            "ope",
            "--log",
            log.to_str().unwrap(),
            "--target",
            target.to_str().unwrap(),
            "--resamples",
            "200",
        ];
        let result = json(&words, 0);
        near(&result["ips"], ips, 5e-7);
        near(&result["snips"], snips, 5e-7);
        near(&result["ess"], ess, 0.05);
        near(&result["max_weight"], max_weight, 0.005);
        near(&result["dr"], dr, 0.03 * dr);
        assert_eq!(result["refused"], false);
        for name in ["on_policy", "ips", "snips", "dm", "dr", "sndr"] {
            let value = result[name].as_f64().unwrap();
            let interval = &result["intervals"][name];
            let (low, high) = (interval["low"].as_f64().unwrap(), interval["high"].as_f64().unwrap());
            assert!(low < value && value < high, "{campaign} {name}: {value} in {interval}");
        }
        let fixed = &result["best_fixed"];
        // Of 80 items none is shown alone in 200 rows of 10,000, of 34 some are.
        assert_eq!(fixed["missing"].is_string(), campaign == "all", "{fixed}");
        if let Some(value) = fixed["snips"].as_f64() {
            let ends = ["low", "high"].map(|end| fixed["interval"][end].as_f64().unwrap());
            assert!(ends[0] < value && value < ends[1] && value > snips, "{campaign}: {fixed}");
        }
        assert_eq!(json(&words, 0), result, "the same seed gives the same figures");
        let text = table(&words, 0);
        assert!(text.contains("The gain over what ran is not significant"), "{text}");
    }
}

/// 400 decisions between two offers, of which the target takes only the one that was shown five times.
fn thin_log() -> tempfile::TempDir {
    let mut log = "offer,place,earned,p\n".to_owned();
    for row in 0..400 {
        let (offer, p) = if row % 80 == 0 { ("rare", 0.0125) } else { ("usual", 0.9875) };
        writeln!(log, "{offer},1,{},{p}", row % 3).unwrap();
    }
    folder(&[("log.csv", &log), ("target.csv", "offer,share\nrare,1\nusual,0\n")])
}

#[test]
fn a_log_that_cannot_answer_is_refused_with_exit_3_in_both_formats() {
    let files = thin_log();
    let (log, target) = (path(&files, "log.csv"), path(&files, "target.csv"));
    let words = [
        "ope",
        "--log",
        &log,
        "--target",
        &target,
        "--action",
        "offer",
        "--reward",
        "earned",
        "--propensity",
        "p",
    ];
    let result = json(&words, 3);
    assert_eq!(result["refused"], true);
    assert_eq!(result["reasons"].as_array().unwrap().len(), 2);
    near(&result["ess"], 5.0, 1e-9);
    near(&result["max_weight"], 80.0, 1e-9);
    for name in ["ips", "snips", "dm", "dr", "sndr"] {
        assert!(result[name].is_null(), "{name}");
    }
    assert!(result["on_policy"].is_number());
    let text = table(&words, 3);
    assert!(text.starts_with("REFUSED: this log cannot say what the target would earn."), "{text}");
    assert!(text.contains("the effective sample size is 5.0, under 200"), "{text}");
    assert!(text.contains("one row holds 20.0 % of the whole weight, over 5 %"), "{text}");
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_place_and_exit_1() {
    let files = thin_log();
    let (log, target) = (path(&files, "log.csv"), path(&files, "target.csv"));
    let error = complaint(&["ope", "--log", &log, "--target", &target], 1);
    assert!(
        error.contains("target.csv has no column \"item_id\"; its columns are \"offer\", \"share\""),
        "{error}"
    );
    let error = complaint(&["ope", "--log", &log, "--target", &target, "--action", "offer"], 1);
    assert!(error.contains("log.csv has no column \"click\""), "{error}");
    let error = complaint(&["ope", "--log", "nowhere.csv", "--target", &target, "--action", "offer"], 1);
    assert!(error.contains("nowhere.csv"), "{error}");
}

#[test]
fn a_wrong_flag_is_usage_and_exit_2() {
    complaint(&["ope", "--log", "a.csv"], 2);
    complaint(&["ope", "--log", "a.csv", "--target", "b.csv", "--confidence", "95"], 2);
    complaint(&["ope", "--log", "a.csv", "--target", "b.csv", "--resamples", "3"], 2);
}
