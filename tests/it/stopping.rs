//! A service that is told to stop while its leader plans and learns: it ends at once, and nothing is half done.

use std::io::BufRead as _;
use std::io::BufReader;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;
use std::time::Instant;

use bespoke::event::Event;
use bespoke::store::SendFilter;
use bespoke::store::Store;
use bespoke::worker::assemble::POPULARITY_MODEL;
use serde_json::json;

use crate::support::given;
use crate::support::live::Live;
use crate::support::live::PATIENCE;
use crate::support::live::Running;

/// People, each with an order, and so with a receipt to be planned.
const PEOPLE: usize = 8_000;
/// Products: so many that fitting what goes together takes minutes here.
const PRODUCTS: usize = 2_500;
/// What "at once" is; what is being worked on takes longer by far.
const PROMPTLY: Duration = Duration::from_secs(20);

/// A service that also works, and what it says.
struct Service {
    process: Running,
    log: mpsc::Receiver<String>,
}

impl Service {
    fn start(live: &Live, learn_every_minutes: &str) -> Self {
        let mut command = live.bespoke();
        command
            .args(["serve", "--work", "--listen", "127.0.0.1:0", "-v"])
            .env("BESPOKE_WORKER__PLAN_EVERY_SECONDS", "1")
            .env("BESPOKE_WORKER__LEARN_EVERY_MINUTES", learn_every_minutes);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, log) = mpsc::channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { process: Running(child), log }
    }

    fn says(&self, words: &str) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.log.recv_timeout(PATIENCE).is_ok_and(|line| line.contains(words)) {
                return;
            }
        }
        panic!("it never says {words:?}");
    }

    /// Tells it to stop, and wants that it does at once.
    fn stops(mut self) {
        self.process.signal("TERM");
        let told = Instant::now();
        assert_eq!(self.process.ends(), Some(0));
        let took = told.elapsed();
        eprintln!("it ended {took:?} after it was told");
        assert!(took < PROMPTLY, "{took:?}");
    }
}

async fn given_orders(store: &Store) {
    let now = bespoke::clock::Clock::System.now();
    let all: Vec<usize> = (0..PEOPLE).collect();
    for chunk in all.chunks(1_000) {
        let people: Vec<_> = chunk.iter().map(|n| given::profile(&format!("p{n}"))).collect();
        store.upsert_profiles(&people, now).await.unwrap();
        let order = |n: &usize| {
            let products: Vec<_> =
                [n % PRODUCTS, (n * 7 + 1) % PRODUCTS].map(|p| json!({"product_id": format!("q{p}")})).into();
            let properties = json!({"order_id": format!("A-{n}"), "products": products});
            let properties = properties.as_object().unwrap().clone();
            let name = "Order Completed".to_owned();
            Event { id: format!("o{n}"), profile: given::id(&format!("p{n}")), name, at: now, properties }
        };
        store.insert_events(&chunk.iter().map(order).collect::<Vec<_>>()).await.unwrap();
    }
}

async fn planned(store: &Store) -> usize {
    store.sends(&SendFilter::default(), None, PEOPLE + 1).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_told_to_stop_while_it_plans_and_learns_ends_at_once_and_leaves_nothing_half_done()
{
    for mut live in Live::on_each_database("[rates]\nper_second = 1\n").await {
        let name = live.database.name();
        live.serve(0.0, &[]);
        let store = live.store();
        given_orders(store).await;

        let planning = Service::start(&live, "0");
        let begun = Instant::now();
        while store.sends(&SendFilter::default(), None, 1).await.unwrap().is_empty() {
            assert!(begun.elapsed() < PATIENCE, "nothing is planned on {name}");
        }
        planning.stops();
        let count = planned(store).await;
        assert!(count > 0 && count < PEOPLE, "{count} were planned before it ended, on {name}");

        let learning = Service::start(&live, "1");
        learning.says("fitting what goes together");
        learning.stops();
        assert_eq!(store.newest_model(POPULARITY_MODEL).await.unwrap(), None, "{name}");
        assert!(store.neighbours_of(&["q0", "q1", "q7"]).await.unwrap().is_empty(), "{name}");

        let last = Service::start(&live, "0");
        let begun = Instant::now();
        while planned(store).await < PEOPLE {
            assert!(begun.elapsed() < PATIENCE, "not all are planned on {name}");
        }
        last.stops();
        // Every order has its receipt, and none has two.
        let mut whose: Vec<String> = store
            .sends(&SendFilter::default(), None, PEOPLE + 1)
            .await
            .unwrap()
            .into_iter()
            .map(|stored| stored.send.profile.to_string())
            .collect();
        whose.sort();
        whose.dedup();
        assert_eq!((planned(store).await, whose.len()), (PEOPLE, PEOPLE), "{name}");
    }
}
