//! Who the demonstration's customers are, and what they did: drawn from a seed, the same on every machine.

use jiff::SignedDuration;
use jiff::Timestamp;
use rand::Rng;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::products;
use crate::event::Event;
use crate::event::name;
use crate::profile::Consent;
use crate::profile::EmailAddress;
use crate::profile::Profile;
use crate::profile::ProfileId;

const FIRST_NAMES: &[&str] = &[
    "Ada", "Ben", "Chiara", "Dan", "Elif", "Femi", "Grace", "Hugo", "Ines", "Jonas", "Kaya", "Leo", "Maya",
    "Noor", "Oskar", "Priya", "Quinn", "Rosa", "Sam", "Tomás", "Uma", "Vera", "Will", "Xenia", "Yusuf",
    "Zoë",
];
/// Locale, zone, country and how many of a hundred.
const PLACES: &[(&str, &str, &str, u32)] = &[
    ("en-GB", "Europe/London", "GB", 62),
    ("en-IE", "Europe/Dublin", "IE", 8),
    ("de-DE", "Europe/Berlin", "DE", 16),
    ("de-AT", "Europe/Vienna", "AT", 4),
    ("en-US", "America/New_York", "US", 10),
];

/// How a customer behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    SignedUp,
    Reads,
    Weighs,
    FillsCarts,
    Buys,
}

/// Habits and how many of a hundred have them.
const HABITS: &[(Habit, u32)] = &[
    (Habit::SignedUp, 16),
    (Habit::Reads, 20),
    (Habit::Weighs, 17),
    (Habit::FillsCarts, 12),
    (Habit::Buys, 35),
];
/// Days between two orders of who buys at the usual rate.
const DAYS_BETWEEN_ORDERS: f64 = 25.0;
/// Orders of one person, at most.
const ORDERS_MAX: usize = 60;

/// `count` people and all that they did before `now`.
pub fn people(count: usize, now: Timestamp, seed: u64) -> (Vec<Profile>, Vec<Event>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut profiles = Vec::with_capacity(count);
    let mut events = Vec::with_capacity(count * 12);
    for number in 0..count {
        let person = person(&mut rng, number, now);
        let habit = pick(&mut rng, HABITS);
        let mut deeds = Deeds { rng: &mut rng, profile: &person, now, events: Vec::new() };
        deeds.live(habit);
        events.append(&mut deeds.events);
        profiles.push(person);
    }
    (profiles, events)
}

fn pick<T: Copy>(rng: &mut impl Rng, table: &[(T, u32)]) -> T {
    let mut at = rng.random_range(0..table.iter().map(|(_, share)| share).sum::<u32>());
    for (value, share) in table {
        if at < *share {
            return *value;
        }
        at -= share;
    }
    table[0].0
}

fn person(rng: &mut impl Rng, number: usize, now: Timestamp) -> Profile {
    let first_name = FIRST_NAMES[rng.random_range(0..FIRST_NAMES.len())];
    let places: Vec<(usize, u32)> = PLACES.iter().enumerate().map(|(i, place)| (i, place.3)).collect();
    let (locale, zone, country, _) = PLACES[pick(rng, &places)];
    let consent = match rng.random_range(0..100) {
        0..5 => Consent::Unknown,
        5..8 => Consent::Withdrawn,
        _ => Consent::Granted,
    };
    let days = if rng.random_range(0..100) < 4 { 1 } else { rng.random_range(5..700) };
    let created_at = now - SignedDuration::from_hours(24 * days);
    let mut traits = Map::from_iter([
        ("first_name".to_owned(), json!(first_name)),
        ("country".to_owned(), json!(country)),
    ]);
    if rng.random_range(0..100) < 40 {
        let (year, month, day) =
            (rng.random_range(1955..2006), rng.random_range(1..=12), rng.random_range(1..=28));
        traits.insert("birthday".to_owned(), json!(format!("{year}-{month:02}-{day:02}")));
    }
    let id = ProfileId::parse(&format!("c-{number:05}")).expect("letters and digits");
    let host = ["example.com", "example.net", "example.org", "mail.example"][rng.random_range(0..4)];
    let address = EmailAddress::parse(&format!("customer{number}@{host}")).ok();
    Profile {
        id,
        address,
        traits,
        locale: Some(locale.to_owned()),
        time_zone: Some(zone.to_owned()),
        consent,
        created_at,
        updated_at: created_at,
    }
}

struct Deeds<'a, R> {
    rng: &'a mut R,
    profile: &'a Profile,
    now: Timestamp,
    events: Vec<Event>,
}

impl<R: Rng> Deeds<'_, R> {
    fn live(&mut self, habit: Habit) {
        let joined = self.now.duration_since(self.profile.created_at).as_secs_f64() / 3_600.0;
        self.does(name::SIGNED_UP, joined, json!({}));
        let taste = self.rng.random_range(0..products::count());
        match habit {
            Habit::SignedUp => self.looks_at(taste, 2, 24.0 * 60.0),
            Habit::Reads => {
                for _ in 0..self.rng.random_range(2..7) {
                    let hours = self.rng.random_range(2.0..24.0 * 20.0);
                    self.does(name::ARTICLE_VIEWED, hours, json!({ "category": products::category(taste) }));
                }
                self.looks_at(taste, 2, 24.0 * 10.0);
            }
            Habit::Weighs => {
                self.looks_at(taste, 6, 24.0 * 7.0);
                for step in 0..self.rng.random_range(2..5) {
                    let hours = self.rng.random_range(2.0..24.0 * 6.0);
                    self.does(
                        name::PRODUCT_COMPARED,
                        hours,
                        json!({ "product_id": products::id(taste + step) }),
                    );
                }
                if self.rng.random_range(0..100) < 40 {
                    let hours = self.rng.random_range(2.0..24.0 * 6.0);
                    self.does(
                        name::PRODUCT_ADDED_TO_WISHLIST,
                        hours,
                        json!({ "product_id": products::id(taste) }),
                    );
                }
            }
            Habit::FillsCarts => {
                self.looks_at(taste, 4, 24.0 * 5.0);
                let hours = self.rng.random_range(5.0..30.0);
                for item in [taste, taste + 5] {
                    self.adds(item, hours);
                }
                if self.rng.random_range(0..100) < 50 {
                    self.does(name::CHECKOUT_STARTED, hours - 0.2, json!({}));
                }
            }
            Habit::Buys => {
                if self.orders(taste, joined) {
                    self.looks_at(taste, 3, 24.0 * 14.0);
                }
            }
        }
    }

    /// Orders as shops see them, which is as the model of customers' value has it (Fader, Hardie and Lee 2005): everybody
    /// has a rate of their own, waits at random, and may be gone after any order but the first. Whether they still come.
    fn orders(&mut self, taste: usize, joined_hours: f64) -> bool {
        let mut days_ago = joined_hours / 24.0 * self.rng.random_range(0.0..1.0_f64).sqrt();
        let rate = f64::midpoint(self.wait(), self.wait()).max(0.01);
        let days_between = DAYS_BETWEEN_ORDERS / rate;
        // The least of three is often near 0: some never leave.
        let leaves = (0..3).map(|_| self.rng.random_range(0.0..1.0_f64)).fold(1.0, f64::min);
        for order in 0..ORDERS_MAX {
            if days_ago < 0.5 {
                break;
            }
            self.buys(taste + order % 3, 24.0 * days_ago);
            if order > 0 && self.rng.random_range(0.0..1.0) < leaves {
                return false;
            }
            days_ago -= days_between * self.wait();
        }
        true
    }

    /// An exponential number with mean one.
    fn wait(&mut self) -> f64 {
        -(1.0 - self.rng.random_range(0.0..1.0_f64)).max(1e-9).ln()
    }

    fn looks_at(&mut self, taste: usize, times: usize, within_hours: f64) {
        for _ in 0..self.rng.random_range(1..=times) {
            let product = taste + [0, 0, 1, 3][self.rng.random_range(0..4)];
            let hours = self.rng.random_range(1.0..within_hours.max(2.0));
            let properties =
                json!({ "product_id": products::id(product), "category": products::category(product) });
            self.does(name::PRODUCT_VIEWED, hours, properties);
        }
    }

    fn adds(&mut self, product: usize, hours: f64) {
        let price = price(product);
        self.does(
            name::PRODUCT_ADDED,
            hours,
            json!({ "product_id": products::id(product), "quantity": 1, "price": price }),
        );
    }

    fn buys(&mut self, product: usize, hours: f64) {
        let (name, properties) = order(self.rng, product);
        self.does(&name, hours, Value::Object(properties));
    }

    fn does(&mut self, name: &str, hours_ago: f64, properties: Value) {
        let at = self.now - SignedDuration::from_secs_f64(hours_ago.max(0.01) * 3_600.0);
        let at = at.max(self.profile.created_at);
        let Value::Object(properties) = properties else { return };
        self.events.push(Event {
            id: format!("{}-{}", self.profile.id, self.events.len()),
            profile: self.profile.id.clone(),
            name: name.to_owned(),
            at,
            properties,
        });
    }
}

/// The name and properties of an order of one to three lines; things that go together are often bought together.
pub(super) fn order(rng: &mut impl Rng, product: usize) -> (String, Map<String, Value>) {
    let product = product % products::count();
    let mut lines = vec![product];
    let partner = products::PAIRS.iter().find(|(first, _)| *first == product).map(|(_, second)| *second);
    if let Some(partner) = partner.filter(|_| rng.random_range(0..100) < 60) {
        lines.push(partner);
    }
    if rng.random_range(0..100) < 25 {
        lines.push(rng.random_range(0..products::count()));
    }
    lines.dedup();
    let total: f64 = lines.iter().map(|line| price(*line)).sum();
    let order_id = format!("BS-{:06}", rng.random_range(100_000..1_000_000));
    let line = |line: usize| {
        json!({
            "product_id": products::id(line),
            "name": products::name(line),
            "quantity": 1,
            "price": price(line),
        })
    };
    let lines: Vec<Value> = lines.into_iter().map(line).collect();
    let properties = Map::from_iter([
        ("order_id".to_owned(), json!(order_id)),
        ("products".to_owned(), Value::Array(lines)),
        ("total".to_owned(), json!(total)),
    ]);
    (name::ORDER_COMPLETED.to_owned(), properties)
}

/// Major units, as events carry them.
fn price(product: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a price in pence is far below 2⁵³")]
    let price = products::price_minor(product) as f64 / 100.0;
    price
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::clv::BgNbd;
    use crate::learn::clv::back_test::back_test;
    use crate::learn::clv::purchases::Purchases;
    use crate::learn::orders::OrderBook;

    /// The report of customers' value must have something to show: its back-test tells the truth of whatever it is given.
    #[test]
    fn the_models_of_customer_value_fit_the_demonstrations_people() {
        for seed in [1, 2, 3] {
            let now: Timestamp = "2026-03-03T09:45:00Z".parse().unwrap();
            let (_, events) = people(2_000, now, seed);
            let mut book = OrderBook::default();
            let orders = events.iter().filter(|event| event.name == name::ORDER_COMPLETED);
            orders.for_each(|event| book.take(event, 2));
            let purchases = Purchases::of_days(book.days(now).into_iter());
            let (first, end) = purchases.span().unwrap();
            let split = end - (end - first) / 4;
            let customers = purchases.customers.iter();
            let known: Vec<_> = customers.filter_map(|one| one.summary(split, 7.0, true)).collect();
            let model = BgNbd::fit(&known).unwrap().model;
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let test = back_test((&model, None), &purchases, (split, end), 7.0, (0.95, 200), &mut rng);
            let factor = test.purchases.correction_factor.unwrap();
            assert!((0.75..1.33).contains(&factor), "{seed}: {:?}", test.purchases);
            let saved = test.error_saved.unwrap();
            assert!(saved.low > 0.0, "{seed}: better than everybody's own past rate: {saved:?}");
        }
    }
}
