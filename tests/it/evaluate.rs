//! `bespoke evaluate` as its user meets it: on the real logs of `../shared/data`, and on files that are wrong.

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::shared;

mod arms;
mod clv;
mod lift;
mod ope;
mod policy;
mod recommend;
mod replay;

/// Runs `bespoke evaluate` with these words.
fn evaluate(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bespoke")).arg("evaluate").args(words).output().unwrap()
}

/// The JSON that an evaluation prints, whatever its exit code.
fn json(words: &[&str], expected_code: i32) -> Value {
    let output = evaluate(&[words, &["--format", "json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(expected_code), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The table that an evaluation prints.
fn table(words: &[&str], expected_code: i32) -> String {
    let output = evaluate(words);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(expected_code), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("NaN") && !text.contains("inf "), "{text}");
    text
}

/// What an evaluation says when it cannot do its work.
fn complaint(words: &[&str], expected_code: i32) -> String {
    let output = evaluate(words);
    assert_eq!(output.status.code(), Some(expected_code), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    String::from_utf8(output.stderr).unwrap()
}

fn near(value: &Value, expected: f64, tolerance: f64) {
    let actual = value.as_f64().unwrap();
    assert!((actual - expected).abs() <= tolerance, "{actual} is not {expected} ± {tolerance}");
}

/// A folder with files of these names and texts.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn path(folder: &tempfile::TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}
