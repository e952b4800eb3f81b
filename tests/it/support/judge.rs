//! Programs that nobody here wrote and that judge what we do. tests/run installs them.

use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use crate::support::not_tested;

/// The Python that has these modules. `None`, said loudly, where there is none.
pub(crate) fn python_with(modules: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "tests/run says by it where the judges are")]
    let stated = std::env::var("BESPOKE_TEST_PYTHON").ok();
    let candidates = stated.into_iter().chain(["target/python/bin/python".to_owned(), "python3".to_owned()]);
    let found = candidates.into_iter().find(|python| {
        let found = Command::new(python).arg("-c").arg(format!("import {modules}")).output();
        found.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        not_tested(&format!("no Python has {modules} here; tests/run installs it"));
    }
    found
}

/// Node's arguments to run a script that may import what tests/run installed in target/node.
pub(crate) fn node() -> Option<String> {
    let usable = Path::new("target/node/node_modules/@segment/analytics-node").is_dir()
        && Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
    if !usable {
        not_tested("no Node with @segment/analytics-node here; tests/run installs it");
    }
    usable.then(|| "node".to_owned())
}

/// Runs it to its end and wants success; what it said is in the panic.
pub(crate) async fn run(program: &str, folder: &str, arguments: &[&str]) -> String {
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{program}: {}\n{}", said(&output.stdout), said(&output.stderr));
    said(&output.stdout)
}
