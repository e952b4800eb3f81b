//! The project's own rules, as a test: who may use what, how long a file may be, what must not be in the tree.

use std::path::Path;

/// Lines of a file of code, at most.
const LINES_MAX: usize = 400;

/// A library and the only places that may name it.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("sqlx", &["src/store/"]),
    ("axum", &["src/http/"]),
    ("aws_lc_rs", &["src/deliver/", "src/feedback/providers/", "src/http/key.rs", "src/outward.rs"]),
    ("hyper", &["src/http/", "src/outward.rs"]),
    ("utoipa", &["src/http/"]),
    ("tera", &["src/render/", "src/catalog/"]),
    ("mrml", &["src/render/", "src/catalog/"]),
    ("lettre", &["src/deliver/", "src/profile/address.rs", "src/config/", "src/worker/sender.rs"]),
    ("governor", &["src/http/pace.rs"]),
    ("clap", &["src/cli/", "src/main.rs"]),
    ("cel", &["src/catalog/rule", "src/catalog/condition"]),
    ("indicatif", &["src/cli/"]),
    ("prometheus_client", &["src/metrics.rs"]),
];

/// A module and the modules of ours that it must not name: the middle is pure, and nobody imports upward.
const MUST_NOT_USE: &[(&str, &[&str])] = &[
    ("src/history", &["store", "worker", "cli", "deliver", "render", "select", "http"]),
    ("src/stage", &["store", "worker", "cli", "deliver", "render", "select", "http"]),
    ("src/catalog", &["store", "worker", "cli", "deliver", "http"]),
    ("src/select", &["store", "worker", "cli", "deliver", "http"]),
    ("src/render", &["store", "worker", "cli", "deliver", "http"]),
    ("src/deliver", &["store", "worker", "cli", "select", "catalog", "http"]),
    ("src/store", &["worker", "cli", "deliver", "select", "http"]),
    ("src/worker", &["cli", "http"]),
    ("src/http", &["cli"]),
];

/// Crates that must not be in the lock, or only from a version on, with the advisory that says so.
const ADVISORIES: &[(&str, Option<[u64; 3]>, &str)] = &[
    ("rsa", None, "RUSTSEC-2023-0071"),
    ("openssl", None, "one TLS library is enough"),
    ("serde_yaml", None, "unmaintained"),
    ("rustls-pemfile", None, "unmaintained"),
    ("paste", None, "unmaintained"),
    ("h2", Some([0, 4, 16]), "RUSTSEC-2026-0258"),
    ("time", Some([0, 3, 47]), "RUSTSEC-2026-0009"),
    ("idna", Some([1, 0, 3]), "RUSTSEC-2024-0421"),
    ("rustls", Some([0, 23, 18]), "RUSTSEC-2024-0399"),
    ("rustls-webpki", Some([0, 103, 13]), "RUSTSEC-2026-0104"),
    ("quick-xml", Some([0, 41, 0]), "RUSTSEC-2026-0194"),
    ("lettre", Some([0, 11, 22]), "RUSTSEC-2026-0141"),
    ("sqlx", Some([0, 8, 1]), "RUSTSEC-2024-0363"),
    ("ammonia", Some([4, 1, 4]), "RUSTSEC-2026-0213"),
];

/// Methods of the store that no test calls by name, and the test, on both databases, that goes through them.
const REACHED_BY: &[(&str, &str)] = &[
    ("ab_mails", "reports_trials.rs"),
    ("consent_request", "http/consent.rs"),
    ("consequences", "reports.rs"),
    ("count_people_seen", "reports.rs"),
    ("dealt_sends", "reports.rs"),
    ("decisions_one_by_one", "store_learnt.rs"),
    ("due", "metrics.rs"),
    ("ended_sends", "reports.rs"),
    ("erased_addresses", "privacy.rs"),
    ("feedback_targets", "feedback.rs"),
    ("groupless_sends", "reports.rs"),
    ("open_or_wait", "store_locks.rs"),
    ("people_after", "reports.rs"),
    ("reception", "guard.rs"),
    ("record_feedback", "feedback.rs"),
    ("record_hit", "store_rewards.rs"),
    ("stage_steps", "reports.rs"),
    ("troubled_attempts", "reports.rs"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `folder` with one of these endings, its path relative to the root, with its text.
fn files(folder: &str, endings: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            if path.is_dir() {
                folders.push(path);
            } else if endings.contains(&ending) {
                found.push((relative(&path), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/")
}

fn code() -> Vec<(String, String)> {
    ["src", "tests/it", "benches"].iter().flat_map(|folder| files(folder, &["rs"])).collect()
}

/// Lines of code, without comments, up to the file's unit tests.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim_start()));
    lines
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.starts_with("//"))
}

fn report(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_file_says_what_it_is_and_is_short_enough_to_read() {
    let mut faults = Vec::new();
    for (path, text) in code() {
        if !text.starts_with("//!") {
            faults.push(format!("{path}: does not start with `//!`"));
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{path}: {lines} lines; split it where it does two things"));
        }
    }
    report(&faults);
}

#[test]
fn every_library_has_one_home() {
    let mut faults = Vec::new();
    for (path, text) in files("src", &["rs"]) {
        for (library, homes) in ONLY_IN {
            if homes.iter().any(|home| path.starts_with(home)) {
                continue;
            }
            let named = |line: &str| {
                line.starts_with(&format!("use {library}::"))
                    || line.contains(&format!("{library}::"))
                        && !line.contains(&format!("::{library}::"))
                        && line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == *library)
            };
            for (number, line) in code_lines(&text).filter(|(_, line)| named(line)) {
                faults.push(format!("{path}:{number}: {library} belongs to {homes:?}: {line}"));
            }
        }
    }
    report(&faults);
}

#[test]
fn data_flows_one_way() {
    let mut faults = Vec::new();
    for (path, text) in files("src", &["rs"]) {
        for (module, forbidden) in MUST_NOT_USE {
            let inside = path == format!("{module}.rs") || path.starts_with(&format!("{module}/"));
            for other in forbidden.iter().filter(|_| inside) {
                for (number, line) in
                    code_lines(&text).filter(|(_, line)| line.contains(&format!("crate::{other}::")))
                {
                    faults.push(format!("{path}:{number}: must not use {other}: {line}"));
                }
            }
        }
    }
    report(&faults);
}

#[test]
fn tests_never_sleep() {
    let sleeps = ["thread::slee", "time::slee", "tokio::time::slee"].map(|start| format!("{start}p("));
    let faults: Vec<_> = files("tests/it", &["rs"])
        .into_iter()
        .filter(|(_, text)| sleeps.iter().any(|sleep| text.contains(sleep)))
        .map(|(path, _)| format!("{path}: sleeps; wait for what you need instead"))
        .collect();
    report(&faults);
}

#[test]
fn nothing_panics_where_nobody_reads_what_is_printed() {
    let mut faults = Vec::new();
    for (path, text) in files("src", &["rs"]) {
        let prints = |line: &str| line.contains("println!") || line.contains("print!(");
        for (number, _) in code_lines(&text).filter(|(_, line)| prints(&line.replace("eprintln!", ""))) {
            faults.push(format!("{path}:{number}: prints; `say!` ends quietly where nobody reads"));
        }
    }
    report(&faults);
}

#[test]
fn every_migration_is_one_that_runs() {
    let list = std::fs::read_to_string(root().join("src/store/migrate.rs")).unwrap();
    let left_out =
        files("migrations", &["sql"]).into_iter().filter(|(path, _)| !list.contains(path.as_str()));
    report(
        &left_out.map(|(path, _)| format!("{path}: src/store/migrate.rs leaves it out")).collect::<Vec<_>>(),
    );
}

/// The public methods of `impl Store` in a file.
fn store_methods(text: &str) -> Vec<&str> {
    let mut methods = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line {
            "impl Store {" => inside = true,
            "}" => inside = false,
            _ => {}
        }
        if let Some(rest) = line.strip_prefix("    pub async fn ").filter(|_| inside) {
            methods.extend(rest.split(['(', '<']).next());
        }
    }
    methods
}

#[test]
fn every_method_of_the_store_is_tested_on_both_databases() {
    let tests = files("tests/it", &["rs"]);
    let on_both = |text: &str| text.contains("stores().await") || text.contains("on_each_database");
    let mut faults = Vec::new();
    let mut methods = Vec::new();
    for (path, text) in files("src/store", &["rs"]) {
        methods.extend(store_methods(&text).into_iter().map(|method| (path.clone(), method.to_owned())));
    }
    assert!(methods.len() > 140, "the methods are not found any more: {}", methods.len());
    for (path, method) in &methods {
        let call = format!(".{method}(");
        let calls = |(_, text): &&(String, String)| on_both(text) && text.contains(&call);
        let reached = REACHED_BY.iter().find(|(reached, _)| reached == method);
        match (tests.iter().find(calls), reached) {
            (None, None) => faults.push(format!("{path}: no test on both databases calls {method}")),
            (Some((test, _)), Some(_)) => {
                faults.push(format!("{test} calls {method}: REACHED_BY need not say so"));
            }
            (None, Some((_, by))) => {
                let by = tests.iter().find(|(test, _)| test == &format!("tests/it/{by}"));
                if !by.is_some_and(|(_, text)| on_both(text)) {
                    faults.push(format!("{method}: REACHED_BY names a test that is not on both databases"));
                }
            }
            (Some(_), None) => {}
        }
    }
    let known = |name: &str| methods.iter().any(|(_, method)| method == name);
    faults.extend(
        REACHED_BY
            .iter()
            .filter(|(name, _)| !known(name))
            .map(|(name, _)| format!("{name}: there is no such method")),
    );
    report(&faults);
}

#[test]
fn nothing_is_left_for_later_and_no_machine_shows() {
    let marks = ["TO", "FIX", "XX"].map(|start| {
        format!(
            "{start}{}",
            if start == "TO" {
                "DO"
            } else if start == "FIX" {
                "ME"
            } else {
                "X"
            }
        )
    });
    let machine =
        ["/ro", "/ho"].map(|start| format!("{start}{}", if start == "/ro" { "ot/" } else { "me/" }));
    let texts = ["src", "tests", "benches", "templates", "migrations"]
        .iter()
        .flat_map(|folder| files(folder, &["rs", "sql", "mjml", "toml", "md", "sh", "py"]));
    let mut faults = Vec::new();
    for (path, text) in texts {
        for (number, line) in text.lines().enumerate() {
            if marks.iter().chain(&machine).any(|mark| line.contains(mark.as_str())) {
                faults.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    report(&faults);
}

#[test]
fn no_dependency_has_an_open_advisory() {
    let lock: toml::Table = std::fs::read_to_string(root().join("Cargo.lock")).unwrap().parse().unwrap();
    let mut faults = Vec::new();
    for package in lock["package"].as_array().unwrap() {
        let (name, version) = (package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
        let parts: Vec<u64> = version.split(['.', '-', '+']).filter_map(|part| part.parse().ok()).collect();
        for (advised, from, why) in ADVISORIES.iter().filter(|(advised, ..)| *advised == name) {
            if from.is_none_or(|from| parts < from.to_vec()) {
                faults.push(format!("{advised} {version}: {why}"));
            }
        }
    }
    report(&faults);
}
