//! README's page from `bespoke serve` to a first tracked click, run as it stands there.

use std::net::TcpListener;
use std::process::Command;

use crate::support::not_tested;

/// Where the page says that the service listens.
const PORT: &str = "8025";
/// What the page leaves to its reader: the id of the receipt.
const SEND: &str =
    "$(bespoke sends list --campaign order-confirmation | grep -o '[0-9a-f]\\{32\\}' | head -1)";

/// The first block of commands under a heading.
fn commands(heading: &str) -> String {
    let readme = include_str!("../../README.md");
    let (_, page) = readme.split_once(heading).unwrap_or_else(|| panic!("README has no page {heading:?}"));
    let (_, block) = page.split_once("```sh\n").unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

#[test]
fn a_new_user_comes_from_serve_to_a_first_tracked_click_by_readmes_own_commands() {
    if !Command::new("curl").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return not_tested("README's page: there is no curl here");
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let page = commands("### From `bespoke serve` to a first tracked click");
    assert!(page.contains("bespoke tracking hits SEND"), "{page}");
    // A program that was not optimised needs longer to prove hundreds of templates.
    let page = page.replace("--retry 20", "--retry 90");
    let page = page.replace("tracking hits SEND", &format!("tracking hits {SEND}")).replace(PORT, &port);
    // The page goes on at its own shell's prompt; here the service ends with it, however that ends.
    let script = format!("trap 'kill $(jobs -p); wait' EXIT\n{page}\nbespoke tracking reclassify");
    let folder = tempfile::tempdir().unwrap();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_bespoke"));
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", program.parent().unwrap().display());
    let output = Command::new("timeout")
        .args(["240", "bash", "-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("BESPOKE_HTTP__LISTEN", format!("127.0.0.1:{port}"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let heard = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{heard}");
    assert_eq!(said.matches("{\"success\":true}").count(), 2, "{said}\n{heard}");
    assert_eq!(said.matches("302 https://brindle.example/\n").count(), 2, "{said}");
    let class = |line: &str| line.split_whitespace().nth(4).unwrap_or_default().to_owned();
    let classes: Vec<String> = said.lines().filter(|line| line.contains("  click  ")).map(class).collect();
    assert_eq!(classes, ["human", "scanner"], "{said}");
    assert!(
        said.ends_with("looked at the hits of 1 mails; 0 hits are taken for something else now\n"),
        "{said}"
    );
}
