//! Workers on hosts of their own, as network namespaces; one host is cut off and returns.

use std::process::Command;
use std::process::Output;
use std::time::Duration;
use std::time::Instant;

use bespoke::campaign::Guarantee;

use crate::support::journal::accepted_at;
use crate::support::journal::busiest_second;
use crate::support::journal::taken;
use crate::support::leaders::Watch;
use crate::support::leaders::are_others;
use crate::support::live::Live;
use crate::support::live::is_long;
use crate::support::not_tested;
use crate::support::patience::until;
use crate::support::postgres::Server;

const WORKER: &str = "[worker]\nin_flight = 8\nlease_seconds = 5\npoll_ms = 50\n[rates]\nper_second = 40\n";
const SENDS: usize = 500;
/// Of the network between the hosts, a private one that no route leads to: 198.18.0.0/15 is for tests.
const NET: &str = "198.18.77";

/// A switch on this host, and two hosts that hang on it; all gone when it is dropped.
struct Hosts {
    /// Tells runs on one machine apart.
    id: u32,
}

fn ip(arguments: &str) -> Option<Output> {
    Command::new("ip").args(arguments.split(' ')).output().ok()
}

/// `None`, said loudly, where this machine does not permit it.
fn hosts() -> Option<Hosts> {
    let hosts = Hosts { id: std::process::id() % 100_000 };
    let id = hosts.id;
    let mut commands = vec![
        format!("link add bs{id} type bridge"),
        format!("addr add {NET}.1/24 dev bs{id}"),
        format!("link set bs{id} up"),
    ];
    for host in [2, 3] {
        commands.extend([
            format!("netns add bs{id}-{host}"),
            format!("link add bs{id}.{host} type veth peer name eth0 netns bs{id}-{host}"),
            format!("link set bs{id}.{host} master bs{id} up"),
            format!("-n bs{id}-{host} addr add {NET}.{host}/24 dev eth0"),
            format!("-n bs{id}-{host} link set eth0 up"),
        ]);
    }
    for command in commands {
        let done = ip(&command);
        if !done.as_ref().is_some_and(|output| output.status.success()) {
            not_tested(&format!("several hosts: they cannot be made here: ip {command}: {done:?}"));
            return None;
        }
    }
    Some(hosts)
}

impl Hosts {
    fn name(&self, host: u8) -> String {
        format!("bs{}-{host}", self.id)
    }

    fn cut_off(&self, host: u8) {
        assert!(ip(&format!("link set bs{}.{host} down", self.id)).unwrap().status.success());
    }

    fn returns(&self, host: u8) {
        assert!(ip(&format!("link set bs{}.{host} up", self.id)).unwrap().status.success());
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        // What was not made cannot be taken away, and says so.
        for host in [2, 3] {
            ip(&format!("netns del {}", self.name(host)));
        }
        ip(&format!("link del bs{}", self.id));
    }
}

#[tokio::test]
async fn a_host_that_is_cut_off_and_returns_loses_and_doubles_nobody_and_rates_hold() {
    let Some(hosts) = hosts() else { return };
    let Some(server) = Server::own(&format!("{NET}.1")) else { return };
    let Some(mut live) = Live::on_server(&server, WORKER).await else { return };
    live.host = format!("{NET}.1");
    live.state_relays(&format!(
        "[[relay]]\nurl = \"smtp://{}:{}\"\ndeadline_seconds = {{ dot = 20.0 }}\n",
        live.host, live.port
    ));
    live.has_no_calendar();
    live.given_sends(Guarantee::AtMostOnce, SENDS / 2).await;
    live.given_sends(Guarantee::AtLeastOnce, SENDS / 2).await;
    live.serve(0.02, &[]);
    let worker = |host: u8| live.leading_worker(&["ip", "netns", "exec", &hosts.name(host)]);
    let first = worker(3);
    let mut watch = Watch::over(&live.database).await;
    let lead = async || Some(watch.leaders().await).filter(|leaders| leaders.iter().all(Option::is_some));
    let leaders = until("the host that will be cut off leads", lead).await;
    let mut workers = [worker(2), first];
    live.waits_until("mails go out", || live.count("accept") >= 60);
    assert_eq!(watch.leaders().await, leaders, "who came later does not lead");
    hosts.cut_off(3);
    let (cut_off, before) = (Instant::now(), live.count("accept"));
    live.ana_buys("A-1").await;
    let taken_over = async || are_others(watch.leaders().await, leaders).then_some(());
    until("the other host plans and learns", taken_over).await;
    let led_after = cut_off.elapsed();
    live.waits_until("what is bought meanwhile is sent", || taken(&live, "<ana@") == 1);
    eprintln!(
        "another host plans and learns {led_after:.1?} after the leader was cut off, and sends after {:.1?}",
        cut_off.elapsed()
    );
    assert!(led_after < Duration::from_secs(15), "{led_after:?}");
    let seconds = if is_long() { 60 } else { 8 };
    live.waits_until("the other goes on", || {
        cut_off.elapsed() > Duration::from_secs(seconds) && live.count("accept") > before + 100
    });
    hosts.returns(3);
    live.hurries_until_all_are(&["sent", "unknown"]).await;
    for worker in &mut workers {
        assert!(worker.0.try_wait().unwrap().is_none(), "the worker goes on");
    }
    // What the cut-off host had on the wire at that moment is undecidable, like the work of one that died.
    live.is_judged(1, 8);
    let busiest = busiest_second(&accepted_at(&live));
    eprintln!("two hosts, one cut off for {seconds} s at 40 a second: at most {busiest} in a second");
    assert!(busiest <= 60, "{busiest} in a second");
}
