//! A relay whose certificate, login or TLS is wrong gets neither a password nor a mail, and is left alone after one
//! try; once it is put right, everybody has their mail, and no attempt was spent.

use bespoke::campaign::Guarantee;
use bespoke::send::State;
use bespoke::store::SendFilter;

use crate::support::authority::Authority;
use crate::support::live::Live;

const WORKER: &str = "[worker]\nin_flight = 8\nlease_seconds = 5\npoll_ms = 50\n";
const SENDS: usize = 30;

/// A relay that is at fault.
struct Fault {
    name: &'static str,
    /// `Authority::files` of the server: the name in its certificate, the year in which it ends; none = no TLS.
    certificate: Option<(&'static str, i32)>,
    /// Whether an authority that nobody knows signed it.
    stranger: bool,
    rule: Option<&'static str>,
    password: &'static str,
    /// What the worker's log says.
    words: &'static str,
}

const RIGHT: &str = "s3cret";

fn faults() -> [Fault; 8] {
    let fault = |name, certificate, words| Fault {
        name,
        certificate,
        stranger: false,
        rule: None,
        password: RIGHT,
        words,
    };
    let good = Some(("localhost", 2100));
    [
        fault("another host's certificate", Some(("other.example.test", 2100)), "not valid for name"),
        fault("an expired certificate", Some(("localhost", 2021)), "expired"),
        Fault { stranger: true, ..fault("an unknown authority", good, "UnknownIssuer") },
        fault("STARTTLS stripped", None, "STARTTLS"),
        Fault {
            rule: Some("starttls=inject"),
            ..fault("plaintext injected", good, "plaintext was injected")
        },
        Fault { rule: Some("starttls=454 4.7.0 not now"), ..fault("STARTTLS refused", good, "454 4.7.0") },
        Fault { password: "wrong", ..fault("AUTH refused", good, "535 5.7.8") },
        Fault { rule: Some("ehlo=550 5.7.1 not you"), ..fault("EHLO refused", good, "550 5.7.1") },
    ]
}

fn state(live: &mut Live, authority: &Authority, password: &str) {
    let (port, ca_file) = (live.port, authority.ca_file());
    live.state_relays(&format!(
        "[[relay]]\nurl = \"smtp+starttls://shop:{password}@localhost:{port}\"\nca_file = {:?}\n",
        ca_file.to_str().unwrap()
    ));
}

fn serve(live: &mut Live, tls: Option<&(String, String)>, rule: Option<&str>) {
    let rules: Vec<&str> = rule.into_iter().collect();
    let auth = format!("shop:{RIGHT}");
    let mut arguments = vec!["--auth", auth.as_str()];
    if let Some((certificate, key)) = tls {
        arguments.extend(["--starttls", certificate, key]);
    }
    live.serve_with(0.0, &rules, &arguments);
}

#[tokio::test]
async fn a_relay_at_fault_is_tried_once_and_gets_neither_password_nor_mail() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("theirs"));
    for fault in faults() {
        for mut live in Live::on_each_database_if_long(WORKER).await {
            let on = format!("{} on {}", fault.name, live.database.name());
            live.given_sends(Guarantee::AtMostOnce, SENDS).await;
            let signer = if fault.stranger { &stranger } else { &authority };
            let tls = fault.certificate.map(|(name, year)| signer.files(name, year));
            serve(&mut live, tls.as_ref(), fault.rule);
            state(&mut live, &authority, fault.password);
            let worked = live.bespoke().args(["work", "--until-idle"]).output().unwrap();
            assert!(worked.status.success(), "{on}");
            let log = String::from_utf8_lossy(&worked.stderr).into_owned()
                + &String::from_utf8_lossy(&worked.stdout);
            assert!(log.contains(fault.words), "{on}: {log}");
            assert!(!log.contains("wrong") && !log.contains(RIGHT), "{on}: no password in the log");
            let sends = live.store().sends(&SendFilter::default(), None, 100).await.unwrap();
            let found: Vec<_> = sends
                .iter()
                .filter(|stored| stored.send.state != State::Suppressed)
                .map(|stored| {
                    (stored.send.state.as_str(), stored.reason.as_deref().unwrap(), stored.send.attempt)
                })
                .collect();
            assert_eq!(found, [("deferred", "relay", 0); SENDS], "{on}");
            let said = |verb: &str| {
                live.journal()
                    .iter()
                    .filter(|line| line["c"].to_string().starts_with(&format!("\"{verb}")))
                    .count()
            };
            assert_eq!((said("MAIL"), said("RCPT"), live.count("violation")), (0, 0, 0), "{on}");
            assert!(said("AUTH") <= usize::from(fault.password != RIGHT), "{on}");
            assert_eq!(live.count("connect"), 1, "{on}: tried once, not once a recipient");
            // Somebody puts it right.
            serve(&mut live, Some(&authority.files("localhost", 2100)), None);
            state(&mut live, &authority, RIGHT);
            live.hurry().await;
            live.drains();
            live.is_judged(0, 1);
            assert_eq!(live.states().get("sent"), Some(&SENDS), "{on}");
            assert!(
                live.journal().iter().filter(|line| line["ev"] == "accept").all(|line| line["tls"] == true)
            );
        }
    }
}
