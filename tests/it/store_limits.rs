//! What live workers share: rates, hosts that ask for patience, and who sends.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use bespoke::clock::Clock;
use bespoke::config::Rates;
use bespoke::deliver::limit::Limiter;
use bespoke::rate::Granted;
use bespoke::rate::Refusal;
use bespoke::rate::Reserve;
use bespoke::rate::Window;
use bespoke::store::Store;
use jiff::ToSpan as _;
use tokio::task::JoinSet;

use crate::support::Database;
use crate::support::database::start;
use crate::support::stores;

#[tokio::test]
async fn all_workers_together_hold_a_rate() {
    for database in stores().await {
        let store = &database.store;
        let wanted = |key: &str, slots: u32| {
            let windows = vec![Window { key: format!("{key}/second"), interval_us: 2_000.0, credit_us: 0.0 }];
            Reserve { key: key.to_owned(), windows, slots, ahead_us: 198_000.0 }
        };
        let workers: Vec<_> = (0..8)
            .map(|_| {
                let (store, wanted) = (store.clone(), [wanted("group", 20), wanted("all", 20)]);
                tokio::spawn(async move { store.reserve(&wanted, start()).await.unwrap() })
            })
            .collect();
        let mut granted = Vec::new();
        for worker in workers {
            granted.extend(worker.await.unwrap().remove(1).at_us);
        }
        granted.sort_unstable();
        let each: Vec<i64> = (0..100).map(|slot| slot * 2_000).collect();
        assert_eq!(granted, each, "200 ms ahead at 500 a second, each once, on {}", database.name());
        let later = start() + 10.milliseconds();
        database.set_now(later).await;
        let granted = store.reserve(&[wanted("all", 20)], later).await.unwrap();
        let at_us = vec![190_000, 192_000, 194_000, 196_000, 198_000];
        assert_eq!(granted, [Granted { at_us, wait_us: 2_000 }]);
    }
}

#[tokio::test]
async fn a_slot_suits_every_window_and_survives_a_restart() {
    for database in stores().await {
        let window =
            |name: &str, interval_us| Window { key: format!("all/{name}"), interval_us, credit_us: 0.0 };
        let wanted = |slots| Reserve {
            key: "all".to_owned(),
            windows: vec![window("minute", 6_000_000.0), window("hour", 10_000_000.0)],
            slots,
            ahead_us: 500_000.0,
        };
        let first = database.store.reserve(&[wanted(3)], start()).await.unwrap();
        assert_eq!(first, [Granted { at_us: vec![0], wait_us: 9_500_000 }], "{}", database.name());
        let again = bespoke::store::Store::open(&database.url).await.unwrap();
        let later = start() + 7.seconds();
        database.set_now(later).await;
        let second = again.reserve(&[wanted(3)], later).await.unwrap();
        assert_eq!(second, [Granted { at_us: Vec::new(), wait_us: 2_500_000 }], "{}", database.name());
    }
}

/// A worker on this database that has just begun: its store, and how it asks for a turn among all.
async fn begun(database: &Database, rates: &Rates) -> (Store, Reserve) {
    let store = Store::open(&database.url).await.unwrap();
    let limiter = Limiter::new(rates, []);
    let mut turn = std::pin::pin!(limiter.global_turn());
    assert!(is_pending(turn.as_mut()), "nobody has granted a slot");
    let wanted = limiter.wants().remove(0);
    (store, wanted)
}

fn is_pending(turn: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
    turn.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_pending()
}

#[tokio::test]
async fn quotas_of_hours_and_days_survive_restarts() {
    /// From one look to the next; less than the hundredth of the window that may be made up for.
    const STEPS: i64 = 110;
    for (stated, quota, window_s) in [("per_hour = 1000", 1_000, 3_600), ("per_day = 10000", 10_000, 86_400)]
    {
        let rates: Rates = toml::from_str(stated).unwrap();
        for database in stores().await {
            let on = format!("{stated} on {}", database.name());
            let (mut store, mut wanted) = begun(&database, &rates).await;
            // Two workers' worth of mail waits all the time.
            wanted.slots = 400;
            let mut taken = Vec::new();
            for step in 0..STEPS * 5 / 4 {
                let now = start() + (window_s * 1_000 * step / STEPS).milliseconds();
                database.set_now(now).await;
                let granted = store.reserve(&[wanted.clone()], now).await.unwrap().remove(0);
                let now_us = (now - start()).total(jiff::Unit::Microsecond).unwrap();
                taken.extend(granted.at_us.iter().map(|at| now_us + f64::from(i32::try_from(*at).unwrap())));
                if step % 40 == 0 {
                    // It dies, and the next one, on a database opened anew, gets nothing that this one has used up.
                    store.close().await;
                    (store, wanted) = begun(&database, &rates).await;
                    wanted.slots = 400;
                    let more = store.reserve(&[wanted.clone()], now).await.unwrap().remove(0);
                    assert_eq!(more.at_us, [0; 0], "step {step}, {on}");
                    assert!(more.wait_us > 0, "step {step}, {on}");
                }
            }
            #[expect(
                clippy::cast_precision_loss,
                reason = "a day has fewer microseconds than a float digits"
            )]
            let window_us = (window_s * 1_000_000) as f64;
            taken.sort_unstable_by(f64::total_cmp);
            let within = |from: usize| taken[from..].partition_point(|at| *at < taken[from] + window_us);
            let most = (0..taken.len()).map(within).max().unwrap();
            assert!((quota * 98 / 100..=quota).contains(&most), "{most} within the window, {on}");
            assert!(within(0) >= quota * 98 / 100, "{} in the first, {on}", within(0));
        }
    }
}

#[tokio::test]
async fn a_refusal_counts_once_for_all_workers() {
    for database in stores().await {
        let store = &database.store;
        let refusal =
            |rate, known_at_ms| Refusal { group: "gmail".to_owned(), rate, usual: 20.0, known_at_ms };
        assert!(store.throttle(&refusal(10.0, None), start()).await.unwrap());
        assert!(!store.throttle(&refusal(9.0, None), start()).await.unwrap(), "within a second");
        let known = store.throttled(start()).await.unwrap().remove(0);
        let known_at_ms = Some(start().as_millisecond());
        assert_eq!((known.rate, known.usual, Some(known.refused_at_ms)), (10.0, 20.0, known_at_ms));
        let later = start() + 90.seconds();
        database.set_now(later).await;
        assert!(!store.throttle(&refusal(4.0, None), later).await.unwrap(), "it did not know of the first");
        assert!(store.throttle(&refusal(6.25, known_at_ms), later).await.unwrap());
        assert!(!store.throttle(&refusal(5.0, known_at_ms), later).await.unwrap(), "another was quicker");
        let much_later = later + 30.seconds();
        database.set_now(much_later).await;
        let known = store.throttled(much_later).await.unwrap();
        let found: Vec<_> = known.iter().map(|known| (known.rate, known.age.as_secs())).collect();
        assert_eq!(found, [(6.25, 30)], "{}", database.name());
        let tomorrow = much_later + 25.hours();
        database.set_now(tomorrow).await;
        assert_eq!(store.throttled(tomorrow).await.unwrap(), []);
        assert!(store.throttle(&refusal(3.0, None), tomorrow).await.unwrap(), "that is forgotten");
    }
}

#[tokio::test]
async fn workers_that_are_heard_of_are_counted() {
    for database in stores().await {
        let store = &database.store;
        let heard = async |id: &str, now| store.heartbeat(id, 15_000, 60_000, now).await.unwrap();
        assert_eq!(heard("w1", start()).await, 1);
        assert_eq!(heard("w2", start()).await, 2);
        assert_eq!(heard("w2", start()).await, 2);
        let later = start() + 20.seconds();
        database.set_now(later).await;
        assert_eq!(heard("w2", later).await, 1, "{}", database.name());
    }
}

/// The limiter with the database behind it and no mail: what it gives out in three seconds.
#[tokio::test]
#[ignore = "real time and all of a core: tests/run --faults"]
async fn five_thousand_a_second_are_met_within_two_percent() {
    const SECONDS: u32 = 4;
    for (rate, workers) in [(1.0, 1), (50.0, 2), (1_000.0, 2), (5_000.0, 1), (5_000.0, 2)] {
        for database in stores_by_their_own_clocks().await {
            let rates: Rates = toml::from_str(&format!("per_second = {rate}")).unwrap();
            let limiters: Vec<_> = (0..workers).map(|_| Arc::new(Limiter::new(&rates, []))).collect();
            let mut tasks = JoinSet::new();
            let turns = Arc::new(Mutex::new(Vec::new()));
            for limiter in &limiters {
                tasks.spawn(reserve(Arc::clone(limiter), database.store.clone()));
                for _ in 0..200 {
                    let (limiter, turns) = (Arc::clone(limiter), Arc::clone(&turns));
                    tasks.spawn(async move {
                        loop {
                            limiter.global_turn().await;
                            turns.lock().unwrap().push(Instant::now());
                            tokio::task::yield_now().await;
                        }
                    });
                }
            }
            let begun = Instant::now();
            let enough = || {
                turns
                    .lock()
                    .unwrap()
                    .first()
                    .is_some_and(|first| first.elapsed().as_secs() > u64::from(SECONDS))
            };
            while !enough() && begun.elapsed().as_secs() < 60 {
                tokio::task::yield_now().await;
            }
            tasks.shutdown().await;
            let mut turns = std::mem::take(&mut *turns.lock().unwrap());
            turns.sort_unstable();
            // After the first second, in which slots are asked for one after the other.
            let turns = &turns[turns.partition_point(|at| *at < turns[0] + Duration::from_millis(900))..];
            let number = f64::from(u32::try_from(turns.len() - 1).unwrap());
            let found = number / (turns[turns.len() - 1] - turns[0]).as_secs_f64();
            eprintln!("{rate}/s stated, {found:.3}/s on {}, {workers} workers", database.name());
            assert!((found / rate - 1.0).abs() < 0.02, "{found} of {rate} on {}", database.name());
        }
    }
}

async fn stores_by_their_own_clocks() -> Vec<Database> {
    let all = Database::empty_of_each_kind().await;
    for database in &all {
        database.store.migrate(Clock::System.now()).await.unwrap();
    }
    all
}

/// What a worker does to have slots.
async fn reserve(limiter: Arc<Limiter>, store: Store) {
    loop {
        let round = tokio::time::timeout(Duration::from_millis(100), limiter.asked());
        let _ = round.await;
        let wants = limiter.wants();
        let granted = store.reserve(&wants, Clock::System.now()).await.unwrap();
        wants.iter().zip(&granted).for_each(|(want, granted)| limiter.grant(&want.key, granted));
        let _ = tokio::time::timeout(Duration::from_millis(10), std::future::pending::<()>()).await;
    }
}
