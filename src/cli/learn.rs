//! `bespoke learn`: from what happened to what is shown next.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use indicatif::ProgressBar;
use indicatif::ProgressStyle;
use jiff::Timestamp;
use serde_json::Value;

use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::cli::say::say;
use crate::config::Config;
use crate::event::Event;
use crate::event::name::ORDER_COMPLETED;
use crate::learn::clv::FitError;
use crate::learn::clv::purchases::Day;
use crate::learn::items::Purchases;
use crate::learn::orders::OrderBook;
use crate::learn::teach::Taught;
use crate::learn::teach::teach;
use crate::learn::value::VALUE_MODEL;
use crate::learn::value::ValueModel;
use crate::store::Arrival;
use crate::store::Neighbour;
use crate::store::Store;
use crate::store::StoredModel;
use crate::words::counted;
use crate::words::noun;
use crate::worker::assemble;
use crate::worker::assemble::POPULARITY_MODEL;

/// Events of one page.
const PAGE_ROWS: usize = 5_000;
/// Popularity lists and value models that are kept, the newest.
const VERSIONS_MAX: usize = 10;

/// Learns from what happened: which products go together, what sells now, and what becomes of which mail.
#[derive(Debug, Args)]
pub struct Learn {}

/// What was learnt of products.
#[derive(Debug, Clone, Copy)]
pub struct Learnt {
    /// Order lines that were read.
    pub order_lines: u64,
    /// Pairs of products that go together.
    pub neighbours: usize,
    /// Products with a popularity.
    pub popular: usize,
}

/// Every order, in the forms that are learnt from.
#[derive(Debug)]
pub struct Sales {
    /// Who bought which product.
    pub purchases: Purchases,
    /// Who ordered when, for how much.
    pub orders: OrderBook,
    /// Order lines that were read.
    pub order_lines: u64,
}

/// All that was learnt.
#[derive(Debug)]
pub struct AllLearnt {
    /// Of products.
    pub items: Learnt,
    /// Of mails; `None` where no campaign learns.
    pub policy: Option<Taught>,
    /// Of customers, or why not.
    pub value: Result<ValueModel, FitError>,
}

impl Learn {
    #[expect(clippy::unused_self, reason = "every role has the same shape")]
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        block_on(async {
            let store = context.existing_store().await?;
            let bar = fitting_bar()?;
            let learnt = learn_watched(&store, &context.config, context.clock.now(), &bar).await?;
            bar.finish_and_clear();
            say!(
                "read {}: {} of products that go together, {} with a popularity",
                counted(learnt.items.order_lines, "order line"),
                counted(learnt.items.neighbours, "pair"),
                counted(learnt.items.popular, "product")
            );
            if learnt.items.order_lines == 0 {
                say!("import purchases first: `bespoke import events FILE`");
            }
            match &learnt.value {
                Ok(model) => say!("{}", model.told()),
                Err(why) => say!("what customers are worth is not known: {why}"),
            }
            match &learnt.policy {
                Some(taught) => tell(taught),
                None => say!("no campaign has `policy = \"thompson\"`: there is no policy to teach"),
            }
            store.close().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Everything that can be learnt, from all that happened up to `now`.
pub async fn learn_all(store: &Store, config: &Config, now: Timestamp) -> anyhow::Result<AllLearnt> {
    learn_watched(store, config, now, &ProgressBar::hidden()).await
}

async fn learn_watched(
    store: &Store,
    config: &Config,
    now: Timestamp,
    bar: &ProgressBar,
) -> anyhow::Result<AllLearnt> {
    let catalog = assemble::catalog(config)?;
    let sales = read_sales(store, config.minor_digits(), now).await?;
    let policy = teach(store, &catalog, &sales.orders, now).await.context("the policy learnt nothing")?;
    if let Some(alarm) = policy.as_ref().and_then(Taught::alarm) {
        tracing::error!("{alarm}");
    }
    let value = learn_value(store, sales.orders.days(now), now).await?;
    let items = learn_items_watched(store, sales, now, bar).await?;
    Ok(AllLearnt { items, policy, value })
}

/// Fits what customers are worth; what cannot be fitted leaves the model there was.
async fn learn_value(
    store: &Store,
    days: BTreeMap<String, BTreeMap<Day, f64>>,
    now: Timestamp,
) -> anyhow::Result<Result<ValueModel, FitError>> {
    let fitted = tokio::task::spawn_blocking(move || ValueModel::fit(days, now)).await?;
    if let Ok(model) = &fitted {
        let stored = StoredModel {
            kind: VALUE_MODEL.to_owned(),
            version: now.to_string(),
            created_at: now,
            body: serde_json::to_string(model)?,
        };
        store.put_model(&stored).await?;
        store.prune_models(VALUE_MODEL, VERSIONS_MAX).await?;
    }
    Ok(fitted)
}

fn tell(taught: &Taught) {
    let fit = &taught.fit;
    let open = fit.click.open.max(fit.purchase.open).max(fit.unsubscribe.open);
    say!(
        "read {} and page views of learning campaigns: {} taught about clicks for good, {} about purchases, {} about \
         unsubscribes; {open} may still be answered",
        counted(taught.sends, "mail"),
        fit.click.absorbed,
        fit.purchase.absorbed,
        fit.unsubscribe.absorbed
    );
    if taught.unreadable > 0 {
        let (mails, were) = (counted(taught.unreadable, "mail"), noun(taught.unreadable, "was"));
        say!("{mails} {were} left out: what they showed is not known any more");
    }
    match &taught.published {
        Some(version) => say!("published policy model {version}; workers take it within seconds"),
        None => say!("nothing is new: the policy model stays"),
    }
    if let Some(alarm) = taught.alarm() {
        say!("ALARM: {alarm}; look at `bespoke model show`, and at `bespoke model rollback`");
    }
}

/// Reads every order. `digits`: how many the currency has behind the point.
pub async fn read_sales(store: &Store, digits: u32, now: Timestamp) -> anyhow::Result<Sales> {
    let mut sales = Sales { purchases: Purchases::until(now), orders: OrderBook::default(), order_lines: 0 };
    let mut after = Arrival::default();
    loop {
        let page = store.events_after(&[ORDER_COMPLETED], after, PAGE_ROWS).await?;
        let Some((last, _)) = page.last() else { return Ok(sales) };
        after = *last;
        for event in page.iter().filter_map(|(_, event)| event.as_ref()) {
            sales.orders.take(event, digits);
            for item in products_of(event) {
                sales.purchases.add(event.profile.as_str(), item, event.at);
                sales.order_lines += 1;
            }
        }
    }
}

/// Fits what recommendations read, and replaces what was there.
pub async fn learn_items(store: &Store, sales: Sales, now: Timestamp) -> anyhow::Result<Learnt> {
    learn_items_watched(store, sales, now, &ProgressBar::hidden()).await
}

async fn learn_items_watched(
    store: &Store,
    sales: Sales,
    now: Timestamp,
    bar: &ProgressBar,
) -> anyhow::Result<Learnt> {
    let (purchases, bar) = (sales.purchases, bar.clone());
    tracing::info!("fitting what goes together");
    // Minutes of arithmetic for thousands of products: not on a thread that mails wait for.
    let fit = tokio::task::spawn_blocking(move || purchases.fit(&|done, of| advance(&bar, done, of))).await?;
    let learnt = Learnt {
        order_lines: sales.order_lines,
        neighbours: fit.neighbours.len(),
        popular: fit.popular.len(),
    };
    let neighbours: Vec<Neighbour> = fit
        .neighbours
        .into_iter()
        .map(|(product, neighbour, score)| Neighbour { product, neighbour, score })
        .collect();
    store.replace_neighbours(&neighbours).await?;
    let model = StoredModel {
        kind: POPULARITY_MODEL.to_owned(),
        version: now.to_string(),
        created_at: now,
        body: serde_json::to_string(&fit.popular)?,
    };
    store.put_model(&model).await?;
    store.prune_models(POPULARITY_MODEL, VERSIONS_MAX).await?;
    Ok(learnt)
}

/// A bar for fitting what goes together, drawn where somebody looks.
pub(super) fn fitting_bar() -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("fitting what goes together {bar:30} {percent} %, {eta} left")?;
    Ok(ProgressBar::new(0).with_style(style))
}

/// Moves a bar to `done` of `of`.
pub(super) fn advance(bar: &ProgressBar, done: usize, of: usize) {
    bar.set_length(of as u64);
    bar.set_position(done as u64);
}

/// The products of an order, whether the event is the whole order or one line of it.
fn products_of(event: &Event) -> Vec<&str> {
    match event.properties.get("products").and_then(Value::as_array) {
        Some(lines) => lines.iter().filter_map(|line| line.get("product_id")?.as_str()).collect(),
        None => event.properties.get("product_id").and_then(Value::as_str).into_iter().collect(),
    }
}
