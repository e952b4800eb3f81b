//! What mails showed: for exports, and for whoever is told of them.

use std::collections::HashMap;

use serde_json::Value;

use super::Error;
use super::Store;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::args;
use super::sends::send_rows;
use crate::decision::VariantId;
use crate::send::SendId;

/// What one mail showed, and by which chance.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// Which variant.
    pub variant: VariantId,
    /// Product ids, in their order.
    pub products: Vec<String>,
    /// The offer that it could print, with this person's values and code; `None` where it had none.
    pub offer: Option<Value>,
    /// Where the person stood.
    pub stage: String,
    /// `policy`, `uniform` …: how the variant was drawn.
    pub slice: String,
    /// The probability with which it was drawn.
    pub propensity: f64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    variant: String,
    products: Option<String>,
    offer: Option<String>,
    stage: String,
    slice: String,
    propensity: f64,
}

impl Store {
    /// What these sends show, by send; one without a decision, or whose decision was to send nothing, has no entry. Of a
    /// decision only the offer is read, so that an export of all sends stays quick.
    pub async fn shown(&self, sends: &[SendId]) -> Result<HashMap<SendId, Shown>, Error> {
        let mut found = HashMap::with_capacity(sends.len());
        for chunk in sends.chunks(ROWS_PER_STATEMENT_MAX) {
            let rows: Vec<Row> = self
                .pools
                .all(
                    "select s.id, d.variant, s.products, d.stage, d.slice, d.propensity,
                       ((d.body){json}->'inputs')->>'offer' as offer
                     from sends as s join decisions as d on d.send_seq = s.seq
                     where s.id in (select value->>0 from {rows}) and d.variant is not null",
                    args![send_rows(chunk)],
                )
                .await?;
            for row in rows {
                let bad = |fault: &dyn std::fmt::Display| Error::unreadable("decisions", &row.id, fault);
                let id = SendId::parse(&row.id).ok_or_else(|| bad(&"the send is not 32 hex digits"))?;
                let products = row.products.as_deref().map_or(Ok(Vec::new()), serde_json::from_str);
                let offer = row.offer.as_deref().map(serde_json::from_str).transpose();
                let shown = Shown {
                    products: products.map_err(|fault| bad(&fault))?,
                    offer: offer.map_err(|fault| bad(&fault))?,
                    variant: VariantId::new(row.variant),
                    stage: row.stage,
                    slice: row.slice,
                    propensity: row.propensity,
                };
                found.insert(id, shown);
            }
        }
        Ok(found)
    }
}
