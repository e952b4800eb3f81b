//! What people do while the mails go out: they unsubscribe, bounce, pause, resume, cancel.

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use bespoke::campaign::CampaignId;
use bespoke::campaign::Guarantee;
use bespoke::clock::Clock;
use mail_parser::MessageParser;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::support::given;
use crate::support::live::IN_FLIGHT;
use crate::support::live::Live;
use crate::support::live::Running;
use crate::support::live::is_long;
use crate::support::live::send_of;

const WORKER: &str = "[worker]\nin_flight = 8\nlease_seconds = 5\nretry_minutes = [1]\npoll_ms = 50\n";
/// Who get two mails.
const PEOPLE: usize = 300;
/// Who unsubscribes after the first mail, by their places in the second run: the worker has decided these mails and put
/// none on the wire when it begins.
const UNSUBSCRIBE: std::ops::Range<usize> = 40..110;

/// The path of the one-click link of everybody who has a mail.
fn links(live: &Live) -> BTreeMap<String, String> {
    let files = std::fs::read_dir(live.path("raw")).unwrap().map(|file| file.unwrap().path());
    let link = |path| {
        let bytes = std::fs::read(path).unwrap();
        let mail = MessageParser::default().parse(&bytes).unwrap();
        let to = mail.to().unwrap().first().unwrap().address().unwrap();
        let header = mail.header_raw("List-Unsubscribe").unwrap().replace(['\r', '\n', ' '], "");
        let link = header.split("https://m.shop.test").nth(1).unwrap().split('>').next().unwrap();
        (to.split('@').next().unwrap().to_owned(), link.to_owned())
    };
    files.map(link).collect()
}

/// The service as a process of its own, and where it listens.
fn service(live: &Live) -> (Running, String) {
    let mut command = live.bespoke();
    command.args(["serve", "--listen", "127.0.0.1:0"]).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let said = lines.find(|line| line.as_ref().unwrap().starts_with("listening on ")).unwrap().unwrap();
    std::thread::spawn(move || lines.for_each(drop));
    (Running(child), said["listening on ".len()..].split(',').next().unwrap().to_owned())
}

/// When each of these had their one-click unsubscribe answered with 200, in seconds as the server writes them.
async fn unsubscribe(live: &Live, url: &str, links: &BTreeMap<String, String>) -> BTreeMap<String, f64> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut answered = BTreeMap::new();
    // From the last to the first, towards the mails: no more of them meet theirs on the wire than there are slots.
    for name in UNSUBSCRIBE.rev().map(|i| format!("p{i}")) {
        let request = client.post(format!("{url}{}", links[&name])).body("List-Unsubscribe=One-Click");
        assert_eq!(request.send().await.unwrap().status(), 200, "on {}", live.database.name());
        answered.insert(name, seconds_now());
    }
    answered
}

fn seconds_now() -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century")]
    let now = Clock::System.now().as_millisecond() as f64;
    now / 1_000.0
}

/// To whom and when each mail was accepted.
fn accepted(live: &Live) -> Vec<(String, f64)> {
    let accepts = live.journal().into_iter().filter(|line| line["ev"] == "accept");
    accepts
        .map(|line| {
            let to = line["rcpt"][0].as_str().unwrap().split('<').nth(1).unwrap();
            (to.split('@').next().unwrap().to_owned(), line["t"].as_f64().unwrap())
        })
        .collect()
}

/// A mail of another campaign about the same to everybody in the order of their names, and three to `gone` among them.
async fn given_the_second_run(live: &Live) {
    let now = Clock::System.now();
    live.store().upsert_profiles(&[given::profile("gone")], now).await.unwrap();
    let mut sends = Vec::new();
    for i in 0..PEOPLE {
        sends.push(send_of("more", Guarantee::AtMostOnce, &format!("p{i}"), "once", now));
        if [10, 170, 200].contains(&i) {
            sends.push(send_of("more", Guarantee::AtMostOnce, "gone", &i.to_string(), now));
        }
    }
    assert_eq!(live.store().plan(&sends).await.unwrap(), PEOPLE as u64 + 3);
}

#[tokio::test]
async fn who_unsubscribes_or_bounces_during_a_run_gets_nothing_more() {
    for mut live in Live::on_each_database(WORKER).await {
        let on = live.database.name();
        live.given_sends(Guarantee::AtMostOnce, PEOPLE).await;
        let raw = live.path("raw");
        std::fs::create_dir(&raw).unwrap();
        live.serve_with(0.0, &[], &["--save", raw.to_str().unwrap()]);
        live.drains();
        let links = links(&live);
        given_campaign(&live, "more", "topic = \"news\"\n");
        let (_service, url) = service(&live);
        given_the_second_run(&live).await;
        live.serve(0.25, &["rcpt@<gone@=550 5.1.1 no such user"]);
        let _worker = live.worker();
        live.waits_until("it has begun", || live.count("accept") >= PEOPLE + 20);
        live.waits_until("the first to `gone` has bounced", || live.states().contains_key("failed"));
        // Transactional mail overtakes all others.
        let receipt = send_of("receipt", Guarantee::AtLeastOnce, "gone", "once", Clock::System.now());
        assert_eq!(live.store().plan(&[receipt]).await.unwrap(), 1);
        let answered = unsubscribe(&live, &url, &links).await;
        live.waits_until("all is done", || {
            let states = live.states();
            ["scheduled", "leased", "submitting"].iter().all(|state| !states.contains_key(*state))
        });
        live.is_judged(0, IN_FLIGHT);
        let accepted = accepted(&live);
        let late = accepted.iter().filter(|(name, at)| answered.get(name).is_some_and(|since| at > since));
        let late = late.count();
        let states = live.states();
        eprintln!("{on}: {late} of {} were on the wire as they unsubscribed; {states:?}", answered.len());
        assert!(late <= IN_FLIGHT, "{late} got a mail after their unsubscribe was answered, on {on}");
        // The first of the four bounces; the other three are not tried.
        let tried = live.journal().into_iter().filter(|line| line["c"].to_string().contains("TO:<gone@"));
        assert_eq!((tried.count(), states["failed"]), (1, 1), "{states:?} on {on}");
        assert_eq!(live.count("accept"), states["sent"], "on {on}");
        let sent_twice = states["sent"] - PEOPLE;
        assert_eq!(sent_twice + states["suppressed"], PEOPLE + 3, "{states:?} on {on}");
        assert!(states["suppressed"] > 3 + IN_FLIGHT, "{states:?} on {on}");
    }
}

/// A lifecycle campaign like the others, with `more` at the end of its file.
fn given_campaign(live: &Live, name: &str, more: &str) {
    let (from, to) = (live.path("templates/news"), live.path(&format!("templates/{name}")));
    std::fs::create_dir_all(to.join("any")).unwrap();
    for file in ["campaign.toml", "any/hello.mjml"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    let mut file = std::fs::File::options().append(true).open(to.join("campaign.toml")).unwrap();
    file.write_all(more.as_bytes()).unwrap();
}

/// People who are in this campaign alone, and a mail to each, due now.
async fn given_sends_of(live: &Live, campaign: &str, count: usize) {
    let now = Clock::System.now();
    let names: Vec<String> = (0..count).map(|i| format!("{campaign}-{i}")).collect();
    let people: Vec<_> = names.iter().map(|name| given::profile(name)).collect();
    live.store().upsert_profiles(&people, now).await.unwrap();
    let sends: Vec<_> =
        names.iter().map(|name| send_of(campaign, Guarantee::AtMostOnce, name, "once", now)).collect();
    assert_eq!(live.store().plan(&sends).await.unwrap(), count as u64);
}

/// Pauses it, sees that nothing goes but what was on the wire, and lets it go on.
async fn pause_and_resume(live: &Live, campaign: &CampaignId, paused: Duration) {
    live.store().pause_campaign(campaign, "test", Clock::System.now()).await.unwrap();
    let before = live.count("accept");
    Live::passes(paused);
    let meanwhile = live.count("accept") - before;
    assert!(meanwhile <= IN_FLIGHT, "{meanwhile} went while {campaign} was paused for {paused:?}");
    live.store().resume_campaign(campaign, "test", Clock::System.now()).await.unwrap();
    // What was refused at the mark waits a minute.
    live.hurry().await;
}

#[tokio::test]
async fn campaigns_that_are_paused_resumed_and_canceled_at_random_send_nothing_meanwhile_and_nothing_after() {
    let campaigns = if is_long() { 20 } else { 3 };
    for mut live in Live::on_each_database(WORKER).await {
        let on = live.database.name();
        let mut random = ChaCha8Rng::seed_from_u64(20);
        let names: Vec<String> = (0..campaigns).map(|i| format!("c{i}")).collect();
        for name in &names {
            given_campaign(&live, name, "");
        }
        live.serve(0.05, &[]);
        let _worker = live.worker();
        let mut canceled_at = BTreeMap::new();
        for name in &names {
            given_sends_of(&live, name, 200).await;
            let campaign = CampaignId(name.clone());
            for _ in 0..random.random_range(1..=3) {
                let enough = live.count("accept") + random.random_range(1..20);
                live.waits_until("mails go out", || live.count("accept") >= enough);
                let paused = Duration::from_millis(random.random_range(400..600));
                pause_and_resume(&live, &campaign, paused).await;
            }
            let enough = live.count("accept") + random.random_range(1..20);
            live.waits_until("mails go out", || live.count("accept") >= enough);
            live.store().cancel_campaign(&campaign, "test", Clock::System.now()).await.unwrap();
            canceled_at.insert(name.clone(), seconds_now());
        }
        live.waits_until("nothing is open", || {
            live.states().keys().all(|state| state == "sent" || state == "canceled")
        });
        live.is_judged(0, IN_FLIGHT);
        for (name, canceled) in &canceled_at {
            let prefix = format!("{name}-");
            let after = accepted(&live);
            let after = after.iter().filter(|(to, at)| to.starts_with(&prefix) && at > canceled).count();
            assert!(after <= IN_FLIGHT, "{after} went after {name} was canceled, on {on}");
        }
        let states = live.states();
        eprintln!("{on}: {states:?}");
        assert_eq!(states["sent"] + states["canceled"], campaigns * 200, "{states:?} on {on}");
        assert!(states["canceled"] > campaigns * 20, "{states:?} on {on}");
        assert_eq!(live.count("accept"), states["sent"], "on {on}");
    }
}
