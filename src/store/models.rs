//! What was learnt: fitted models, and what goes well with a product.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;

use super::Error;
use super::Store;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::Rows;
use super::batch::args;
use super::secrets;
use crate::clock::from_millisecond;

/// A fitted model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredModel {
    /// What it is for: `policy`, `value` …
    pub kind: String,
    /// Its name within the kind; decisions name it.
    pub version: String,
    /// When it was fitted.
    pub created_at: Timestamp,
    /// The model as JSON; empty in lists.
    pub body: String,
}

/// What goes well with a product.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbour {
    /// The product.
    pub product: String,
    /// What goes well with it.
    pub neighbour: String,
    /// How well; more is better.
    pub score: f64,
}

#[derive(sqlx::FromRow)]
struct ModelRow {
    kind: String,
    version: String,
    created_at: i64,
    body: String,
}

#[derive(Serialize)]
struct NeighbourRow<'a> {
    product: &'a str,
    neighbour: &'a str,
    score: f64,
}

impl From<ModelRow> for StoredModel {
    fn from(row: ModelRow) -> Self {
        Self {
            kind: row.kind,
            version: row.version,
            created_at: from_millisecond(row.created_at),
            body: row.body,
        }
    }
}

impl Store {
    /// Adds a model, or replaces the one of the same kind and version.
    pub async fn put_model(&self, model: &StoredModel) -> Result<(), Error> {
        self.pools
            .run(
                "insert into models (kind, version, created_at, body) values ($1, $2, $3, $4)
                 on conflict (kind, version) do update set created_at = excluded.created_at, body = excluded.body",
                args![&model.kind, &model.version, model.created_at, &model.body],
            )
            .await?;
        Ok(())
    }

    /// The newest model of a kind.
    pub async fn newest_model(&self, kind: &str) -> Result<Option<StoredModel>, Error> {
        let row: Option<ModelRow> = self
            .pools
            .first(
                "select kind, version, created_at, body from models where kind = $1
                 order by created_at desc, version desc limit 1",
                args![kind],
            )
            .await?;
        Ok(row.map(StoredModel::from))
    }

    /// The version of the newest model of a kind: cheap enough to ask every few seconds.
    pub async fn newest_model_version(&self, kind: &str) -> Result<Option<String>, Error> {
        let row: Option<(String,)> = self
            .pools
            .first(
                "select version from models where kind = $1 order by created_at desc, version desc limit 1",
                args![kind],
            )
            .await?;
        Ok(row.map(|(version,)| version))
    }

    /// Deletes all but the newest `keep` models of a kind.
    pub async fn prune_models(&self, kind: &str, keep: usize) -> Result<u64, Error> {
        self.pools
            .run(
                "delete from models where kind = $1 and version not in (
                   select version from models where kind = $1 order by created_at desc, version desc limit $2
                 )",
                args![kind, keep],
            )
            .await
    }

    /// Keeps what the variants of a catalogue are, by its version; what is known already is not written.
    pub async fn put_catalog_traits(&self, version: &str, traits: &str) -> Result<(), Error> {
        self.pools
            .run(
                "insert into catalogs (version, traits) values ($1, $2) on conflict (version) do nothing",
                args![version, traits],
            )
            .await?;
        Ok(())
    }

    /// What the variants of a catalogue were, as JSON.
    pub async fn catalog_traits(&self, version: &str) -> Result<Option<String>, Error> {
        let row: Option<(String,)> =
            self.pools.first("select traits from catalogs where version = $1", args![version]).await?;
        Ok(row.map(|(traits,)| traits))
    }

    /// One model.
    pub async fn model(&self, kind: &str, version: &str) -> Result<Option<StoredModel>, Error> {
        let row: Option<ModelRow> = self
            .pools
            .first(
                "select kind, version, created_at, body from models where kind = $1 and version = $2",
                args![kind, version],
            )
            .await?;
        Ok(row.map(StoredModel::from))
    }

    /// All models without their bodies, newest first. Secrets are none.
    pub async fn list_models(&self) -> Result<Vec<StoredModel>, Error> {
        let rows: Vec<ModelRow> = self
            .pools
            .all(
                "select kind, version, created_at, '' as body from models where kind <> $1
                 order by created_at desc, kind, version desc",
                args![secrets::KIND],
            )
            .await?;
        Ok(rows.into_iter().map(StoredModel::from).collect())
    }

    /// Replaces all neighbours at once: readers see the old ones or the new ones. Of a pair that stands twice, one
    /// counts.
    pub async fn replace_neighbours(&self, neighbours: &[Neighbour]) -> Result<(), Error> {
        let mut tx = self.pools.begin().await?;
        tx.run("delete from neighbours", args![]).await?;
        for chunk in neighbours.chunks(ROWS_PER_STATEMENT_MAX) {
            let rows: Vec<NeighbourRow<'_>> = chunk
                .iter()
                .map(|pair| NeighbourRow {
                    product: &pair.product,
                    neighbour: &pair.neighbour,
                    score: pair.score,
                })
                .collect();
            tx.run(
                "insert into neighbours (product_id, neighbour_id, score)
                 select value->>'product', value->>'neighbour', cast(value->>'score' as double precision)
                 from {rows} where true
                 on conflict (product_id, neighbour_id) do nothing",
                args![Rows::of(&rows)],
            )
            .await?;
        }
        tx.commit().await
    }

    /// The neighbours of these products, by product, best first.
    pub async fn neighbours_of(&self, products: &[&str]) -> Result<HashMap<String, Vec<Neighbour>>, Error> {
        let mut found: HashMap<String, Vec<Neighbour>> = HashMap::new();
        for chunk in products.chunks(ROWS_PER_STATEMENT_MAX) {
            let keys: Vec<[&str; 1]> = chunk.iter().map(|id| [*id]).collect();
            let rows: Vec<(String, String, f64)> = self
                .pools
                .all(
                    "select product_id, neighbour_id, score from neighbours
                     where product_id in (select value->>0 from {rows})
                     order by product_id, score desc, neighbour_id",
                    args![Rows::of(&keys)],
                )
                .await?;
            for (product, neighbour, score) in rows {
                found.entry(product.clone()).or_default().push(Neighbour { product, neighbour, score });
            }
        }
        Ok(found)
    }

    /// All neighbours, by product, best first: for a worker that keeps them in memory.
    pub async fn all_neighbours(&self) -> Result<Vec<Neighbour>, Error> {
        let rows: Vec<(String, String, f64)> = self
            .pools
            .all(
                "select product_id, neighbour_id, score from neighbours
                 order by product_id, score desc, neighbour_id",
                args![],
            )
            .await?;
        Ok(rows
            .into_iter()
            .map(|(product, neighbour, score)| Neighbour { product, neighbour, score })
            .collect())
    }
}
