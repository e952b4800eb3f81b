//! `bespoke evaluate replay` on logs whose truth is known: money with heavy tails, gaps, effects of context or none.

use std::collections::HashMap;
use std::fmt::Write as _;

use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;

const ACTIONS: [&str; 5] = ["none", "bogo", "discount", "gift", "info"];

/// Whether who gets an offer decides what it earns.
#[derive(Clone, Copy, PartialEq)]
enum Effects {
    /// Each group has an offer of its own.
    ByCustomer,
    /// One offer is the best for everyone.
    Alike,
}

/// A log of offers: age and income with gaps, gender, tenure; most rows earn nothing, some orders are huge.
/// `none` is logged with probability `none_share`, the others evenly.
fn offers(rows: usize, effects: Effects, none_share: f64, seed: u64) -> String {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut text = "time,age,income,gender,tenure,offer,p,spent\n".to_owned();
    for row in 0..rows {
        let mut unit = || random.random::<f64>();
        let known = unit() < 0.87;
        let age = 18.0 + (60.0 * unit()).floor();
        let income = 30_000.0 + 1_000.0 * (90.0 * unit()).floor();
        let gender = if unit() < 0.55 { "M" } else { "F" };
        let tenure = (-(1.0 - unit()).ln() * 500.0).floor();
        let action = if unit() < none_share { 0 } else { 1 + below(4, unit()) };
        let p = if action == 0 { none_share } else { (1.0 - none_share) / 4.0 };
        let rate = match effects {
            Effects::Alike => [0.10, 0.18, 0.40, 0.20, 0.15][action],
            Effects::ByCustomer => match (known, gender, income > 75_000.0, action) {
                (false, _, _, _) => 0.10,
                (_, "F", true, 1) | (_, "M", true, 3) => 0.55,
                (_, "F", false, 2) | (_, "M", false, 4) => 0.45,
                _ => 0.12,
            },
        };
        let level = if known { 8.0 + income / 15_000.0 } else { 5.0 };
        let spread = (-2.0 * (1.0 - unit()).ln()).sqrt() * (std::f64::consts::TAU * unit()).cos();
        let tail = if unit() < 0.005 { 15.0 } else { 1.0 };
        let spent = if unit() < rate { level * (0.6 * spread).exp() * tail } else { 0.0 };
        let fact = |value: f64| if known { value.to_string() } else { String::new() };
        let gender = if known { gender } else { "" };
        let (age, income) = (fact(age), fact(income));
        writeln!(text, "{row},{age},{income},{gender},{tenure},{},{p},{spent:.2}", ACTIONS[action]).unwrap();
    }
    text
}

/// A number below `count`, from a number in [0, 1).
fn below(count: u8, unit: f64) -> usize {
    (1..count).filter(|i| unit >= f64::from(*i) / f64::from(count)).count()
}

/// The words that replay a log of [`offers`].
fn words<'a>(log: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut words =
        vec!["replay", "--log", log, "--action", "offer", "--reward", "spent", "--propensity", "p"];
    words.extend(["--context", "age,income,gender,tenure"]);
    words.extend(more);
    words
}

fn figure(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The lines of a file of decisions: row number, then the probability of each action.
fn decisions(file: &str) -> (Vec<String>, Vec<(usize, Vec<f64>)>) {
    let text = std::fs::read_to_string(file).unwrap();
    let mut lines = text.lines();
    let header = lines.next().unwrap().split(',').map(str::to_owned).collect();
    let row = |line: &str| {
        let mut cells = line.split(',');
        let number = cells.next().unwrap().parse().unwrap();
        (number, cells.map(|cell| cell.parse().unwrap()).collect())
    };
    (header, lines.map(row).collect())
}

#[test]
fn thompson_beats_the_best_fixed_action_where_context_matters() {
    let folder = folder(&[("log.csv", &offers(10_000, Effects::ByCustomer, 0.2, 1))]);
    let log = path(&folder, "log.csv");
    let out = json(&words(&log, &[]), 0);
    let (value, best) = (figure(&out["all_rows"]["mean_reward"]), figure(&out["best_fixed"]["mean_reward"]));
    assert!(value > 1.15 * best, "{value} beside {best}");
    assert!(
        figure(&out["z"]) > 2.0 && figure(&out["best_fixed"]["difference_second_half"]["z"]) > 2.0,
        "{out}"
    );
    assert!(figure(&out["uniform"]["mean_reward"]) < value);
    assert!(figure(&out["matched"]) > 1_500.0);
    // Two estimates of one thing agree.
    let (low, high) = (figure(&out["interval"]["low"]), figure(&out["interval"]["high"]));
    assert!(low < value && value < high, "{value} is not within {low} … {high}");
}

#[test]
fn little_is_lost_where_context_does_not_matter() {
    let folder = folder(&[("log.csv", &offers(8_000, Effects::Alike, 0.2, 2))]);
    let log = path(&folder, "log.csv");
    let out = json(&words(&log, &[]), 0);
    assert_eq!(out["best_fixed"]["action"], "discount");
    let uniform = figure(&out["uniform"]["mean_reward"]);
    let best = figure(&out["best_fixed"]["mean_reward"]);
    let kept = (figure(&out["all_rows"]["mean_reward"]) - uniform) / (best - uniform);
    assert!(kept > 0.75, "kept {kept} of the gain of the best action");
}

#[test]
fn anyone_can_recompute_the_value_from_the_decisions() {
    let text = offers(3_000, Effects::ByCustomer, 0.4, 3);
    let folder = folder(&[("log.csv", &text)]);
    let (log, file) = (path(&folder, "log.csv"), path(&folder, "out.csv"));
    let out = json(&words(&log, &["--decisions", &file]), 0);
    let (header, rows) = decisions(&file);
    assert_eq!(header, ["row", "bogo", "discount", "gift", "info", "none"]);
    assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), (1..=3_000).collect::<Vec<_>>());
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let (mut earned, mut weights) = (0.0, 0.0);
    for (number, p) in &rows {
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-9 && p.iter().all(|p| *p > 0.0), "row {number}");
        let line = &lines[*number];
        let action = header.iter().position(|name| name == line[5]).unwrap() - 1;
        let weight = p[action] / line[6].parse::<f64>().unwrap();
        earned += weight * line[7].parse::<f64>().unwrap();
        weights += weight;
    }
    near(&out["all_rows"]["mean_reward"], earned / weights, 1e-9);
}

#[test]
fn a_decision_knows_nothing_of_later_rewards_and_of_none_that_did_not_match() {
    let text = offers(2_000, Effects::ByCustomer, 0.2, 4);
    let changed: String = text
        .lines()
        .enumerate()
        .map(|(number, line)| match line.rsplit_once(',') {
            Some((start, _)) if number > 1_000 => format!("{start},77\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let folder = folder(&[("one.csv", &text), ("two.csv", &changed)]);
    let run = |name: &str| {
        let (log, file) = (path(&folder, name), path(&folder, &format!("{name}.out")));
        json(&words(&log, &["--decisions", &file]), 0);
        decisions(&file).1
    };
    let (one, two) = (run("one.csv"), run("two.csv"));
    assert_eq!(one[..1_000], two[..1_000]);
    assert_ne!(one[1_400..], two[1_400..]);
}

#[test]
fn the_same_seed_replays_the_same_and_another_does_not() {
    let folder = folder(&[("log.csv", &offers(1_500, Effects::Alike, 0.2, 5))]);
    let log = path(&folder, "log.csv");
    let run = |seed: &str| json(&words(&log, &["--seed", seed]), 0);
    assert_eq!(run("7"), run("7"));
    assert_ne!(run("7")["mean_reward"], run("8")["mean_reward"]);
}

#[test]
fn unequal_propensities_are_undone_either_way() {
    let folder = folder(&[("log.csv", &offers(8_000, Effects::Alike, 0.6, 6))]);
    let log = path(&folder, "log.csv");
    let run = |unequal: &str| json(&words(&log, &["--policy", "uniform", "--unequal", unequal]), 0);
    let (weigh, reject) = (run("weight"), run("reject"));
    // A uniform policy matches a fifth of the rows; rejection keeps the share 0.1/0.6 of what `none` matched.
    assert!(figure(&reject["matched"]) < 0.7 * figure(&weigh["matched"]));
    let truth = figure(&weigh["uniform"]["mean_reward"]);
    for out in [&weigh, &reject] {
        let (low, high) = (figure(&out["interval"]["low"]), figure(&out["interval"]["high"]));
        assert!(low < truth && truth < high, "{truth} is not within {low} … {high}");
    }
}

#[test]
fn every_policy_runs_and_the_table_says_what_json_says() {
    let folder = folder(&[("log.csv", &offers(1_500, Effects::Alike, 0.2, 7))]);
    let log = path(&folder, "log.csv");
    let mut values = HashMap::new();
    for policy in ["thompson", "beta", "squarecb", "egreedy", "uniform"] {
        let out = json(&words(&log, &["--policy", policy]), 0);
        values.insert(policy, figure(&out["all_rows"]["mean_reward"]));
    }
    assert!(values["thompson"] > values["uniform"] && values["beta"] > values["uniform"], "{values:?}");
    let text = table(&words(&log, &[]), 0);
    assert!(text.contains(&format!("{:.6}", values["thompson"])), "{text}");
    assert!(
        text.contains("always discount") && text.contains("thompson less the best fixed action"),
        "{text}"
    );
}

#[test]
fn while_all_rewards_are_alike_probabilities_are_still_probabilities() {
    let mut rows = "offer,reward,age\n".to_owned();
    for row in 0..900 {
        writeln!(rows, "a{},0,{}", row % 3, row % 7).unwrap();
    }
    let files = folder(&[("log.csv", &rows)]);
    let (log, out) = (path(&files, "log.csv"), path(&files, "out.csv"));
    for policy in ["thompson", "beta", "squarecb", "egreedy", "uniform"] {
        let words = [
            "replay",
            "--log",
            &log,
            "--action",
            "offer",
            "--reward",
            "reward",
            "--propensity",
            "0.333333",
            "--context",
            "age",
            "--batch",
            "50",
            "--policy",
            policy,
            "--decisions",
            &out,
        ];
        let value = &json(&words, 0)["all_rows"]["mean_reward"];
        assert_eq!(value.as_f64(), Some(0.0), "{policy}");
        for (_, p) in decisions(&out).1 {
            assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{policy}: {p:?}");
            assert!(p.iter().all(|p| (0.0..=1.0).contains(p)), "{policy}: {p:?}");
        }
    }
}

#[test]
fn a_policy_learns_once_a_batch() {
    let folder = folder(&[("log.csv", &offers(1_200, Effects::Alike, 0.2, 10))]);
    let (log, file) = (path(&folder, "log.csv"), path(&folder, "out.csv"));
    for batch in [200, 400] {
        // Without context this policy decides the same until it has learnt again.
        let size = batch.to_string();
        let mut words =
            vec!["replay", "--log", &log, "--action", "offer", "--reward", "spent", "--propensity", "p"];
        words.extend(["--policy", "egreedy", "--batch", &size, "--decisions", &file]);
        json(&words, 0);
        let rows = decisions(&file).1;
        let changes: Vec<usize> = (1..rows.len()).filter(|row| rows[*row].1 != rows[row - 1].1).collect();
        assert!(!changes.is_empty() && changes.iter().all(|row| row % batch == 0), "{batch}: {changes:?}");
    }
}

#[test]
fn rows_are_taken_in_the_order_that_is_asked_for() {
    let text = offers(1_200, Effects::Alike, 0.2, 8);
    let mut lines: Vec<&str> = text.lines().collect();
    lines[1..].reverse();
    let folder = folder(&[("log.csv", &text), ("back.csv", &lines.join("\n"))]);
    let (log, back) = (path(&folder, "log.csv"), path(&folder, "back.csv"));
    let (one, two) = (json(&words(&log, &[]), 0), json(&words(&back, &["--order", "time"]), 0));
    // The seed of a row is its number in the file, so only what does not depend on draws is the same.
    assert_eq!(one["uniform"], two["uniform"]);
    assert_ne!(one["uniform"], json(&words(&back, &[]), 0)["uniform"]);
}

#[test]
fn a_log_that_is_wrong_is_named_with_line_and_column() {
    let good = "x,a,r,p\n1,one,0,0.5\n2,two,1,0.5\n";
    let check = |text: &str, more: &[&str], code: i32, expected: &str| {
        let folder = folder(&[("log.csv", text)]);
        let log = path(&folder, "log.csv");
        let mut words = vec!["replay", "--log", &log, "--action", "a", "--reward", "r"];
        words.extend(more);
        let said = complaint(&words, code);
        assert!(said.contains(expected), "{said}");
    };
    let p = ["--propensity", "p"];
    check(&good.replace("0.5\n2", "0\n2"), &p, 1, "line 2, column \"p\": 0 is not a probability");
    check(&good.replace("two,1", "two,many"), &p, 1, "line 3, column \"r\": \"many\" is not a number");
    check(&good.replace("two,1", "two,"), &p, 1, "line 3, column \"r\": the number is missing");
    check(&good.replace("one", ""), &p, 1, "line 2, column \"a\": the value is missing");
    check(good, &["--propensity", "q"], 1, "has no column \"q\"");
    check(good, &["--propensity", "p", "--context", "x,y"], 1, "has no column \"y\"");
    check(good, &["--propensity", "1.5"], 2, "1.5 is not a probability");
    check("x,a,r,p\n", &p, 1, "there are no rows under the header");
    let many: String = (0..301).fold("x,a,r,p\n".to_owned(), |text, i| text + &format!("1,a{i},0,0.5\n"));
    check(&many, &p, 1, "an action column may have 300");
}

#[test]
fn a_log_that_is_too_short_is_refused() {
    let text = offers(60, Effects::Alike, 0.2, 9);
    let folder = folder(&[("log.csv", &text)]);
    let log = path(&folder, "log.csv");
    let out = json(&words(&log, &[]), 3);
    assert_eq!(out["refused"], true);
    assert!(table(&words(&log, &[]), 3).starts_with("REFUSED: only "));
}

#[test]
fn the_real_log_of_a_fashion_shop_is_replayed() {
    let Some(log) = shared("obd/random/men/men.csv.gz") else { return };
    let log = log.display().to_string();
    let words = [
        "replay",
        "--log",
        &log,
        "--action",
        "item_id",
        "--reward",
        "click",
        "--propensity",
        "propensity_score",
        "--order",
        "timestamp",
        "--context",
        "position,user_feature_0,user_feature_1,user_feature_2,user_feature_3",
        "--policy",
        "beta",
    ];
    let out = json(&words, 0);
    assert_eq!(out["rows"], 10_000);
    // 34 items, uniformly random: a row in 34 matches.
    assert!((200.0..400.0).contains(&figure(&out["matched"])), "{}", out["matched"]);
    near(&out["uniform"]["mean_reward"], 0.0046, 0.0008);
}
