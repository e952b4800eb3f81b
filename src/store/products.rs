//! What may be shown and bought.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;

use super::Error;
use super::Store;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::Rows;
use super::batch::args;
use crate::product::Product;

#[derive(Serialize)]
struct NewRow<'a> {
    id: &'a str,
    body: String,
}

impl Store {
    /// Adds products; a known id is replaced as a whole. Returns how many were new or differ from before. Of an id
    /// that stands twice in `products`, the last counts.
    pub async fn upsert_products(&self, products: &[Product], now: Timestamp) -> Result<u64, Error> {
        let mut changed = 0;
        let mut tx = self.pools.begin().await?;
        for chunk in products.chunks(ROWS_PER_STATEMENT_MAX) {
            let newest: HashMap<&str, &Product> =
                chunk.iter().map(|product| (product.id.as_str(), product)).collect();
            let mut rows: Vec<NewRow<'_>> = newest.into_values().map(NewRow::of).collect();
            rows.sort_by_key(|row| row.id);
            changed += tx
                .run(
                    "insert into products (id, body, updated_at)
                     select value->>'id', value->>'body', $2 from {rows} where true
                     on conflict (id) do update set body = excluded.body, updated_at = excluded.updated_at
                       where products.body <> excluded.body",
                    args![Rows::of(&rows), now],
                )
                .await?;
        }
        tx.commit().await?;
        Ok(changed)
    }

    /// All products, by id in byte order.
    pub async fn all_products(&self) -> Result<Vec<Product>, Error> {
        let rows: Vec<(String, String)> =
            self.pools.all("select id, body from products order by id", args![]).await?;
        rows.iter().map(|(id, body)| read(id, body)).collect()
    }

    /// The known ones of these products, by id.
    pub async fn products(&self, ids: &[&str]) -> Result<HashMap<String, Product>, Error> {
        let mut found = HashMap::with_capacity(ids.len());
        for chunk in ids.chunks(ROWS_PER_STATEMENT_MAX) {
            let keys: Vec<[&str; 1]> = chunk.iter().map(|id| [*id]).collect();
            let rows: Vec<(String, String)> = self
                .pools
                .all(
                    "select id, body from products where id in (select value->>0 from {rows})",
                    args![Rows::of(&keys)],
                )
                .await?;
            for (id, body) in rows {
                let product = read(&id, &body)?;
                found.insert(id, product);
            }
        }
        Ok(found)
    }
}

impl<'a> NewRow<'a> {
    fn of(product: &'a Product) -> Self {
        let body = serde_json::to_string(product).expect("a product has a JSON form");
        Self { id: &product.id, body }
    }
}

fn read(id: &str, body: &str) -> Result<Product, Error> {
    serde_json::from_str(body).map_err(|fault| Error::unreadable("products", id, fault))
}
