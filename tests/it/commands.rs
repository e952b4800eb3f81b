//! The commands as a user gives them, one after the other, against a mail server.

use bespoke::clock::Clock;
use bespoke::deliver::catcher::Catcher;
use mail_parser::MessageParser;
use serde_json::Value;
use sqlx::Connection as _;

use crate::support::patience::until;
use crate::support::program::Program;

/// A shop whose relay is the catcher, with Ana, who ordered just now.
async fn shop(catcher: &Catcher) -> Program {
    let program = Program::new(&format!("[[relay]]\nurl = {:?}\n", catcher.url()));
    let write = |name: &str, text: String| std::fs::write(program.folder.path().join(name), text).unwrap();
    write("people.csv", "id,email,first_name,consent\nana,ana@example.test,Ana,granted\n".to_owned());
    let now = Clock::System.now();
    write(
        "orders.csv",
        format!("messageId,userId,event,timestamp,order_id\no1,ana,Order Completed,{now},77\n"),
    );
    program.says(&["import", "profiles", "people.csv"]).await;
    program.says(&["import", "events", "orders.csv"]).await;
    program
}

fn subjects(catcher: &Catcher) -> Vec<(String, String)> {
    let parse = |bytes: &[u8]| MessageParser::new().parse(bytes).unwrap().subject().unwrap().to_owned();
    catcher.messages().iter().map(|mail| (mail.recipients.join(","), parse(&mail.message))).collect()
}

fn own(text: &str) -> String {
    text.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_file_of_orders_to_a_mail_and_why_it_was_sent() {
    let catcher = Catcher::start().await.unwrap();
    let program = shop(&catcher).await;
    program.says(&["plan", "--campaign", "receipt"]).await;
    program.says(&["work", "--until-idle"]).await;
    assert_eq!(subjects(&catcher), [(own("ana@example.test"), own("Your order 77"))]);
    assert_eq!(catcher.violations(), Vec::<String>::new());

    let exported = program.says(&["sends", "export", "--format", "jsonl"]).await;
    let send: Value = serde_json::from_str(&exported).unwrap();
    assert_eq!((&send["rcpt"], &send["state"]), (&"ana@example.test".into(), &"sent".into()));
    assert_eq!(send["policy"], "alo");
    let mail = catcher.messages().remove(0).message;
    let message_id = MessageParser::new().parse(&mail).unwrap().message_id().unwrap().to_owned();
    assert_eq!(send["message_id"], format!("<{message_id}>"));
    let why = program.says(&["explain", send["id"].as_str().unwrap()]).await;
    assert!(why.contains("receipt/any/receipt"), "{why}");

    // What has arrived is not sent again by hand either, and that is said.
    let id = send["id"].as_str().unwrap();
    let refused = program.command(&[], &["sends", "retry", id]).output().await.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0));
    assert!(
        said.contains(&format!(
            "{id} is sent: only what failed, and what was skipped because coupon codes had run out"
        )),
        "{said}"
    );

    // Once more, and nobody gets anything again.
    program.says(&["plan", "--campaign", "receipt"]).await;
    program.says(&["work", "--until-idle"]).await;
    assert_eq!(subjects(&catcher).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_warns_of_subjects_that_inboxes_cut_and_fails_only_when_asked_to() {
    let catcher = Catcher::start().await.unwrap();
    let program = shop(&catcher).await;
    let subject = "Everything that came in this week and that you should have a look at today";
    for (file, subject) in [("news/any/hello.mjml", subject), ("receipt/any/receipt.mjml", "Thank you")] {
        let file = program.folder.path().join("templates").join(file);
        let text = std::fs::read_to_string(&file).unwrap();
        let (_, rest) = text.split_once("\n+++").unwrap();
        let head = format!("+++\nsubject = \"{subject}\"\npreheader = \"New\"\n+++");
        std::fs::write(&file, head + rest).unwrap();
    }
    for (words, code) in [(&["check"][..], 0), (&["check", "--deny-warnings"], 1)] {
        let output = program.command(&[], words).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(
            said.contains("the subject is over 70 characters") && said.contains("hello.mjml:2"),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_mail_goes_to_its_author_over_smtp_and_leaves_no_trace() {
    let catcher = Catcher::start().await.unwrap();
    let program = shop(&catcher).await;
    let before = program.says(&["profile", "export", "ana"]).await;
    let test = ["send-test", "--to", "author@example.test", "--campaign", "news", "--profile", "ana"];
    let said = program.says(&test).await;
    assert!(said.contains("[Test] Hello Ana") && said.contains(" took it: 250"), "{said}");
    assert_eq!(subjects(&catcher), [(own("author@example.test"), own("[Test] Hello Ana"))]);
    assert_eq!(program.says(&["profile", "export", "ana"]).await, before);
    assert_eq!(program.says(&["sends", "export", "--format", "jsonl"]).await, "");

    let unknown = ["send-test", "--to", "author@example.test", "--campaign", "none", "--profile", "ana"];
    let refused = program.command(&[], &unknown).output().await.unwrap();
    assert_eq!((refused.status.code(), subjects(&catcher).len()), (Some(1), 1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("none"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_on_another_machine_is_a_warning_for_who_checks_and_a_fault_for_who_signs() {
    let dkim = "[[dkim]]\ndomain = \"shop.test\"\nselector = \"s1\"\nkey_file = \"dkim.pem\"\n";
    let program = Program::new(dkim);
    for template in ["news/any/hello.mjml", "receipt/any/receipt.mjml"] {
        let path = program.folder.path().join("templates").join(template);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("+++", "+++\npreheader = \"What is new\"", 1)).unwrap();
    }
    let run = async |words: &[&str]| {
        let output = program.command(&[], words).output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    };
    let missing = "the DKIM key s1._domainkey.shop.test cannot be read from dkim.pem";
    let (done, said) = run(&["check"]).await;
    assert!(done && said.contains(missing) && said.contains("0 faults, 1 warning"), "{said}");
    for words in [&["check", "--deny-warnings"][..], &["work", "--until-idle", "--into", "out"]] {
        let (done, said) = run(words).await;
        assert!(!done && said.contains(missing), "{words:?}: {said}");
    }
    std::fs::write(program.folder.path().join("dkim.pem"), "no key").unwrap();
    let (done, said) = run(&["check"]).await;
    assert!(!done && said.contains("cannot be used: no private key in PEM form is there"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_into_a_folder_count_as_sent_a_preview_marks_nobody_and_the_list_says_when() {
    let catcher = Catcher::start().await.unwrap();
    let program = shop(&catcher).await;
    program.says(&["plan", "--campaign", "receipt"]).await;
    program.says(&["preview", "--campaign", "receipt", "--sample", "1", "--out", "previews"]).await;
    let line = program.says(&["sends", "list"]).await.lines().nth(1).unwrap().to_owned();
    assert!(line.contains("  scheduled  due 2") && line.contains('Z'), "{line}");
    let help = program.says(&["work", "--help"]).await;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("and count as sent; `bespoke preview` is the dry run"), "{help}");
    assert!(program.says(&["work", "--until-idle", "--into", "mails"]).await.contains("1 sent"));
    assert_eq!(std::fs::read_dir(program.folder.path().join("mails")).unwrap().count(), 1);
    let line = program.says(&["sends", "list"]).await.lines().nth(1).unwrap().to_owned();
    assert!(line.contains("  sent   2"), "{line}");
    assert!(program.says(&["work", "--until-idle"]).await.contains("nothing was due"));
    assert_eq!(subjects(&catcher).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_the_wrong_one_names_the_right_one() {
    let catcher = Catcher::start().await.unwrap();
    let program = shop(&catcher).await;
    program.says(&["plan", "--campaign", "receipt"]).await;
    let send: Value = serde_json::from_str(&program.says(&["sends", "export"]).await).unwrap();
    let id = send["id"].as_str().unwrap();
    let becomes = async |state: &str| {
        let url = format!("sqlite://{}", program.folder.path().join("bespoke.db").display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::query("update sends set state = $1").bind(state).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    };
    for (state, command, expected) in [
        ("unknown", "retry", "is unknown: `bespoke sends resend-unknown` sends it again, perhaps twice"),
        ("failed", "resend-unknown", "is failed: `bespoke sends retry` schedules it again"),
        ("sent", "cancel", "is sent: only what is scheduled or deferred can be canceled"),
    ] {
        becomes(state).await;
        let refused = program.command(&[], &["sends", command, id]).output().await.unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(1) && said.contains(&format!("{id} {expected}")), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_map_that_the_help_shows_is_a_map_in_the_manual_too() {
    let catcher = Catcher::start().await.unwrap();
    let program = shop(&catcher).await;
    let help = program.says(&["import", "events", "--help"]).await;
    let (_, map) = help.split_once("A mapping file:\n").unwrap();
    let (map, _) = map.split_once("\n\n").unwrap();
    assert!(map.lines().all(|line| line.chars().count() <= 80), "{map}");
    let path = program.folder.path().join("map.toml");
    std::fs::write(&path, map).unwrap();
    let csv = "customer,country,status,invoice,line,ts,unit price\n9,EIRE,ok,I1,1,24/12/2025 18:00,\n";
    std::fs::write(program.folder.path().join("rows.csv"), csv).unwrap();
    let said = program.says(&["import", "events", "rows.csv", "--map", "map.toml"]).await;
    assert!(
        said.contains("1 row: 1 event loaded, 0 unchanged, 0 rejected; 1 profile was new, and has no"),
        "{said}"
    );
    program.says(&["man", "--out", "man"]).await;
    let page = std::fs::read_to_string(program.folder.path().join("man/bespoke-import-events.1")).unwrap();
    let (_, notes) = page.split_once(".SH NOTES\n.nf\n").unwrap();
    assert!(notes.contains("\n.fi\n") && !page.contains(".SH EXTRA"), "{notes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_no_public_address_is_told_what_nobody_can_do_without() {
    let catcher = Catcher::start().await.unwrap();
    let program = shop(&catcher).await;
    let file = program.folder.path().join("bespoke.toml");
    let says = async |arguments: &[&str]| {
        let output = program.command(&[], arguments).output().await.unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        said.concat().matches("public.url is not stated, so no click and no open is counted").count()
    };
    for (with, expected) in [("[public]\nurl = ", 0), ("[holdout]\n# url = ", 1)] {
        let stated = std::fs::read_to_string(&file).unwrap().replace("[public]\nurl = ", with);
        let stated = if expected == 1 { stated.replace("\nsecret = ", "\n# secret = ") } else { stated };
        std::fs::write(&file, stated).unwrap();
        for arguments in
            [&["check"][..], &["check", "--format", "json"], &["plan"], &["work", "--until-idle"]]
        {
            assert_eq!(says(arguments).await, expected, "{arguments:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_worker_of_a_sqlite_file_is_refused_with_a_reason_and_nothing_goes_twice() {
    let catcher = Catcher::start().await.unwrap();
    let program = shop(&catcher).await;
    program.says(&["plan", "--campaign", "receipt"]).await;
    // The first is in the middle of a mail.
    catcher.set_rules(vec!["rcpt=stall".parse().unwrap()]);
    let mut first = program.command(&[], &["work"]).spawn().unwrap();
    let at_work = async || catcher.commands().iter().any(|line| line.starts_with("RCPT")).then_some(());
    until("the first is at work", at_work).await;
    let commands = catcher.commands().len();
    let refused = program.command(&[], &["work", "--until-idle"]).output().await.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0), "{said}");
    assert!(said.contains("another bespoke is working on"), "{said}");
    assert!(said.contains("stop that one, or use PostgreSQL for many"), "{said}");
    assert_eq!(catcher.commands().len(), commands, "the second said nothing to the relay");
    assert!(first.try_wait().unwrap().is_none(), "the first goes on");
    // However the first ends, the next one may work.
    first.kill().await.unwrap();
    catcher.set_rules(Vec::new());
    program.says(&["work", "--until-idle"]).await;
    assert_eq!(subjects(&catcher), [(own("ana@example.test"), own("Your order 77"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_notes_languages_that_a_campaign_has_in_part_and_fails_for_none() {
    let program = Program::new("");
    let templates = program.folder.path().join("templates");
    let read = |path: &str| {
        let text = std::fs::read_to_string(templates.join(path)).unwrap();
        text.replacen("+++", "+++\npreheader = \"What is new\"", 1)
    };
    std::fs::write(templates.join("receipt/any/receipt.mjml"), read("receipt/any/receipt.mjml")).unwrap();
    let hello = read("news/any/hello.mjml");
    for name in ["hello.mjml", "hello.fr.mjml", "other.mjml"] {
        // Two variants that say the same would be a warning of their own.
        std::fs::write(
            templates.join("news/any").join(name),
            hello.replace("Hello", &format!("Hello from {name}")),
        )
        .unwrap();
    }
    let said = program.says(&["check"]).await;
    let notes: Vec<&str> = said.lines().filter(|line| line.starts_with("note: ")).collect();
    let pages = "note: mails are written in fr, and the pages behind their links are not: write pages/fr.toml (`bespoke \
                 reference pages`)";
    assert_eq!(notes, ["note: news: any/other has no fr", pages], "{said}");
    let json: Value = serde_json::from_str(&program.says(&["check", "--format", "json"]).await).unwrap();
    assert_eq!((json["notes"].as_array().unwrap().len(), &json["errors"]), (2, &0.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_of_facts_tells_what_this_shop_declares() {
    let program = Program::new("[events]\nknown = [\"Quote Requested\"]\n");
    let facts = program.says(&["reference", "facts"]).await;
    assert!(
        facts.contains("| `profile.first_name` | text, or absent |")
            && facts.contains("| `shop.name` | text |")
    );
    let filters = program.says(&["reference", "filters"]).await;
    assert!(filters.contains("| `money` |") && filters.contains("{{ 1999 | money }}"), "{filters}");
    let whole = program.says(&["reference"]).await;
    assert!(whole.contains("[quiet_hours]") && whole.contains("| `history.orders_total` |"));
}
