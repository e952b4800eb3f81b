//! A plan that is killed half way, again and again, and repeated: everybody gets one mail, nobody two.

use std::collections::HashSet;

use bespoke::store::SendFilter;

use crate::support::given;
use crate::support::live::Live;
use crate::support::live::Running;
use crate::support::patience::until;

const PEOPLE: usize = 20_000;
const KILLS: usize = 3;

async fn planned(live: &Live) -> usize {
    let counts = live.store().count_sends().await.unwrap();
    counts.iter().map(|count| usize::try_from(count.count).unwrap()).sum()
}

#[tokio::test]
async fn a_plan_that_is_killed_and_repeated_gives_everybody_one_mail() {
    for live in Live::on_each_database("").await {
        let name = live.database.name();
        let now = bespoke::clock::Clock::System.now();
        // Due in twelve hours, once, whatever the time is now.
        let hour = (now.to_zoned(jiff::tz::TimeZone::UTC).hour() + 12) % 24;
        let campaign =
            format!("kind = \"lifecycle\"\ntrigger = {{ cron = {{ schedule = \"0 {hour} * * *\" }} }}\n");
        std::fs::write(live.path("templates/news/campaign.toml"), campaign).unwrap();
        let people: Vec<_> = (0..PEOPLE).map(|n| given::profile(&format!("p{n}"))).collect();
        for chunk in people.chunks(1_000) {
            live.store().upsert_profiles(chunk, now).await.unwrap();
        }
        let plan = || {
            let mut command = live.bespoke();
            command.arg("plan");
            command
        };
        let mut kills = 0;
        for _ in 0..KILLS {
            let before = planned(&live).await;
            let mut running = Running(plan().spawn().unwrap());
            until("some are planned", async || (planned(&live).await > before).then_some(())).await;
            running.kill();
            let after = planned(&live).await;
            eprintln!("killed when {after} of {PEOPLE} were planned, on {name}");
            kills += usize::from(after < PEOPLE);
        }
        assert!(kills > 0, "every plan was done before it was killed, on {name}");
        assert!(plan().status().unwrap().success());
        let output = plan().stdout(std::process::Stdio::piped()).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let news = said.lines().find(|line| line.starts_with("news")).unwrap();
        assert!(news.ends_with(" 0"), "planned once more, nothing is new on {name}: {said}");
        let sends = live.store().sends(&SendFilter::default(), None, PEOPLE + 1).await.unwrap();
        let whose: HashSet<_> = sends.iter().map(|stored| &stored.send.profile).collect();
        assert_eq!((sends.len(), whose.len()), (PEOPLE, PEOPLE), "{name}");
        let due: HashSet<_> = sends.iter().map(|stored| stored.send.due_at).collect();
        assert_eq!(due.len(), 1, "{due:?} on {name}");
    }
}
