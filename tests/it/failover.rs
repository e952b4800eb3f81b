//! Mail whose relay cannot be reached goes over another, at the pace of the one that it really uses.

use std::time::Duration;
use std::time::Instant;

use bespoke::deliver::catcher::Catcher;
use bespoke::deliver::smtp::Pool;
use bespoke::deliver::smtp::PoolSettings;
use bespoke::deliver::smtp::Relay;
use bespoke::deliver::smtp::Security;
use bespoke::deliver::transport::Transport;

use crate::support::TestApp;
use crate::support::app::CONFIG;
use crate::support::stores;

#[tokio::test]
async fn a_mail_that_fails_over_takes_the_turn_of_the_relay_that_it_really_uses() {
    for database in stores().await {
        let catcher = Catcher::start().await.unwrap();
        // Nobody listens where this one was.
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "{CONFIG}[[relay]]\nname = \"main\"\nurl = \"smtp://127.0.0.1:{closed}\"\n\
             [[relay]]\nname = \"spare\"\nurl = \"{}\"\nweight = 0\nper_second = 2.0\n",
            catcher.url()
        );
        let mut app = TestApp::new(database, &config, &[]);
        let relay =
            |name, weight, port| Relay { weight, ..Relay::new(name, "127.0.0.1", port, Security::None) };
        // Once it could not be reached it is left alone: the first mail fails over, the others wait for the spare.
        let settings =
            PoolSettings { backoff_first_ms: 600_000, backoff_max_ms: 600_000, ..PoolSettings::default() };
        let relays = vec![relay("main", 1, closed), relay("spare", 0, catcher.port())];
        app.over(Transport::Smtp(Pool::new(relays, settings).unwrap()));
        for name in ["ana", "bo", "cy"] {
            app.given_profile(name).await;
        }
        app.plans().await;
        app.at("2026-03-02T10:00:00Z").await;
        let worker = app.worker().await;
        let begun = Instant::now();
        worker.run(bespoke::worker::run::Until::Idle).await.unwrap();
        let ends = app.states().await;
        assert_eq!(catcher.accepted_count(), 3, "{ends:?} on {}", app.database.name());
        // Three turns, half a second apart; were the first mail let past its own, the others would have the first two.
        assert!(begun.elapsed() >= Duration::from_millis(950), "in {:?}", begun.elapsed());
    }
}
