//! What follows from mails that come back: only what is proven, and only for the address that we wrote to.

use std::io::Write as _;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;

use bespoke::bounce;
use bespoke::feedback::Judge;
use bespoke::feedback::Verdict;
use bespoke::feedback::Writing;
use bespoke::profile::Consent;
use bespoke::profile::EmailAddress;
use bespoke::send::SendId;
use bespoke::send::State;
use bespoke::store::Store;
use bespoke::token::Keyring;
use bespoke::worker::assemble;
use serde_json::json;

use crate::support::TestApp;
use crate::support::given::id;

/// An app in which `ana` and `bo` got a mail each.
pub(crate) async fn with_two_mails(app: &TestApp) -> (SendId, SendId) {
    app.given_profile("ana").await;
    app.given_profile("bo").await;
    app.plans().await;
    app.at("2026-03-02T10:00:00Z").await;
    app.runs_until_idle().await;
    let find = |name: &str| {
        let mails = app.mails();
        mails.iter().find(|mail| mail.to.starts_with(name)).unwrap().send.clone()
    };
    (find("ana@"), find("bo@"))
}

pub(crate) async fn keyring(app: &TestApp) -> Arc<Keyring> {
    Arc::new(assemble::keyring(&app.config, &app.database.store).await.unwrap())
}

pub(crate) async fn receives(app: &TestApp, mail: &str) -> Vec<Verdict> {
    let judge = Judge::new(&app.config, keyring(app).await);
    let returned = [bounce::read(mail.as_bytes())];
    let judged =
        judge.receive(&app.database.store, &returned, "mail", Writing::Record, app.now()).await.unwrap();
    judged.into_iter().map(|(_, verdict)| verdict).collect()
}

pub(crate) async fn suppressed(store: &Store, address: &str) -> Vec<(String, String)> {
    let key = EmailAddress::parse(address).unwrap().key();
    let found = store.suppressions_of(std::slice::from_ref(&key)).await.unwrap();
    let found = found.get(&key).cloned().unwrap_or_default();
    found.into_iter().map(|suppression| (suppression.topic, suppression.reason)).collect()
}

fn pair(topic: &str, reason: &str) -> Vec<(String, String)> {
    vec![(topic.to_owned(), reason.to_owned())]
}

/// A delivery report (RFC 3464) to this address, with this Message-ID, about this recipient.
pub(crate) fn dsn(to: &str, id: &str, recipient: &str, status: &str, words: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.example.test\nTo: <{to}>\nMessage-ID: <{id}>\nSubject: Undelivered Mail\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nSorry.\n--b\n\
         Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.test\n\n\
         Final-Recipient: rfc822; {recipient}\nAction: failed\nStatus: {status}\n\
         Diagnostic-Code: smtp; {words}\n\n--b--\n"
    )
}

#[tokio::test]
async fn a_hard_bounce_to_the_return_path_fails_the_send_and_suppresses_the_address_once() {
    for app in TestApp::on_each_database(&[]).await {
        let (send, other) = with_two_mails(&app).await;
        let store = &app.database.store;
        let to = format!("{}@shop.test", keyring(&app).await.sign_return_path(&send));
        let mail = dsn(&to, "1@mx", "ana@example.test", "5.1.1", "550 5.1.1 <script>unknown</script>");
        assert_eq!(receives(&app, &mail).await, [Verdict::Applied]);
        assert_eq!(receives(&app, &mail).await, [Verdict::Known]);
        let stored = store.send(&send).await.unwrap().unwrap();
        assert_eq!((stored.send.state, stored.reason.as_deref()), (State::Failed, Some("hard_bounce")));
        assert_eq!(store.send(&other).await.unwrap().unwrap().send.state, State::Sent);
        assert_eq!(suppressed(store, "ana@example.test").await, pair("*", "hard_bounce"));
        assert_eq!(suppressed(store, "bo@example.test").await, []);
        let event = store.latest_event(&id("ana"), "Email Bounced").await.unwrap().unwrap();
        assert_eq!(
            serde_json::Value::Object(event.properties),
            json!({"send_id": send, "campaign": "news", "source": "mail", "type": "hard_bounce",
                   "diagnostic": "smtp; 550 5.1.1 <script>unknown</script>", "status": "5.1.1"})
        );
        let events = store.events_of(&[id("ana")]).await.unwrap();
        assert_eq!(events[&id("ana")].iter().filter(|event| event.name == "Email Bounced").count(), 1);
        assert_eq!(store.attempts(&send).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_hundred_forged_bounces_suppress_nobody() {
    for app in TestApp::on_each_database(&[]).await {
        let (send, _) = with_two_mails(&app).await;
        let forged = Keyring::new(b"the key of somebody else, thirty-two", []).sign_return_path(&send);
        let unknown = SendId::parse(&"0".repeat(32)).unwrap();
        let real = keyring(&app).await.sign_return_path(&unknown);
        for n in 0..100 {
            let to = match n % 4 {
                0 => "hello@shop.test".to_owned(),
                1 => format!("{forged}@shop.test"),
                2 => format!("{real}@shop.test"),
                _ => format!("b-{send}-{}@shop.test", "0".repeat(26)),
            };
            let mail = dsn(&to, &format!("{n}@mx"), "ana@example.test", "5.1.1", "550 5.1.1 user unknown");
            let mail = format!("Return-Path: <>\nX-Failed-Recipients: bo@example.test\n{mail}");
            assert_eq!(receives(&app, &mail).await, [Verdict::Unproven], "{to}");
        }
        for address in ["ana@example.test", "bo@example.test"] {
            assert_eq!(suppressed(&app.database.store, address).await, []);
        }
        assert!(app.states().await.iter().all(|(state, _)| *state == State::Sent));
    }
}

#[tokio::test]
async fn a_known_message_id_in_the_returned_mail_is_a_proof_and_another_is_not() {
    for app in TestApp::on_each_database(&[]).await {
        let (send, _) = with_two_mails(&app).await;
        let returned = |id: &str| {
            let report = dsn("hello@shop.test", id, "ana@example.test", "5.1.1", "550 5.1.1 user unknown");
            report.replace(
                "\n--b--\n",
                &format!("\n--b\nContent-Type: message/rfc822\n\nMessage-ID: <{id}>\n\nx\n--b--\n"),
            )
        };
        for id in
            [format!("{send}@other.test"), format!("{}@shop.test", "0".repeat(32)), "x@shop.test".to_owned()]
        {
            assert_eq!(receives(&app, &returned(&id)).await, [Verdict::Unproven], "{id}");
        }
        assert_eq!(receives(&app, &returned(&format!("{send}@shop.test"))).await, [Verdict::Applied]);
        assert_eq!(suppressed(&app.database.store, "ana@example.test").await, pair("*", "hard_bounce"));
    }
}

#[tokio::test]
async fn what_a_forwarding_host_reports_counts_as_soft_until_there_are_too_many() {
    for app in TestApp::on_each_database(&[]).await {
        app.given_profile("ana").await;
        let keyring = keyring(&app).await;
        let limit = usize::try_from(app.config.soft_bounces.limit).unwrap();
        app.plans().await;
        for n in 0..limit {
            app.does("ana", "Order Completed", json!({"order_id": n})).await;
            app.plans().await;
            app.runs_until_idle().await;
            let send = app.mails().last().unwrap().send.clone();
            assert_eq!(app.mails().len(), n + 1);
            let to = format!("{}@shop.test", keyring.sign_return_path(&send));
            let mail = dsn(&to, &format!("{n}@mx"), "inner@other.test", "5.1.1", "550 5.1.1 user unknown");
            assert_eq!(suppressed(&app.database.store, "ana@example.test").await, []);
            assert_eq!(receives(&app, &mail).await, [Verdict::Applied]);
        }
        assert_eq!(
            suppressed(&app.database.store, "ana@example.test").await,
            pair("lifecycle", "soft_bounces")
        );
        assert_eq!(suppressed(&app.database.store, "inner@other.test").await, []);
        let failed = (State::Failed, "soft_bounce".to_owned());
        assert_eq!(app.states().await.iter().filter(|state| **state == failed).count(), limit);
    }
}

#[tokio::test]
async fn a_complaint_ends_lifecycle_mail_and_the_mail_stays_sent() {
    for app in TestApp::on_each_database(&[]).await {
        let (send, _) = with_two_mails(&app).await;
        let path = keyring(&app).await.sign_return_path(&send);
        let report = format!(
            "From: fbl@host.test\nTo: abuse@shop.test\nMessage-ID: <c@host.test>\nSubject: complaint\n\
             Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\n\nx\n--b\n\
             Content-Type: message/feedback-report\n\nFeedback-Type: abuse\nVersion: 1\n\
             Original-Mail-From: <{path}@shop.test>\n\n--b--\n"
        );
        assert_eq!(receives(&app, &report).await, [Verdict::Applied]);
        assert_eq!(suppressed(&app.database.store, "ana@example.test").await, pair("lifecycle", "complaint"));
        let stored = app.database.store.send(&send).await.unwrap().unwrap();
        assert_eq!((stored.send.state, stored.reason.as_deref()), (State::Sent, Some("complaint")));
        assert!(app.database.store.latest_event(&id("ana"), "Email Marked as Spam").await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_mail_to_the_unsubscribe_address_withdraws_consent_and_an_answer_from_holiday_does_nothing() {
    for app in TestApp::on_each_database(&[]).await {
        let (send, _) = with_two_mails(&app).await;
        let store = &app.database.store;
        let own = app.engine().await.sender.links.own(&send);
        let path = keyring(&app).await.sign_return_path(&send);
        let away = format!(
            "From: ana@example.test\nTo: {path}@shop.test\nSubject: Out of office\nAuto-Submitted: auto-replied\n\n550 5.1.1 user unknown\n"
        );
        assert_eq!(receives(&app, &away).await, [Verdict::Noted]);
        assert_eq!(suppressed(store, "ana@example.test").await, []);
        let stop = format!(
            "From: someone@else.test\nTo: <{}>\nSubject: stop\nMessage-ID: <s@x>\n\n",
            own.unsubscribe_address
        );
        assert_eq!(receives(&app, &stop).await, [Verdict::Applied]);
        assert_eq!(receives(&app, &stop).await, [Verdict::Known]);
        assert_eq!(suppressed(store, "ana@example.test").await, pair("lifecycle", "unsubscribe"));
        assert_eq!(store.profile(&id("ana")).await.unwrap().unwrap().consent, Consent::Withdrawn);
        let proofs = store.consents_of(&id("ana")).await.unwrap();
        assert_eq!((proofs.len(), proofs[0].source.as_str()), (1, "unsubscribe mail"));
        assert!(store.latest_event(&id("ana"), "Unsubscribed").await.unwrap().is_some());
    }
}

/// Runs `bespoke bounces import` on the app's database.
fn imports(app: &TestApp, arguments: &[&str], stdin: &str) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("bespoke.toml");
    std::fs::write(&config, crate::support::app::CONFIG).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bespoke"));
    command.args(["bounces", "import", "--database", &app.database.url]).arg("--config").arg(config);
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn bounces_are_imported_from_mbox_maildir_folder_and_stdin_and_only_once() {
    let app = TestApp::on_sqlite(&[]).await;
    let (send, other) = with_two_mails(&app).await;
    let keyring = keyring(&app).await;
    let bounce = |send: &SendId, n: u32, who: &str| {
        let to = format!("{}@shop.test", keyring.sign_return_path(send));
        dsn(&to, &format!("{n}@mx"), &format!("{who}@example.test"), "5.1.1", "550 5.1.1 user unknown")
    };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let mbox = format!("From a\n{}\nFrom b\nSubject: hello\n\n>From here\n", bounce(&send, 1, "ana"));
    std::fs::write(at("spool"), mbox).unwrap();
    std::fs::create_dir_all(at("maildir/cur")).unwrap();
    std::fs::create_dir_all(at("maildir/new")).unwrap();
    std::fs::write(at("maildir/new/1.host"), bounce(&other, 2, "bo")).unwrap();
    std::fs::create_dir_all(at("eml")).unwrap();
    std::fs::write(at("eml/1.eml"), bounce(&send, 1, "ana")).unwrap();
    std::fs::write(at("eml/notes.txt"), "no mail").unwrap();

    let (code, stdout, _) = imports(&app, &["--dry-run", &at("spool")], "");
    assert_eq!(code, Some(0));
    assert!(stdout.starts_with("2 mails, nothing was written\n"), "{stdout}");
    assert_eq!(suppressed(&app.database.store, "ana@example.test").await, []);

    let listed = ["--rejects", &at("rejects.csv")];
    let paths = [&at("spool"), &at("maildir"), &at("eml"), "-"];
    let (code, stdout, stderr) = imports(&app, &[&listed[..], &paths[..]].concat(), &bounce(&other, 2, "bo"));
    let table = "5 mails\n                 applied     known     noted     aside  unproven\n\
                 hard_bounce            2         2         0         0         0\n";
    assert_eq!((code, stdout.as_str()), (Some(0), table));
    assert!(stderr.contains("spool, mail 2: reports nothing"), "{stderr}");
    let rejects = std::fs::read_to_string(at("rejects.csv")).unwrap();
    let expected = format!("\"mail\",\"reason\"\n\"{}, mail 2\",\"reports nothing\"\n", at("spool"));
    assert_eq!(rejects, expected);
    for address in ["ana@example.test", "bo@example.test"] {
        assert_eq!(suppressed(&app.database.store, address).await, pair("*", "hard_bounce"));
    }
    let (code, _, stderr) = imports(&app, &[&at("nothing")], "");
    assert_eq!(code, Some(1));
    assert!(stderr.contains("cannot open"), "{stderr}");
}
