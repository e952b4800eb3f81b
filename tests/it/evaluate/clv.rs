//! Lifetime value on CDNOW, against the published estimates, and on files that cannot carry it.

use std::fmt::Write;

use bespoke::learn::clv::purchases::{Columns, Purchases, day_of_date};
use bespoke::learn::table::Table;

use super::{complaint, folder, json, near, path, shared, table};

/// The CDNOW sample as a CSV file; `None` when the shared data are absent.
fn cdnow() -> Option<tempfile::TempDir> {
    let text = std::fs::read_to_string(shared("cdnow/CDNOW_sample.txt")?).unwrap();
    let mut csv = "customer,date,dollars\n".to_owned();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        writeln!(csv, "{},{},{}", fields[1], fields[2], fields[4]).unwrap();
    }
    Some(folder(&[("cdnow.csv", &csv)]))
}

fn words(file: &str) -> Vec<&str> {
    vec![
        "clv",
        "--transactions",
        file,
        "--customer",
        "customer",
        "--time",
        "date",
        "--split",
        "1997-09-30",
        "--resamples",
        "100",
    ]
}

#[test]
fn the_cdnow_estimates_are_the_published_ones() {
    let Some(files) = cdnow() else { return };
    let file = path(&files, "cdnow.csv");
    let result = json(&[words(&file), vec!["--amount", "dollars"]].concat(), 0);
    let model = &result["bg_nbd"];
    near(&model["r"], 0.2426, 1e-4);
    near(&model["alpha"], 4.4135, 5e-4);
    near(&model["a"], 0.7929, 3e-4);
    near(&model["b"], 2.4258, 5e-4);
    near(&model["log_likelihood"], -9582.43, 0.005);
    let values = &result["gamma_gamma"];
    near(&values["p"], 6.25, 0.005);
    near(&values["q"], 3.74, 0.005);
    near(&values["gamma"], 15.45, 0.01);
    near(&values["log_likelihood"], -4055.92, 0.005);
    assert_eq!(values["customers"], 946);

    let test = &result["back_test"];
    assert_eq!((&test["customers"], &test["horizon"]), (&2357.into(), &39.0.into()));
    near(&test["purchases"]["actual"], 1882.0, 0.0);
    let (model_error, naive) = (test["mae"].as_f64().unwrap(), test["naive_mae"].as_f64().unwrap());
    assert!(model_error < 0.8 * naive, "{model_error} {naive}");
    assert!(test["mae_saved_interval"]["low"].as_f64().unwrap() > 0.0);
    let factor = &test["purchases"]["correction_factor"];
    near(factor, 1.138, 0.01);
    let forecast = &result["forecast"]["purchases"];
    near(&forecast["corrected"], forecast["model"].as_f64().unwrap() * factor.as_f64().unwrap(), 1e-9);
    assert!(result["forecast"]["clv"]["model"].as_f64().unwrap() > 0.0);
    let customers: u64 =
        test["groups"].as_array().unwrap().iter().map(|g| g["customers"].as_u64().unwrap()).sum();
    assert_eq!(customers, 2357);
}

/// The authors' own summary of the same customers has two decimals.
#[test]
fn the_summaries_of_cdnow_are_the_authors_own() {
    let (Some(files), Some(summaries)) = (cdnow(), shared("cdnow/cdnow_customers_summary.csv")) else {
        return;
    };
    let columns = Columns { customer: "customer", time: "date", amount: None };
    let purchases = Purchases::read(&files.path().join("cdnow.csv"), &columns).unwrap();
    let expected = Table::read_all(&summaries).unwrap();
    let numbers = |name: &str| expected.column(name).unwrap().required_numbers().unwrap();
    let (frequency, recency, age) = (numbers("frequency"), numbers("recency"), numbers("T"));
    assert_eq!(purchases.customers.len(), 2357);
    let split = day_of_date("1997-09-30".parse().unwrap());
    for (row, customer) in purchases.customers.iter().enumerate() {
        let summary = customer.summary(split, 7.0, false).unwrap();
        assert!((f64::from(summary.frequency) - frequency[row]).abs() < 0.5, "{row}: {summary:?}");
        assert!((summary.recency - recency[row]).abs() < 0.006, "{row}: {summary:?}");
        assert!((summary.age - age[row]).abs() < 0.006, "{row}: {summary:?}");
    }
}

#[test]
fn the_table_and_the_file_of_customers_hold_no_figure_that_is_none() {
    let Some(files) = cdnow() else { return };
    let (file, out) = (path(&files, "cdnow.csv"), path(&files, "out.csv"));
    let text = table(&[words(&file), vec!["--customers", &out]].concat(), 0);
    assert!(text.contains("Gamma-Gamma: values are not known: give --amount"), "{text}");
    assert!(text.contains("Lifetime value: none, values are not known: give --amount."), "{text}");
    let written = Table::read_all(out.as_ref()).unwrap();
    assert_eq!(written.row_count(), 2357);
    let alive = written.column("p_alive").unwrap().required_numbers().unwrap();
    assert!(alive.iter().all(|p| (0.0..=1.0).contains(p)));
    assert!(written.column("clv").unwrap().texts().all(str::is_empty));
}

#[test]
fn what_cannot_be_fitted_is_said() {
    let files = folder(&[
        ("once.csv", "customer,date\na,2026-01-01\nb,2026-01-05\nb,2026-02-09\nc,2026-03-01\n"),
        ("bad.csv", "customer,date\na,2026-01-01\nb,yesterday\n"),
    ]);
    let (once, bad) = (path(&files, "once.csv"), path(&files, "bad.csv"));
    let command = |file, split| {
        ["clv", "--transactions", file, "--customer", "customer", "--time", "date", "--split", split]
    };
    let error = complaint(&command(&once, "2026-02-15"), 1);
    assert!(error.contains("only 1 customer bought again, and at least 10 are needed"), "{error}");
    let error = complaint(&command(&once, "2027-01-01"), 1);
    assert!(error.contains("has purchases from 2026-01-01 to 2026-03-01"), "{error}");
    let error = complaint(&command(&bad, "2026-01-15"), 1);
    assert!(error.contains("bad.csv, line 3, column \"date\": \"yesterday\" is not a time"), "{error}");
    complaint(&command(&once, "15/02/2026"), 2);
}
