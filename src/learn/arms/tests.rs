//! Small worlds whose best arm is known.

use super::*;

fn arm(impressions: u64, clicks: u64) -> MeasuredArm {
    MeasuredArm { impressions, clicks }
}

#[test]
fn thompson_finds_the_best_of_clear_tests_and_uniform_gains_nothing() {
    let tests = Tests {
        tests: (0..40).map(|i| vec![arm(4_000, 40 + i), arm(4_000, 160), arm(4_000, 60)]).collect(),
        left_out: 0,
    };
    let simulation = simulate(&tests, 20, 1, 0.95);
    let share =
        |policy| simulation.results.iter().find(|result| result.policy == policy).unwrap().share.unwrap();
    assert!(share(ArmPolicy::Thompson) > 0.85, "{}", share(ArmPolicy::Thompson));
    assert!(share(ArmPolicy::Uniform).abs() < 0.01);
    assert!((share(ArmPolicy::SplitThenWinner) - 0.8).abs() < 0.03);
    assert_eq!(simulation, simulate(&tests, 20, 1, 0.95));
    assert_eq!(simulation.impressions, 40 * 12_000);
}

#[test]
fn arms_that_are_alike_leave_nothing_to_gain() {
    let tests = Tests { tests: vec![vec![arm(1_000, 10); 3]], left_out: 0 };
    assert!(simulate(&tests, 5, 1, 0.95).results.iter().all(|result| result.share.is_none()));
}

#[test]
fn parts_sum_to_the_whole_and_have_the_right_mean() {
    let p = [0.05, 0.15, 0.8];
    let mut sums = [0; 3];
    for step in 0..1_000_u32 {
        let parts = divide(7, &p, f64::from(step) / 1_000.0);
        assert_eq!(parts.iter().sum::<u64>(), 7);
        for (sum, part) in sums.iter_mut().zip(parts) {
            *sum += part;
        }
    }
    assert!(sums[0].abs_diff(350) <= 2 && sums[1].abs_diff(1_050) <= 2, "{sums:?}");
}

#[test]
fn rows_that_cannot_be_are_named() {
    let read_text = |text: &str| {
        let table = Table::parse("tests.csv", text.as_bytes(), None).unwrap();
        read(&table, "test", "shown", "clicked").map_err(|error| error.to_string())
    };
    let tests = read_text("test,shown,clicked\na,10,1\nb,5,0\na,9,2\n").unwrap();
    assert_eq!((tests.tests, tests.left_out), (vec![vec![arm(10, 1), arm(9, 2)]], 1));
    for (text, expected) in [
        (
            "test,shown,clicked\na,10,1\na,5,6\n",
            "tests.csv, line 3, column \"clicked\": 6 clicks on 5 impressions",
        ),
        ("test,shown,clicked\na,1.5,1\n", "tests.csv, line 2, column \"shown\": 1.5 is not a count"),
        ("test,shown,clicked\na,-1,0\n", "column \"shown\": -1 is not a count"),
        ("test,shown,clicked\na,x,0\n", "column \"shown\": \"x\" is not a number"),
        ("test,shown,clicked\n,1,0\n", "line 2, column \"test\": the value is missing"),
    ] {
        let error = read_text(text).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}
