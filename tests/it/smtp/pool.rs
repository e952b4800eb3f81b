//! Many sessions: reuse, caps, shares, pauses, and futures that are dropped half-way.

use std::future::Future;
use std::time::Duration;

use bespoke::deliver::catcher::{Catcher, CatcherOptions};
use bespoke::deliver::classify::{Disposition, classify};
use bespoke::deliver::smtp::{
    Cause, Credentials, Failure, NoRelayKind, Phase, Pool, PoolSettings, Relay, RelayCondition,
};
use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::helpers::{accepted, assert_clean, catcher, envelope, hurried, message, pool, relay, send};

/// Waits until something is so that other tasks bring about.
async fn until(mut so: impl FnMut() -> bool) {
    while !so() {
        tokio::task::yield_now().await;
    }
}

/// Drops `work` as soon as `so` holds; it must not have ended before.
async fn drop_when<T>(work: impl Future<Output = T>, so: impl FnMut() -> bool) {
    tokio::select! {
        _ = work => panic!("it ended too early"),
        () = until(so) => {}
    }
}

fn wrong_login(relay: Relay) -> Relay {
    let login = Credentials { user: "shop".to_owned(), secret: "wrong".into(), mechanism: None };
    Relay { credentials: Some(login), ..relay }
}

#[tokio::test]
async fn a_session_is_used_again_without_a_word_in_between() {
    let catcher = catcher(&[]).await;
    let pool = pool(relay(catcher.port()));
    for number in 0..10 {
        send(&pool, &format!("{number}@x.test")).await.unwrap();
    }
    let status = pool.status().remove(0);
    assert_eq!((status.open, status.idle, status.opened_count, status.reused_count), (1, 1, 1, 9));
    pool.close().await;
    assert_eq!(catcher.connections_count(), 1);
    let verbs: Vec<_> = catcher.commands().iter().map(|command| command[..4].to_owned()).collect();
    let mut expected = vec!["EHLO"];
    expected.extend(["MAIL", "RCPT", "DATA"].repeat(10));
    expected.push("QUIT");
    assert_eq!(verbs, expected);
    assert_eq!(pool.checkout().await.unwrap_err().kind, NoRelayKind::Closed);
    assert_eq!(pool.status()[0].open, 0);
    assert_clean(&catcher);
}

#[tokio::test]
async fn many_tasks_share_few_connections() {
    let catcher = catcher(&[]).await;
    let pool = pool(Relay { max_connections: 3, ..relay(catcher.port()) });
    let mut tasks = JoinSet::new();
    for number in 0..60 {
        let pool = pool.clone();
        tasks.spawn(async move { send(&pool, &format!("u{number}@x.test")).await });
    }
    for result in tasks.join_all().await {
        result.unwrap();
    }
    let mut users = accepted(&catcher);
    users.sort_unstable();
    users.dedup();
    assert_eq!((users.len(), catcher.accepted_count()), (60, 60));
    assert!(catcher.connections_count() <= 3, "{}", catcher.connections_count());
    assert_clean(&catcher);
}

#[tokio::test]
async fn a_session_ends_after_its_messages_or_its_time() {
    for (messages, age_ms, connections) in [(2, 600_000, 3), (100, 0, 5)] {
        let catcher = catcher(&[]).await;
        let pool = pool(Relay {
            max_messages_per_connection: messages,
            max_connection_age_ms: age_ms,
            ..relay(catcher.port())
        });
        for number in 0..5 {
            send(&pool, &format!("{number}@x.test")).await.unwrap();
        }
        assert_eq!(catcher.connections_count(), connections);
        let quits = || catcher.commands().iter().filter(|command| *command == "QUIT").count() as u64;
        until(|| quits() >= if age_ms == 0 { 5 } else { 2 }).await;
        assert_eq!(catcher.accepted_count(), 5);
        assert_clean(&catcher);
    }
}

#[tokio::test]
async fn an_idle_session_ends_by_itself() {
    let catcher = catcher(&[]).await;
    let pool = pool(Relay { max_idle_ms: 50, ..relay(catcher.port()) });
    send(&pool, "ada@x.test").await.unwrap();
    until(|| pool.status()[0].open == 0).await;
    assert_eq!(catcher.commands().last().unwrap(), "QUIT");
    send(&pool, "bob@x.test").await.unwrap();
    assert_eq!(catcher.connections_count(), 2);
}

#[tokio::test]
async fn one_refused_login_pauses_the_relay_for_all() {
    let options =
        CatcherOptions { login: Some(("shop".into(), "right".into())), ..CatcherOptions::default() };
    let catcher = Catcher::start_with(options).await.unwrap();
    let pool = pool(wrong_login(relay(catcher.port())));
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let pool = pool.clone();
        tasks.spawn(async move { pool.checkout().await.map(drop) });
    }
    for result in tasks.join_all().await {
        let none = result.unwrap_err();
        assert_eq!(none.kind, NoRelayKind::Paused);
        assert!(none.reason.contains("535 5.7.8 bad credentials"), "{none}");
        assert!(!none.to_string().contains("wrong"));
    }
    let logins = || catcher.commands().iter().filter(|command| command.starts_with("AUTH")).count();
    assert_eq!((logins(), catcher.connections_count()), (1, 1));
    assert!(matches!(pool.status()[0].condition, RelayCondition::Paused { .. }));
    // Somebody says that it is put right; it is not.
    assert!(pool.resume("test"));
    assert_eq!(pool.checkout().await.unwrap_err().kind, NoRelayKind::Paused);
    assert_eq!(logins(), 2);
}

#[tokio::test]
async fn a_relay_that_asks_for_a_login_later_is_paused_too() {
    for rule in ["mail#2=530 5.7.0 log in first", "dot#2=535 5.7.8 who are you"] {
        let catcher = catcher(&[rule]).await;
        let pool = pool(relay(catcher.port()));
        send(&pool, "ada@x.test").await.unwrap();
        let failure = send(&pool, "bob@x.test").await.unwrap_err();
        assert_eq!(classify(&failure), Disposition::RelayFault);
        assert_eq!(pool.checkout().await.unwrap_err().kind, NoRelayKind::Paused);
        assert_eq!(catcher.accepted_count(), 1);
    }
}

#[tokio::test]
async fn a_relay_that_is_down_is_passed_over_and_backs_off() {
    let good = catcher(&[]).await;
    let dead_port = {
        let dead = catcher(&[]).await;
        let port = dead.port();
        dead.stop().await;
        port
    };
    let named = |name: &str, port| Relay { name: name.to_owned(), weight: 5, ..relay(port) };
    let both = vec![named("dead", dead_port), Relay { weight: 1, ..named("good", good.port()) }];
    let pool = Pool::new(both, PoolSettings::default()).unwrap();
    for number in 0..5 {
        send(&pool, &format!("{number}@x.test")).await.unwrap();
    }
    assert_eq!(good.accepted_count(), 5);
    assert!(matches!(pool.status()[0].condition, RelayCondition::BackingOff { .. }));

    let pool = Pool::new(vec![named("dead", dead_port)], PoolSettings::default()).unwrap();
    let none = pool.checkout().await.unwrap_err();
    assert_eq!(none.kind, NoRelayKind::BackingOff);
    assert!(none.reason.contains("refused"), "{none}");
    assert!(none.retry_after.as_millis() <= 1000, "{none:?}");
}

#[tokio::test]
async fn two_relays_share_by_weight() {
    let (first, second) = (catcher(&[]).await, catcher(&[]).await);
    let relays = vec![
        Relay { name: "first".into(), weight: 3, ..relay(first.port()) },
        Relay { name: "second".into(), weight: 1, ..relay(second.port()) },
    ];
    let pool = Pool::new(relays, PoolSettings::default()).unwrap();
    for number in 0..40 {
        send(&pool, &format!("{number}@x.test")).await.unwrap();
    }
    assert_eq!((first.accepted_count(), second.accepted_count()), (30, 10));
    let session = pool.checkout_where(|name| name == "second").await.unwrap();
    assert_eq!(session.relay_name(), "second");
}

#[tokio::test]
async fn a_session_that_the_server_closed_meanwhile_is_replaced_once() {
    for rule in ["mail#2=drop", "mail#2=rst", "mail#2=421 4.4.2 idle for too long"] {
        let catcher = catcher(&[rule]).await;
        let pool = pool(relay(catcher.port()));
        for to in ["ada@x.test", "bob@x.test", "eve@x.test"] {
            send(&pool, to).await.unwrap();
        }
        assert_eq!(accepted(&catcher), ["ada", "bob", "eve"], "{rule}");
        assert_eq!(catcher.connections_count(), 2, "{rule}");
    }
    let catcher = catcher(&["mail#2=drop", "mail#2=drop"]).await;
    let pool = pool(relay(catcher.port()));
    send(&pool, "ada@x.test").await.unwrap();
    let failure = send(&pool, "bob@x.test").await.unwrap_err();
    assert!(matches!(failure, Failure::Broken { phase: Phase::Mail, .. }), "{failure}");
    assert_eq!(classify(&failure), Disposition::Deferred);
    assert_eq!((catcher.connections_count(), catcher.accepted_count()), (2, 1));
    // A fresh connection that breaks is a failure, not a reason to try until the server gives in.
    send(&pool, "eve@x.test").await.unwrap();
    assert_eq!(accepted(&catcher), ["ada", "eve"]);
}

#[tokio::test]
async fn words_that_nobody_asked_for_are_answers_to_nothing() {
    // Were the session kept, each reply would be taken for the one after it: 354 for RCPT, and a refusal of the
    // message for the next MAIL.
    let catcher = catcher(&["reply#1=250 ok\r\n250 ok", "dot#2=554 5.7.1 spam"]).await;
    let pool = pool(relay(catcher.port()));
    send(&pool, "ada@x.test").await.unwrap();
    let failure = send(&pool, "bob@x.test").await.unwrap_err();
    assert_eq!(failure.reply().unwrap().code, 554);
    assert_eq!(failure.phase(), Phase::Dot);
    send(&pool, "eve@x.test").await.unwrap();
    assert_eq!((accepted(&catcher), catcher.connections_count()), (vec!["ada".into(), "eve".into()], 2));
}

#[tokio::test]
async fn a_late_reply_is_never_taken_for_another() {
    let stages = [("mail", Phase::Mail), ("rcpt", Phase::Rcpt), ("data", Phase::Data), ("reply", Phase::Dot)];
    join_all(stages.map(|(stage, phase)| reply_late(stage, phase))).await;
}

async fn reply_late(stage: &str, phase: Phase) {
    let catcher = catcher(&[&format!("{stage}#1=delay:1.2"), "rcpt@bad=550 5.1.1 no"]).await;
    let pool = pool(hurried(relay(catcher.port()), phase, 1000));
    let late = send(&pool, "late@x.test").await.unwrap_err();
    let Failure::Broken { phase: seen, cause: Cause::Timeout(_) } = &late else { panic!("{late}") };
    assert_eq!(*seen, phase);
    // The server answers the first message while these are under way.
    let (start, mut number) = (Instant::now(), 0);
    while number < 30 || start.elapsed() < Duration::from_millis(400) {
        number += 1;
        send(&pool, &format!("good{number}@x.test")).await.unwrap();
        let failure = send(&pool, "bad@x.test").await.unwrap_err();
        assert_eq!(failure.reply().unwrap().code, 550, "{stage}");
    }
    let users = accepted(&catcher);
    assert_eq!(users.iter().filter(|user| user.starts_with("good")).count(), number, "{stage}");
    assert!(!users.contains(&"bad".to_owned()), "{stage}");
}

#[tokio::test]
async fn a_dropped_future_never_leaves_its_connection_in_the_pool() {
    for (rule, commands, messages) in [
        ("connect#1=stall", 0, 0),
        ("ehlo#1=stall", 1, 0),
        ("mail#1=stall", 2, 0),
        ("rcpt#1=stall", 3, 0),
        ("data#1=stall", 4, 0),
        ("reply#1=stall", 4, 1),
    ] {
        let catcher = catcher(&[rule]).await;
        let pool = pool(Relay { max_connections: 1, ..relay(catcher.port()) });
        drop_when(send(&pool, "dropped@x.test"), || {
            catcher.connections_count() == 1
                && catcher.commands().len() >= commands
                && catcher.accepted_count() == messages
        })
        .await;
        assert_eq!(pool.status()[0].open, 0, "{rule}");
        send(&pool, "ada@x.test").await.unwrap();
        assert_eq!(
            (catcher.connections_count(), accepted(&catcher).last().unwrap().as_str()),
            (2, "ada"),
            "{rule}"
        );
        assert_clean(&catcher);
    }
}

#[tokio::test]
async fn a_waiter_that_gives_up_does_not_take_the_turn_of_others() {
    let catcher = catcher(&[]).await;
    let pool = pool(Relay { max_connections: 1, ..relay(catcher.port()) });
    let mut held = pool.checkout().await.unwrap();
    let (envelope, prepared) = (envelope("ada@x.test"), message("x"));
    held.begin(&envelope, &prepared).await.unwrap().submit().await.unwrap();

    let mut waiters: Vec<_> = (0..3)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.checkout().await.map(drop) })
        })
        .collect();
    tokio::task::yield_now().await;
    held.give_back();
    waiters[0].abort();
    waiters.remove(0).await.unwrap_err();
    for waiter in waiters {
        waiter.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn relays_are_checked_before_the_first_message() {
    let fail = |relays: Vec<Relay>| Pool::new(relays, PoolSettings::default()).unwrap_err().to_string();
    assert!(fail(vec![]).contains("1 to 64 relays"));
    assert!(fail(vec![relay(25), relay(26)]).contains("used twice"));
    assert!(fail(vec![Relay { max_connections: 0, ..relay(25) }]).contains("max_connections"));
    let remote = Relay { host: "mail.example.test".into(), ..relay(25) };
    assert!(fail(vec![wrong_login(remote)]).contains("in clear"));
}
