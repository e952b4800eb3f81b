//! Keys that sign mail, from `bespoke dkim create` to a signature that another implementation verifies by the DNS records
//! that `bespoke dkim records` says.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use bespoke::deliver::catcher::Catcher;

use crate::message::VERIFY;
use crate::support::judge::python_with;
use crate::support::program::Program;

/// Lines of a zone file, by name: pieces joined, as readers do.
fn records(text: &str) -> BTreeMap<String, String> {
    let record = |line: &str| {
        let (name, pieces) = line.split_once(". TXT ")?;
        Some((name.to_owned(), pieces.trim_matches('"').replace("\" \"", "")))
    };
    text.lines().filter_map(record).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_user_makes_keys_and_the_mail_verifies_by_the_records_that_are_printed() {
    let catcher = Catcher::start().await.unwrap();
    let program = Program::new(&format!("[[relay]]\nurl = {:?}\n", catcher.url()));
    let config = program.folder.path().join("bespoke.toml");
    let mut promised = BTreeMap::new();
    for (algorithm, selector, file) in [("rsa", "s1", "dkim.pem"), ("ed25519", "s2", "ed.pem")] {
        let create = ["dkim", "create", "--domain", "shop.test", "--algorithm", algorithm];
        let said = program.says(&[&create[..], &["--selector", selector, "--file", file]].concat()).await;
        promised.extend(records(&said));
        let section = &said[said.find("[[dkim]]").unwrap()..];
        let text = std::fs::read_to_string(&config).unwrap() + section;
        std::fs::write(&config, text).unwrap();
        let mode = std::fs::metadata(program.folder.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
        assert!(section.contains(&*program.folder.path().join(file).to_string_lossy()), "{section}");
    }
    assert_eq!(promised.keys().collect::<Vec<_>>(), ["s1._domainkey.shop.test", "s2._domainkey.shop.test"]);
    let stated = records(&program.says(&["dkim", "records"]).await);
    assert_eq!(stated, promised);

    std::fs::write(
        program.folder.path().join("people.csv"),
        "id,email,consent\nana,ana@example.test,granted\n",
    )
    .unwrap();
    program.says(&["import", "profiles", "people.csv"]).await;
    let to = ["--to", "me@shop.test", "--campaign", "news", "--profile", "ana"];
    program.says(&[&["send-test"], &to[..]].concat()).await;
    let mail = catcher.messages().remove(0).message;
    assert_eq!(String::from_utf8_lossy(&mail).matches("DKIM-Signature:").count(), 2);
    let Some(python) = python_with("dkim, nacl") else { return };
    let (keys, path) = (program.folder.path().join("keys.json"), program.folder.path().join("mail.eml"));
    std::fs::write(&keys, serde_json::to_string(&stated).unwrap()).unwrap();
    std::fs::write(&path, mail).unwrap();
    let output =
        tokio::process::Command::new(python).arg("-c").arg(VERIFY).args([keys, path]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
async fn a_key_that_is_there_is_never_written_over_and_what_is_wrong_is_said() {
    let program = Program::new("");
    let refused = async |arguments: &[&str]| {
        let output = program.command(&[], &[&["dkim"], arguments].concat()).output().await.unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let create = |domain, selector| ["create", "--domain", domain, "--selector", selector];
    program.says(&["dkim", "create", "--domain", "shop.test"]).await;
    let file = program.folder.path().join("dkim.pem");
    let before = std::fs::read(&file).unwrap();
    let said = refused(&create("shop.test", "s1")).await;
    assert!(said.contains("cannot write a new file dkim.pem"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    for (arguments, expected) in [
        (create("not a domain", "s2"), "\"not a domain\" is no domain"),
        (create("shop.test", "a b"), "the selector \"a b\" is no part of a domain name"),
    ] {
        let said = refused(&[&arguments[..], &["--file", "other.pem"]].concat()).await;
        assert!(said.contains(expected), "{said}");
        assert!(!program.folder.path().join("other.pem").exists());
    }
    let said = refused(&["records"]).await;
    assert!(said.contains("bespoke dkim create"), "{said}");
}
