//! One message after the other, refused or not.

use bespoke::deliver::catcher::{Catcher, CatcherOptions};
use bespoke::deliver::classify::{Disposition, classify};
use bespoke::deliver::smtp::{Failure, Party, Phase, Prepared, Unsendable, prepare};
use lettre::Address;
use lettre::address::Envelope;

use super::helpers::{
    accepted, assert_clean, catcher, connect, envelope, message, pool, relay, rules, send, send_over,
};

#[tokio::test]
async fn a_message_arrives_as_it_was_given() {
    let catcher = catcher(&[]).await;
    let mut session = connect(relay(catcher.port())).await.unwrap();
    let reply = send_over(&mut session, "ada@example.test").await.unwrap();
    assert_eq!(reply.code, 250);
    assert_eq!(reply.enhanced.unwrap().to_string(), "2.0.0");
    session.quit().await;

    let caught = catcher.messages().remove(0);
    assert_eq!(
        (caught.sender.as_str(), caught.recipients),
        ("shop@sender.test", vec!["ada@example.test".into()])
    );
    assert_eq!(
        String::from_utf8(caught.message).unwrap(),
        "Subject: ada@example.test\r\n\r\n.a line that starts with a dot\r\nbye\r\n"
    );
    assert_eq!(
        catcher.commands(),
        [
            "EHLO [127.0.0.1]",
            "MAIL FROM:<shop@sender.test> SIZE=66",
            "RCPT TO:<ada@example.test>",
            "DATA",
            "QUIT"
        ]
    );
    assert_clean(&catcher);
}

#[tokio::test]
async fn smuggled_messages_stay_one_message() {
    let catcher = catcher(&[]).await;
    let mut session = connect(relay(catcher.port())).await.unwrap();
    for end in ["\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r\n.\r", "\r\n.\r\n"] {
        let smuggled =
            format!("Subject: x\r\n\r\nbody{end}MAIL FROM:<e@evil.test>\r\nRCPT TO:<x@y.test>\r\n");
        let message = prepare(smuggled.as_bytes()).unwrap();
        let to = envelope("ada@example.test");
        session.begin(&to, &message).await.unwrap().submit().await.unwrap();
    }
    assert_eq!(accepted(&catcher), vec!["ada"; 6]);
    assert_clean(&catcher);
}

#[tokio::test]
async fn an_injected_command_never_reaches_the_wire() {
    let catcher = catcher(&[]).await;
    let mut session = connect(relay(catcher.port())).await.unwrap();
    let evil = Address::new_dangerous("a\r\nRCPT TO:<e@x>", "example.test");
    let envelope = Envelope::new(None, vec![evil]).unwrap();
    let prepared = message("x");
    let failure = session.begin(&envelope, &prepared).await.map(drop).unwrap_err();
    assert_eq!(failure, Failure::Unsendable(Unsendable::UnsafeAddress(Party::Recipient)));
    assert_eq!(catcher.commands(), ["EHLO [127.0.0.1]"]);
    // Nothing was said, so the session goes on.
    send_over(&mut session, "ada@example.test").await.unwrap();
}

#[tokio::test]
async fn international_mail_goes_by_what_the_server_offers() {
    let to = |address: &str| Envelope::new(None, vec![address.parse().unwrap()]).unwrap();
    let header: Prepared = prepare("Subject: ü\n\nü\n".as_bytes()).unwrap();

    let modern = catcher(&[]).await;
    let mut session = connect(relay(modern.port())).await.unwrap();
    session.begin(&to("太郎@例え.jp"), &header).await.unwrap().submit().await.unwrap();
    let commands = modern.commands();
    assert_eq!(commands[1], "MAIL FROM:<> SIZE=19 BODY=8BITMIME SMTPUTF8");
    assert_eq!(commands[2], "RCPT TO:<太郎@xn--r8jz45g.jp>");
    assert_clean(&modern);

    let options =
        CatcherOptions { without: vec!["SMTPUTF8", "8BITMIME", "SIZE"], ..CatcherOptions::default() };
    let old = Catcher::start_with(options).await.unwrap();
    let mut session = connect(relay(old.port())).await.unwrap();
    let ascii = message("x");
    let failure = session.begin(&to("太郎@例え.jp"), &ascii).await.map(drop).unwrap_err();
    assert_eq!(failure, Failure::Unsendable(Unsendable::NeedsSmtputf8(Party::Recipient)));
    assert_eq!(classify(&failure), Disposition::PolicyFailure);
    let failure = session.begin(&to("x@example.test"), &header).await.map(drop).unwrap_err();
    assert_eq!(failure, Failure::Unsendable(Unsendable::NeedsEightBitMime));
    session.begin(&to("x@bücher.test"), &ascii).await.unwrap().submit().await.unwrap();
    assert_eq!(old.commands()[1..], ["MAIL FROM:<>", "RCPT TO:<x@xn--bcher-kva.test>", "DATA"]);
    assert_clean(&old);
}

/// What a refusal in each phase does to the message and to the two after it, with and without PIPELINING.
#[tokio::test]
async fn a_refusal_leaves_the_session_in_step() {
    for without in [vec![], vec!["PIPELINING"]] {
        for (rule, phase, disposition) in [
            ("mail#2=550 5.7.1 not you", Phase::Mail, Disposition::PolicyFailure),
            ("mail#2=451 4.3.0 later", Phase::Mail, Disposition::Deferred),
            ("rcpt#2=550 5.1.1 no such user", Phase::Rcpt, Disposition::HardBounce),
            ("rcpt#2=552 5.2.2 full", Phase::Rcpt, Disposition::SoftBounce),
            ("rcpt#2=450 4.2.0 later", Phase::Rcpt, Disposition::Deferred),
            ("data#2=554 5.7.1 no", Phase::Data, Disposition::PolicyFailure),
            ("data#2=452 4.3.1 full", Phase::Data, Disposition::Deferred),
            ("dot#2=554 5.7.1 spam", Phase::Dot, Disposition::PolicyFailure),
            ("dot#2=552 5.2.2 full", Phase::Dot, Disposition::SoftBounce),
            ("dot#2=451 4.3.0 later", Phase::Dot, Disposition::Deferred),
        ] {
            let options = CatcherOptions {
                rules: rules(&[rule]),
                without: without.clone(),
                ..CatcherOptions::default()
            };
            let catcher = Catcher::start_with(options).await.unwrap();
            let pool = pool(relay(catcher.port()));
            let mut failures = Vec::new();
            for to in ["first@x.test", "second@x.test", "third@x.test", "fourth@x.test"] {
                failures.extend(send(&pool, to).await.err());
            }
            let [failure] = &failures[..] else { panic!("{rule} {without:?}: {failures:?}") };
            let seen = (failure.phase(), classify(failure), failure.is_ambiguous());
            assert_eq!(seen, (phase, disposition, false), "{rule} {without:?}");
            assert_eq!(accepted(&catcher), ["first", "third", "fourth"], "{rule} {without:?}");
            assert_eq!(catcher.connections_count(), 1, "{rule} {without:?}");
            assert_clean(&catcher);
        }
    }
}

#[tokio::test]
async fn a_server_that_wants_a_message_for_nobody_gets_none() {
    let catcher = catcher(&["rcpt#1=550 5.1.1 no such user", "data#1=354 go"]).await;
    let pool = pool(relay(catcher.port()));
    let failure = send(&pool, "bad@x.test").await.unwrap_err();
    assert_eq!(classify(&failure), Disposition::HardBounce);
    send(&pool, "good@x.test").await.unwrap();
    assert_eq!(accepted(&catcher), ["good"]);
    assert_eq!(catcher.connections_count(), 1);
    assert_clean(&catcher);
}

#[tokio::test]
async fn one_refused_of_two_recipients_delivers_to_none() {
    let catcher = catcher(&["rcpt@bad=550 5.1.1 no such user"]).await;
    let mut session = connect(relay(catcher.port())).await.unwrap();
    let to = ["good@x.test", "bad@x.test"].map(|to| to.parse().unwrap()).to_vec();
    let envelope = Envelope::new(None, to).unwrap();
    let prepared = message("x");
    let failure = session.begin(&envelope, &prepared).await.map(drop).unwrap_err();
    assert_eq!(classify(&failure), Disposition::HardBounce);
    assert!(!session.is_usable());
    assert_eq!(catcher.accepted_count(), 0);
    assert_clean(&catcher);
}

#[tokio::test]
async fn a_transaction_that_is_not_submitted_sends_nothing() {
    let catcher = catcher(&[]).await;
    let pool = pool(relay(catcher.port()));
    let (envelope, prepared) = (envelope("ada@x.test"), message("x"));
    let mut session = pool.checkout().await.unwrap();
    drop(session.begin(&envelope, &prepared).await.unwrap());
    session.give_back();
    assert_eq!(pool.status()[0].open, 0);
    send(&pool, "bob@x.test").await.unwrap();
    assert_eq!((accepted(&catcher), catcher.connections_count()), (vec!["bob".to_owned()], 2));
    assert_clean(&catcher);
}
