//! One worker plans and learns for all; when it dies, another takes over.

use std::time::Duration;
use std::time::Instant;

use bespoke::store::SendFilter;
use bespoke::worker::assemble::POPULARITY_MODEL;

use crate::support::leaders::Watch;
use crate::support::leaders::are_others;
use crate::support::live::Live;
use crate::support::patience::until;

/// The version of what was learnt last, once it is another one than `before`.
async fn learnt_after(live: &Live, before: Option<&str>) -> String {
    let newest = async || {
        let newest = live.store().newest_model_version(POPULARITY_MODEL).await.unwrap();
        newest.filter(|newest| Some(newest.as_str()) != before)
    };
    until("something is learnt", newest).await
}

#[tokio::test]
async fn a_worker_plans_and_learns_by_itself_and_another_takes_over_within_fifteen_seconds() {
    let config = "[worker]\nlease_seconds = 5\n[rates]\nper_second = 100\n";
    for mut live in Live::on_each_database(config).await {
        let name = live.database.name();
        live.has_no_calendar();
        live.serve(0.0, &[]);
        let mut first = live.leading_worker(&[]);
        live.ana_buys("A-1").await;
        live.waits_until("the first receipt is sent", || live.count("accept") == 1);
        let learnt = learnt_after(&live, None).await;
        // Two workers of a SQLite file are refused; there the next one comes after the first, and leads at once.
        let mut watch = if name == "postgres" { Some(Watch::over(&live.database).await) } else { None };
        let second = watch.is_some().then(|| live.leading_worker(&[]));
        let before = match &mut watch {
            Some(watch) => watch.leaders().await,
            None => [None; 2],
        };
        assert!(watch.is_none() || before.iter().all(Option::is_some), "{before:?}");
        first.kill();
        let died = Instant::now();
        let _second = second.unwrap_or_else(|| live.leading_worker(&[]));
        live.ana_buys("A-2").await;
        if let Some(watch) = &mut watch {
            let taken = async || are_others(watch.leaders().await, before).then_some(());
            until("another plans and learns", taken).await;
            eprintln!("another plans and learns {:.1} s after the leader died", died.elapsed().as_secs_f64());
            assert!(died.elapsed() < Duration::from_secs(15), "{:?}", died.elapsed());
        }
        live.waits_until("the second receipt is sent", || live.count("accept") == 2);
        assert!(died.elapsed() < Duration::from_secs(15), "{:?} on {name}", died.elapsed());
        assert_eq!(live.store().sends(&SendFilter::default(), None, 10).await.unwrap().len(), 2);
        learnt_after(&live, Some(&learnt)).await;
        let taken_over = died.elapsed();
        eprintln!("another has learnt {:.1} s after the leader died, on {name}", taken_over.as_secs_f64());
        // The first would have learnt again after a minute.
        assert!(taken_over < Duration::from_secs(40), "{taken_over:?} on {name}");
    }
}
