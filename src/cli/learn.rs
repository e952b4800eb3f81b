//! `bespoke learn`: from what happened to what is shown next.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::event::Event;
use crate::event::name::ORDER_COMPLETED;
use crate::learn::items::Purchases;
use crate::store::Arrival;
use crate::store::Neighbour;
use crate::store::Store;
use crate::store::StoredModel;
use crate::worker::assemble::POPULARITY_MODEL;

/// Events of one page.
const PAGE_ROWS: usize = 5_000;

/// Fits what recommendations read: which products go together, and what sells now.
#[derive(Debug, Args)]
pub struct Learn {}

/// What was learnt.
#[derive(Debug, Clone, Copy)]
pub struct Learnt {
    /// Order lines that were read.
    pub order_lines: u64,
    /// Pairs of products that go together.
    pub neighbours: usize,
    /// Products with a popularity.
    pub popular: usize,
}

impl Learn {
    #[expect(clippy::unused_self, reason = "every role has the same shape")]
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        block_on(async {
            let store = context.store().await?;
            let learnt = learn_items(&store, context.clock.now()).await?;
            println!(
                "read {} order lines: {} pairs of products go together, {} products have a popularity",
                learnt.order_lines, learnt.neighbours, learnt.popular
            );
            if learnt.order_lines == 0 {
                println!("import purchases first: `bespoke import events FILE`");
            }
            store.close().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Reads every purchase, fits, and replaces what recommendations read.
pub async fn learn_items(store: &Store, now: Timestamp) -> anyhow::Result<Learnt> {
    let mut purchases = Purchases::until(now);
    let mut after = Arrival::default();
    let mut order_lines = 0;
    loop {
        let page = store.events_after(&[ORDER_COMPLETED], after, PAGE_ROWS).await?;
        let Some((last, _)) = page.last() else { break };
        after = *last;
        for (_, event) in &page {
            for item in products_of(event) {
                purchases.add(event.profile.as_str(), item, event.at);
                order_lines += 1;
            }
        }
    }
    let fit = purchases.fit();
    let learnt = Learnt { order_lines, neighbours: fit.neighbours.len(), popular: fit.popular.len() };
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
    Ok(learnt)
}

/// The products of an order, whether the event is the whole order or one line of it.
fn products_of(event: &Event) -> Vec<&str> {
    match event.properties.get("products").and_then(Value::as_array) {
        Some(lines) => lines.iter().filter_map(|line| line.get("product_id")?.as_str()).collect(),
        None => event.properties.get("product_id").and_then(Value::as_str).into_iter().collect(),
    }
}
