//! What mails showed: for exports, and for whoever is told of them.

use std::collections::HashMap;

use serde_json::Value;

use super::Error;
use super::Store;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::args;
use super::rewards::BODY;
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
    /// What these sends show, by send; one without a decision, or whose decision was to send nothing, has no entry, nor
    /// has one that cannot be read. Of a decision only the offer is read, so that an export of all sends stays quick.
    pub async fn shown(&self, sends: &[SendId]) -> Result<HashMap<SendId, Shown>, Error> {
        let mut found = HashMap::with_capacity(sends.len());
        let mut parts: Vec<&[SendId]> = sends.chunks(ROWS_PER_STATEMENT_MAX).collect();
        while let Some(part) = parts.pop() {
            match self.shown_rows(part).await {
                Ok(rows) => found.extend(Error::readable(rows.into_iter().map(Row::read))),
                Err(error) if error.is_transient() => return Err(error),
                Err(error) if part.len() == 1 => tracing::error!(send = %part[0], "left out: {error}"),
                // Of many, one whose JSON the database itself cannot read fails the statement: look for it.
                Err(_) => parts.extend(<[_; 2]>::from(part.split_at(part.len() / 2))),
            }
        }
        Ok(found)
    }

    async fn shown_rows(&self, sends: &[SendId]) -> Result<Vec<Row>, Error> {
        let sql = format!(
            "select s.id, d.variant, s.products, d.stage, d.slice, d.propensity, ({BODY}->'inputs')->>'offer' as offer
             from sends as s join decisions as d on d.send_seq = s.seq
             where s.id in (select value->>0 from {{rows}}) and d.variant is not null"
        );
        self.pools.all(sql, args![send_rows(sends)]).await
    }
}

impl Row {
    fn read(self) -> Result<(SendId, Shown), Error> {
        let bad = |fault: &dyn std::fmt::Display| Error::unreadable("decisions", &self.id, fault);
        let id = SendId::parse(&self.id).ok_or_else(|| bad(&"the send is not 32 hex digits"))?;
        let products = self.products.as_deref().map_or(Ok(Vec::new()), serde_json::from_str);
        let offer = self.offer.as_deref().map(serde_json::from_str).transpose();
        let shown = Shown {
            products: products.map_err(|fault| bad(&fault))?,
            offer: offer.map_err(|fault| bad(&fault))?,
            variant: VariantId::new(self.variant),
            stage: self.stage,
            slice: self.slice,
            propensity: self.propensity,
        };
        Ok((id, shown))
    }
}
