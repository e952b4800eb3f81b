//! Mail whose relay cannot be reached goes over another, at the pace of the one that it really uses.

use std::time::Duration;
use std::time::Instant;

use bespoke::campaign::Kind;
use bespoke::clock::Clock;
use bespoke::deliver::catcher::Catcher;
use bespoke::deliver::smtp::Pool;
use bespoke::deliver::smtp::PoolSettings;
use bespoke::deliver::smtp::Relay;
use bespoke::deliver::smtp::Security;
use bespoke::deliver::transport::Transport;

use crate::support::Database;
use crate::support::TestApp;
use crate::support::app::CONFIG;
use crate::support::given;

#[tokio::test]
async fn a_mail_that_fails_over_takes_the_turn_of_the_relay_that_it_really_uses() {
    let catcher = Catcher::start().await.unwrap();
    // Nobody listens where this one was.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "{CONFIG}[[relay]]\nname = \"main\"\nurl = \"smtp://127.0.0.1:{closed}\"\n\
         [[relay]]\nname = \"spare\"\nurl = \"{}\"\nweight = 0\nper_second = 1.25\n",
        catcher.url()
    );
    let mut app = TestApp::new(Database::sqlite().await, &config, &[]);
    // Turns are times, so this one needs a clock that goes.
    app.clock = Clock::System;
    let relay = |name, weight, port| Relay { weight, ..Relay::new(name, "127.0.0.1", port, Security::None) };
    // Once it could not be reached it is left alone: the first mail fails over, the others wait for the spare.
    let settings =
        PoolSettings { backoff_first_ms: 600_000, backoff_max_ms: 600_000, ..PoolSettings::default() };
    let relays = vec![relay("main", 1, closed), relay("spare", 0, catcher.port())];
    app.over(Transport::Smtp(Pool::new(relays, settings).unwrap()));
    let names = ["ana", "bo", "cy"];
    given::given_people(&app.database, &names).await;
    let sends = names.map(|name| given::send(name, "1", Kind::Transactional, app.now()));
    app.database.store.plan(&sends).await.unwrap();

    let begun = Instant::now();
    app.runs_until_idle().await;
    let ends = app.states().await;
    assert_eq!(catcher.accepted_count(), 3, "{ends:?}");
    // Three turns, 800 ms apart; were the first mail let past its own, the others would have the first two.
    assert!(begun.elapsed() >= Duration::from_millis(1_550), "in {:?}", begun.elapsed());
}
