//! Logins, and the TLS that must protect them.

use bespoke::deliver::catcher::{Catcher, CatcherOptions, CatcherTls, TlsStart};
use bespoke::deliver::classify::{Disposition, classify};
use bespoke::deliver::smtp::{Cause, Credentials, Failure, Phase, Relay, Security};
use lettre::transport::smtp::authentication::Mechanism;

use super::helpers::{assert_clean, connect, impatient, relay, rules, send_over};
use crate::support::authority::Authority;

/// TLS for a server that calls itself `name`; `year` is the one in which its certificate ends.
fn tls(authority: &Authority, name: &str, year: i32, start: TlsStart) -> CatcherTls {
    let (certificate, key) = authority.pem(name, year);
    CatcherTls::from_pem(&certificate, &key, start).unwrap()
}

const SECURED: [(Security, TlsStart); 2] =
    [(Security::Implicit, TlsStart::Implicit), (Security::StartTls, TlsStart::StartTls)];

async fn tls_catcher(tls: CatcherTls, faults: &[&str]) -> Catcher {
    let options = CatcherOptions {
        rules: rules(faults),
        tls: Some(tls),
        login: Some(("shop".into(), "s3cret".into())),
        ..CatcherOptions::default()
    };
    Catcher::start_with(options).await.unwrap()
}

fn login(mechanism: Option<Mechanism>, secret: &str) -> Credentials {
    Credentials { user: "shop".into(), secret: secret.into(), mechanism }
}

fn secured(catcher: &Catcher, security: Security, authority: &Authority) -> Relay {
    Relay {
        host: "localhost".into(),
        security,
        ca_file: Some(authority.ca_file()),
        credentials: Some(login(None, "s3cret")),
        ..relay(catcher.port())
    }
}

/// Asserts that a server got neither a password nor a message.
fn assert_nothing_said(catcher: &Catcher) {
    let leaked =
        |command: &String| ["AUTH", "MAIL", "RCPT", "DATA"].iter().any(|verb| command.starts_with(verb));
    assert_eq!(catcher.commands().into_iter().filter(leaked).collect::<Vec<_>>(), Vec::<String>::new());
    assert_clean(catcher);
}

#[tokio::test]
async fn mail_and_password_go_through_tls() {
    let authority = Authority::new("ours");
    for (security, start) in SECURED {
        for name in ["localhost", "127.0.0.1"] {
            let catcher = tls_catcher(tls(&authority, name, 2100, start), &[]).await;
            let relay = Relay { host: name.into(), ..secured(&catcher, security, &authority) };
            let mut session = connect(relay).await.unwrap();
            for to in ["ada@x.test", "bob@x.test"] {
                send_over(&mut session, to).await.unwrap();
            }
            session.quit().await;
            assert!(catcher.messages().iter().all(|caught| caught.secured));
            assert_eq!(catcher.accepted_count(), 2);
            assert_eq!(catcher.commands().last().unwrap(), "QUIT");
            assert_clean(&catcher);
        }
    }
}

#[tokio::test]
async fn a_bad_certificate_gets_nothing() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("theirs"));
    for (security, start) in SECURED {
        for (tls, words) in [
            (tls(&authority, "other.example.test", 2100, start), "not valid for name"),
            (tls(&authority, "localhost", 2021, start), "expired"),
            (tls(&stranger, "localhost", 2100, start), "UnknownIssuer"),
        ] {
            let catcher = tls_catcher(tls, &[]).await;
            let failure = connect(secured(&catcher, security, &authority)).await.unwrap_err();
            let Failure::Broken { phase: Phase::Tls, cause: Cause::Certificate(why) } = &failure else {
                panic!("{failure:?}");
            };
            assert!(why.contains(words), "{why}");
            assert_eq!(classify(&failure), Disposition::RelayFault);
            assert_nothing_said(&catcher);
        }
    }
}

#[tokio::test]
async fn without_starttls_nothing_is_said() {
    let authority = Authority::new("ours");
    let ours = || tls(&authority, "localhost", 2100, TlsStart::StartTls);

    let options =
        CatcherOptions { tls: Some(ours()), without: vec!["STARTTLS"], ..CatcherOptions::default() };
    let stripped = Catcher::start_with(options).await.unwrap();
    let failure = connect(secured(&stripped, Security::StartTls, &authority)).await.unwrap_err();
    assert_eq!(failure, Failure::Broken { phase: Phase::Tls, cause: Cause::StartTlsMissing });
    assert_eq!(classify(&failure), Disposition::RelayFault);
    assert_nothing_said(&stripped);

    let injected = tls_catcher(ours(), &["starttls=inject"]).await;
    let failure = connect(secured(&injected, Security::StartTls, &authority)).await.unwrap_err();
    assert_eq!(failure, Failure::Broken { phase: Phase::Tls, cause: Cause::PlaintextInjected });
    assert_eq!(classify(&failure), Disposition::RelayFault);
    assert_nothing_said(&injected);

    let refused = tls_catcher(ours(), &["starttls=454 4.7.0 TLS not available"]).await;
    let failure = connect(secured(&refused, Security::StartTls, &authority)).await.unwrap_err();
    assert_eq!((failure.phase(), classify(&failure)), (Phase::Tls, Disposition::RelayFault));
    assert_nothing_said(&refused);

    for action in ["stall", "drop", "rst"] {
        let broken = tls_catcher(ours(), &[&format!("starttls={action}")]).await;
        let relay = impatient(secured(&broken, Security::StartTls, &authority), Phase::Tls);
        let failure = connect(relay).await.unwrap_err();
        assert_eq!((failure.phase(), classify(&failure)), (Phase::Tls, Disposition::Deferred), "{action}");
        assert_nothing_said(&broken);
    }
}

#[tokio::test]
async fn a_server_without_tls_is_no_server_with_implicit_tls() {
    let authority = Authority::new("ours");
    let plain = Catcher::start().await.unwrap();
    let failure = connect(secured(&plain, Security::Implicit, &authority)).await.unwrap_err();
    assert!(matches!(failure, Failure::Broken { phase: Phase::Tls, cause: Cause::Tls(_) }), "{failure:?}");
    assert_eq!(classify(&failure), Disposition::RelayFault);
    assert_eq!(plain.accepted_count(), 0);
}

#[tokio::test]
async fn each_mechanism_logs_in_and_is_refused_once() {
    const ALL: [(&str, Mechanism); 3] =
        [("PLAIN", Mechanism::Plain), ("LOGIN", Mechanism::Login), ("XOAUTH2", Mechanism::Xoauth2)];
    for (name, mechanism) in ALL {
        // Offered alone it is found; stated it is chosen among all.
        let others: Vec<_> = ALL.iter().map(|(other, _)| *other).filter(|other| *other != name).collect();
        for (without, stated) in [(others, None), (vec![], Some(mechanism))] {
            for (secret, accepted) in [("s3cret", true), ("hunter2", false)] {
                let options = CatcherOptions {
                    login: Some(("shop".into(), "s3cret".into())),
                    without: without.clone(),
                    ..CatcherOptions::default()
                };
                let catcher = Catcher::start_with(options).await.unwrap();
                let relay = Relay { credentials: Some(login(stated, secret)), ..relay(catcher.port()) };
                let result = connect(relay).await;
                assert_eq!(catcher.commands()[1..], [format!("AUTH {name}")]);
                match result {
                    Ok(mut session) => {
                        assert!(accepted, "{name}");
                        send_over(&mut session, "ada@x.test").await.unwrap();
                    }
                    Err(failure) => {
                        assert!(!accepted, "{name}: {failure}");
                        assert_eq!((failure.phase(), failure.reply().unwrap().code), (Phase::Auth, 535));
                        assert_eq!(classify(&failure), Disposition::RelayFault);
                        assert!(!format!("{failure} {failure:?}").contains("hunter2"));
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_login_that_cannot_be_is_a_fault_of_the_relay() {
    for (without, stated, words) in [
        (vec!["PLAIN", "LOGIN", "XOAUTH2"], None, "none of PLAIN"),
        (vec!["PLAIN"], Some(Mechanism::Plain), "does not offer PLAIN"),
    ] {
        let options = CatcherOptions {
            login: Some(("shop".into(), "s3cret".into())),
            without,
            ..CatcherOptions::default()
        };
        let catcher = Catcher::start_with(options).await.unwrap();
        let relay = Relay { credentials: Some(login(stated, "s3cret")), ..relay(catcher.port()) };
        let failure = connect(relay).await.unwrap_err();
        assert!(failure.to_string().contains(words), "{failure}");
        assert_eq!(classify(&failure), Disposition::RelayFault);
        assert_nothing_said(&catcher);
    }
}

#[tokio::test]
async fn auth_that_stalls_or_breaks_is_deferred() {
    for action in ["stall", "drop", "rst", "garbage", "454 4.7.0 later"] {
        let options = CatcherOptions {
            rules: rules(&[&format!("auth={action}")]),
            login: Some(("shop".into(), "s3cret".into())),
            ..CatcherOptions::default()
        };
        let catcher = Catcher::start_with(options).await.unwrap();
        let relay = Relay { credentials: Some(login(None, "s3cret")), ..relay(catcher.port()) };
        let failure = connect(impatient(relay, Phase::Auth)).await.unwrap_err();
        assert_eq!((failure.phase(), classify(&failure)), (Phase::Auth, Disposition::Deferred), "{action}");
    }
}
