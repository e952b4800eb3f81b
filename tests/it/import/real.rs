//! Real shops' files, by the maps in tests/maps: slices always, all of it with `--ignored` (tests/run --faults).

use bespoke::history::FoldContext;
use bespoke::history::History;
use bespoke::history::fold;
use bespoke::product::ProductIndex;
use bespoke::profile::ProfileId;
use bespoke::stage::StageWeights;
use bespoke::store::Store;
use jiff::Timestamp;

use super::Desk;
use super::PEAK_KB_MAX;
use super::Run;
use super::head;
use super::map;
use crate::support::Database;
use crate::support::shared;
use crate::support::stores;

const RETAIL: &str = "online_retail/transactions_until_2011-05.csv.gz";
const JOURNEY: &str = "completejourney/transactions_sample.csv.gz";

async fn history(store: &Store, profile: &str, now: &str) -> History {
    let id = ProfileId::parse(profile).unwrap();
    let events = store.events_of(std::slice::from_ref(&id)).await.unwrap().remove(&id).unwrap_or_default();
    let context = FoldContext::new(&[], "GBP", &StageWeights::default());
    let now: Timestamp = now.parse().unwrap();
    fold(&context, &ProductIndex::default(), now, &events, &[], now)
}

#[tokio::test]
async fn a_slice_of_online_retail_loads_line_by_line() {
    let Some(file) = shared(RETAIL) else { return };
    let desk = Desk::new();
    desk.write("lines.csv", head(&file, 5_000));
    for database in stores().await {
        let (events, people) = (map("online_retail_events.toml"), map("online_retail_profiles.toml"));
        let loaded = desk.import(&database.url, &["events", "lines.csv", "--map", &events]);
        // 76 lines say the same as a line before them, and are lines all the same.
        let said = "lines.csv: 5,000 rows: 5,000 events loaded, 0 unchanged, 0 rejected; 212 profiles were new, and have no address yet";
        assert_eq!(loaded, Run::ok(said), "{}", database.name());
        let again = desk.import(&database.url, &["events", "lines.csv", "--map", &events]);
        assert_eq!(again, Run::ok("lines.csv: 5,000 rows: 0 events loaded, 5,000 unchanged, 0 rejected"));
        let profiles = desk.import(&database.url, &["profiles", "lines.csv", "--map", &people]);
        assert_eq!(profiles.code, Some(0), "{profiles:?}");
        assert_eq!(database.store.count_profiles().await.unwrap(), 212);
        let buyer = database.store.profile(&ProfileId::parse("13085").unwrap()).await.unwrap().unwrap();
        assert_eq!(buyer.address.unwrap().as_str(), "13085@example.test");
        assert_eq!(buyer.created_at.to_string(), "2009-12-01T07:45:00Z");

        let told = history(&database.store, "13085", "2009-12-03T08:00:00Z").await;
        let facts = (
            told.orders_total,
            told.spend_total,
            told.average_order_value,
            told.purchased.len(),
            told.days_since_order,
        );
        assert_eq!(facts, (2, 65_110, 32_555, 12, Some(2)));
        assert_eq!(told.events["order_completed"].count_7d, 2);
        let told = history(&database.store, "15542", "2009-12-03T08:00:00Z").await;
        assert_eq!((told.orders_total, told.spend_total), (2, 54_073));
    }
}

#[tokio::test]
async fn a_slice_of_complete_journey_loads_with_households_products_and_coupons() {
    let (Some(lines), Some(homes)) = (shared(JOURNEY), shared("completejourney/demographics.csv.gz")) else {
        return;
    };
    let (Some(products), Some(coupons)) =
        (shared("completejourney/products.csv.gz"), shared("completejourney/coupons.csv.gz"))
    else {
        return;
    };
    let desk = Desk::new();
    desk.write("lines.csv", head(&lines, 5_000));
    desk.write("products.csv", head(&products, 5_000));
    desk.write("coupons.csv", head(&coupons, 5_000));
    let database = Database::sqlite().await;
    let import = |noun: &str, file: &str| {
        desk.import(&database.url, &[noun, file, "--map", &map(&format!("completejourney_{noun}.toml"))])
    };
    let homes = homes.display().to_string();
    assert_eq!(
        import("profiles", &homes),
        Run::ok(&format!("{homes}: 801 rows: 801 profiles loaded, 0 unchanged, 0 rejected"))
    );
    let events = import("events", "lines.csv");
    assert_eq!((events.code, events.stderr.as_str()), (Some(0), ""));
    assert!(
        events.stdout.starts_with("lines.csv: 5,000 rows: 5,000 events loaded, 0 unchanged, 0 rejected; "),
        "{events:?}"
    );
    assert_eq!(
        import("products", "products.csv"),
        Run::ok(
            "products.csv: 5,000 rows: 4,997 products loaded, 0 unchanged, 3 skipped by the map, 0 rejected"
        )
    );
    assert_eq!(
        import("coupons", "coupons.csv"),
        Run::ok("coupons.csv: 5,000 rows: 5 coupons loaded, 4,995 unchanged, 0 rejected")
    );

    // Line 693 was bought at 02:06 on the morning on which New York's clocks go from 02:00 to 03:00.
    let id = ProfileId::parse("1169").unwrap();
    let bought = database.store.events_of(std::slice::from_ref(&id)).await.unwrap().remove(&id).unwrap();
    let in_gap: Vec<&bespoke::event::Event> =
        bought.iter().filter(|event| event.properties["order_id"] == "32186528050").collect();
    assert_eq!(in_gap.len(), 1);
    assert_eq!(in_gap[0].at.to_string(), "2017-03-12T07:06:30Z");
    // Households that told about themselves and those that only bought are both there.
    let households = database.store.profiles_after(None, 10_000).await.unwrap();
    let written = households.iter().filter(|profile| profile.address.is_some()).count();
    assert_eq!(written, 801);
    assert_eq!(households.iter().filter(|profile| profile.traits.contains_key("income")).count(), 801);
}

#[tokio::test]
#[ignore = "loads all 597,114 lines: minutes in a debug build; tests/run --faults runs it"]
async fn all_of_online_retail_loads() {
    let (Some(lines), Some(products)) = (shared(RETAIL), shared("online_retail/products.csv.gz")) else {
        return;
    };
    let desk = Desk::new();
    let database = Database::sqlite().await;
    let (lines, products) = (lines.display().to_string(), products.display().to_string());
    let events = ["events", &lines, "--map", &map("online_retail_events.toml")];
    let (first, peak_kb) = desk.import_and_weigh(&database.url, &events);
    assert_eq!(
        first,
        Run::ok(&format!(
            "{lines}: 597,114 rows: 597,114 events loaded, 0 unchanged, 0 rejected; 4,934 profiles were new, and have no \
             address yet"
        ))
    );
    assert!(peak_kb < PEAK_KB_MAX, "{peak_kb} KB for 597,114 rows");
    assert_eq!(
        desk.import(&database.url, &events),
        Run::ok(&format!("{lines}: 597,114 rows: 0 events loaded, 597,114 unchanged, 0 rejected"))
    );
    let catalogue = ["products", &products, "--map", &map("online_retail_products.toml")];
    assert_eq!(
        desk.import(&database.url, &catalogue),
        Run::ok(&format!("{products}: 4,816 rows: 4,816 products loaded, 0 unchanged, 0 rejected"))
    );
    assert_eq!(database.store.count_events().await.unwrap(), 597_114);
    assert_eq!(database.store.count_profiles().await.unwrap(), 4_934);
}

#[tokio::test]
#[ignore = "loads all 75,000 lines, 92,331 products and 116,204 coupons; tests/run --faults runs it"]
async fn all_of_complete_journey_loads() {
    let desk = Desk::new();
    let database = Database::sqlite().await;
    for (noun, file, expected) in [
        ("profiles", "demographics", "801 rows: 801 profiles loaded, 0 unchanged, 0 rejected"),
        (
            "events",
            "transactions_sample",
            "75,000 rows: 75,000 events loaded, 0 unchanged, 0 rejected; 1,576 profiles were new, and have no address yet",
        ),
        (
            "products",
            "products",
            "92,331 rows: 91,803 products loaded, 0 unchanged, 528 skipped by the map, 0 rejected",
        ),
        ("coupons", "coupons", "116,204 rows: 1,197 coupons loaded, 115,007 unchanged, 0 rejected"),
    ] {
        let Some(file) = shared(&format!("completejourney/{file}.csv.gz")) else { return };
        let file = file.display().to_string();
        let words = [noun, &file, "--map", &map(&format!("completejourney_{noun}.toml"))];
        assert_eq!(desk.import(&database.url, &words), Run::ok(&format!("{file}: {expected}")));
    }
    assert_eq!(database.store.count_profiles().await.unwrap(), 2_377);
}
