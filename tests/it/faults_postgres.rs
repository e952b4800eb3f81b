//! A PostgreSQL that restarts, dies, or cannot be reached while mails are on the wire: nobody is lost or doubled, and
//! the workers go on by themselves.

use std::time::Duration;
use std::time::Instant;

use bespoke::campaign::Guarantee;

use crate::support::live::Live;
use crate::support::live::Running;
use crate::support::live::is_long;
use crate::support::postgres::Server;
use crate::support::proxy::Network;
use crate::support::proxy::Proxy;

const WORKER: &str = "[worker]\nin_flight = 8\nlease_seconds = 5\nretry_minutes = [1]\npoll_ms = 50\n";
/// Half of the sends by each guarantee.
const SENDS: usize = 400;

/// Two workers' worth of sends on a server of the test's own.
async fn given() -> Option<(Server, Live)> {
    let server = Server::own("")?;
    let mut live = Live::on_server(&server, WORKER).await?;
    live.given_sends(Guarantee::AtMostOnce, SENDS / 2).await;
    live.given_sends(Guarantee::AtLeastOnce, SENDS / 2).await;
    live.serve(0.02, &[]);
    Some((server, live))
}

/// Everybody has exactly one mail, and no worker has ended.
async fn everybody_has_one(live: &Live, workers: &mut [Running]) {
    live.hurries_until_all_are(&["sent"]).await;
    for worker in workers {
        assert!(worker.0.try_wait().unwrap().is_none(), "the worker goes on");
    }
    live.is_judged(0, 8);
    assert_eq!(live.count("accept"), SENDS);
}

/// Its URL, as it is reached through a network that fails.
fn behind(live: &mut Live, server: &Server) -> Proxy {
    let proxy = Proxy::to(server.socket.clone());
    live.database.url = format!("postgres://bespoke@127.0.0.1:{}/postgres", proxy.port);
    proxy
}

#[tokio::test]
async fn a_server_that_is_restarted_five_times_loses_and_doubles_nobody() {
    let Some((mut server, live)) = given().await else { return };
    let mut workers = [live.worker(), live.worker()];
    for time in 1..=5 {
        live.waits_until("mails go out", || live.count("accept") >= time * 40);
        server.restart();
    }
    everybody_has_one(&live, &mut workers).await;
}

#[tokio::test]
async fn a_server_that_is_killed_while_marks_and_outcomes_are_committed_loses_and_doubles_nobody() {
    let Some((mut server, live)) = given().await else { return };
    let mut workers = [live.worker(), live.worker()];
    for time in 1..=5 {
        live.waits_until("mails go out", || live.count("accept") >= time * 40);
        server.kill();
    }
    everybody_has_one(&live, &mut workers).await;
}

#[tokio::test]
async fn a_worker_that_cannot_reach_the_database_sends_nothing_and_goes_on_when_it_can() {
    let Some((server, mut live)) = given().await else { return };
    let proxy = behind(&mut live, &server);
    let mut workers = [live.worker()];
    live.waits_until("mails go out", || live.count("accept") >= 40);
    proxy.be(Network::Silent);
    // What was marked may still go; then it is quiet.
    Live::passes(Duration::from_secs(1));
    let quiet = live.count("accept");
    Live::passes(Duration::from_secs(if is_long() { 60 } else { 8 }));
    assert_eq!(live.count("accept"), quiet, "no mail goes without its mark");
    proxy.be(Network::Up);
    everybody_has_one(&live, &mut workers).await;
}

#[tokio::test]
async fn what_a_cut_off_worker_held_goes_to_another_and_what_it_had_on_the_wire_stays_its_own() {
    let Some((server, mut live)) = given().await else { return };
    let other = live.worker();
    let direct = live.database.url.clone();
    let proxy = behind(&mut live, &server);
    let cut_off = live.worker();
    live.database.url = direct;
    let mut workers = [other, cut_off];
    live.waits_until("mails go out", || live.count("accept") >= 40);
    proxy.be(Network::Silent);
    let seconds = if is_long() { 60 } else { 15 };
    Live::passes(Duration::from_secs(seconds));
    let states = live.states();
    let with_the_cut_off = states.get("submitting").copied().unwrap_or(0);
    assert!(with_the_cut_off <= 8 && states["sent"] + with_the_cut_off == SENDS, "{states:?}");
    proxy.be(Network::Up);
    everybody_has_one(&live, &mut workers).await;
}

#[tokio::test]
async fn answers_that_are_lost_after_a_commit_lose_and_double_nobody() {
    let Some((server, mut live)) = given().await else { return };
    let proxy = behind(&mut live, &server);
    let mut workers = [live.worker()];
    for time in 1..=5 {
        live.waits_until("mails go out", || live.count("accept") >= time * 40);
        proxy.be(Network::Deaf);
        Live::passes(Duration::from_millis(300));
        proxy.be(Network::Cut);
        Live::passes(Duration::from_millis(200));
        proxy.be(Network::Up);
    }
    everybody_has_one(&live, &mut workers).await;
}

#[tokio::test]
async fn connections_that_nobody_ends_are_given_up() {
    if !is_long() {
        return;
    }
    let Some((server, mut live)) = given().await else { return };
    let proxy = behind(&mut live, &server);
    let mut workers = [live.worker()];
    live.waits_until("mails go out", || live.count("accept") >= 40);
    proxy.forget();
    let forgotten = Instant::now();
    let before = live.count("accept");
    live.waits_until("mails go out again", || live.count("accept") > before + 40);
    eprintln!("mails go out again after {:?}", forgotten.elapsed());
    everybody_has_one(&live, &mut workers).await;
}
