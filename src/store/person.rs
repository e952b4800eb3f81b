//! One person, in every table: what is held on them, and forgetting it.
//!
//! Which rows are a person's follows from the names of the columns, so that a new table cannot be forgotten:
//! `profile_id` names the person, `send_id` one of their mails, `address` where they read it, and `id` in `profiles`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::Value;

use super::Error;
use super::Store;
use super::aliases;
use super::batch::Rows;
use super::batch::args;
use super::connection::Accord;
use super::connection::Held;
use super::connection::Tx;
use super::dialect::Dialect;
use super::tombstones;
use super::tombstones::Named;
use crate::decision::Decision;
use crate::profile::ProfileId;

/// Columns that hold JSON as text.
const JSON_COLUMNS: [&str; 5] = ["traits", "properties", "data", "products", "body"];

/// Tries to empty the log, at most.
const LOG_TRIES_MAX: u32 = 100;
/// The time between two of them.
const LOG_RETRY: Duration = Duration::from_millis(50);

/// Every row of a person in every table, times in milliseconds since 1970.
pub type PersonRows = BTreeMap<String, Vec<Value>>;

/// What forgetting somebody did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Erased {
    /// Rows that are gone, by table.
    pub deleted: BTreeMap<String, u64>,
    /// Sends that stay, without a name, so that figures stay right.
    pub sends_kept: u64,
    /// Addresses that stay suppressed by their fingerprints.
    pub addresses: usize,
}

impl Store {
    /// Every row of a person in every table; nothing where there is none. Tables without one are left out. Of a visitor who
    /// was joined to somebody, that person's.
    pub async fn person(&self, id: &ProfileId) -> Result<PersonRows, Error> {
        let mut tx = self.pools.begin().await?;
        let id = &aliases::owner(&mut tx, id).await?;
        let addresses = addresses(&mut tx, id).await?;
        let mut found = PersonRows::new();
        for (table, columns) in tables(&mut tx).await? {
            let Some(condition) = condition(&table, &columns) else { continue };
            let object = json_object(tx.dialect(), &columns);
            let sql = format!("select {object} from {table} where {condition}");
            let rows: Vec<(String,)> = tx.all(sql, args![address_rows(&addresses), id.as_str()]).await?;
            let mut rows =
                rows.iter().map(|(text,)| readable(&table, text)).collect::<Result<Vec<_>, _>>()?;
            rows.sort_by_key(|row| (row["at"].as_i64(), row.to_string()));
            if !rows.is_empty() {
                found.insert(table, rows);
            }
        }
        Ok(found)
    }

    /// Which tables hold rows of people, and which do not.
    pub async fn tables_of_people(&self) -> Result<BTreeMap<String, bool>, Error> {
        let mut tx = self.pools.begin().await?;
        let tables = tables(&mut tx).await?.into_iter();
        Ok(tables
            .map(|(table, columns)| {
                let personal = condition(&table, &columns).is_some();
                (table, personal)
            })
            .collect())
    }

    /// Forgets a person in one transaction: every row of theirs is deleted, but sends and coupons stay under a name
    /// that says nothing; what is not yet on the wire is called off; their id and addresses are kept as fingerprints,
    /// by which they stay suppressed and are not taken in again. Then the file is cleaned of what was deleted.
    pub async fn erase(&self, id: &ProfileId, now: Timestamp) -> Result<Option<Erased>, Error> {
        let prints = self.fingerprints().await?;
        let mut tx = self.pools.begin().await?;
        let id = &aliases::owner(&mut tx, id).await?;
        tx.agree(Accord::Erasures, Held::Alone).await?;
        let addresses = addresses(&mut tx, id).await?;
        let mut erased = Erased { addresses: addresses.len(), ..Erased::default() };
        let keys = address_rows(&addresses);
        call_off(&mut tx, &keys, id, now).await?;
        for (table, columns) in tables(&mut tx).await? {
            if let Some(condition) = condition(&table, &columns)
                && !["sends", "coupons"].contains(&table.as_str())
            {
                let sql = format!("delete from {table} where {condition}");
                let count = tx.run(sql, args![keys.clone(), id.as_str()]).await?;
                erased.deleted.extend((count > 0).then_some((table, count)));
            }
        }
        // Others with the same address may have been asked about it, or have said something there.
        for sql in [
            "delete from consent_requests where address in (select value->>0 from {rows})",
            "update consents set address = null where address in (select value->>0 from {rows})",
        ] {
            tx.run(sql, args![keys.clone()]).await?;
        }
        let nobody = format!("erased:{}", uuid::Uuid::new_v4().simple());
        erased.sends_kept = rename(&mut tx, &keys, id, &nobody).await?;
        if erased.deleted.is_empty() && erased.sends_kept == 0 {
            return Ok(None);
        }
        let mut named = vec![(Named::Profile, id.as_str().to_owned())];
        named.extend(addresses.into_iter().map(|key| (Named::Address, key)));
        tombstones::add(&mut tx, prints, &named, now).await?;
        tx.commit().await?;
        self.truncate_log().await?;
        Ok(Some(erased))
    }
}

impl Store {
    /// Empties SQLite's log. Readers leave it within moments; who reads longer than that keeps it until the next time.
    pub(super) async fn truncate_log(&self) -> Result<(), Error> {
        for _ in 0..LOG_TRIES_MAX {
            if self.pools.truncate_log().await? {
                return Ok(());
            }
            tokio::time::sleep(LOG_RETRY).await;
        }
        tracing::warn!(
            "the database's log could not be emptied, because somebody reads it; what was deleted is still in it"
        );
        Ok(())
    }
}

/// The addresses of a person: their own, and those that their mail went to before, in lower case.
async fn addresses(tx: &mut Tx, id: &ProfileId) -> Result<BTreeSet<String>, Error> {
    let rows: Vec<(String,)> = tx
        .all(
            "select address_key from profiles where id = $1 and address_key is not null
             union select lower(address) from sends
             where profile_id = $1 and address is not null and to_address is null",
            args![id.as_str()],
        )
        .await?;
    Ok(rows.into_iter().map(|(key,)| key).collect())
}

fn address_rows(addresses: &BTreeSet<String>) -> Rows {
    let rows: Vec<[&str; 1]> = addresses.iter().map(|address| [address.as_str()]).collect();
    Rows::of(&rows)
}

/// All tables with their columns.
async fn tables(tx: &mut Tx) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let sql = match tx.dialect() {
        Dialect::Sqlite => {
            "select t.name, c.name from sqlite_schema as t join pragma_table_info(t.name) as c
             where t.type = 'table' and t.name not like 'sqlite_%' order by t.name, c.cid"
        }
        Dialect::Postgres => {
            "select table_name::text, column_name::text from information_schema.columns
             where table_schema = current_schema() order by table_name, ordinal_position"
        }
    };
    let rows: Vec<(String, String)> = tx.all(sql, args![]).await?;
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (table, column) in rows {
        tables.entry(table).or_default().push(column);
    }
    Ok(tables)
}

/// Which rows of a table are a person's; none where the table has nothing to do with people. `$1` holds addresses,
/// `$2` is the person.
fn condition(table: &str, columns: &[String]) -> Option<String> {
    let has = |name: &str| columns.iter().any(|column| column == name);
    // Both arguments stand in every statement, because the databases want to know their types.
    let both = "($1 <> '' and $2 <> '')";
    if table == "profiles" {
        return Some(format!("id = $2 and {both}"));
    }
    if has("profile_id") {
        return Some(format!("profile_id = $2 and {both}"));
    }
    let by_address = has("address").then_some("address in (select value->>0 from {rows})");
    let by_send = has("send_id").then_some("send_id in (select id from sends where profile_id = $2)");
    let by_either: Vec<&str> = by_address.into_iter().chain(by_send).collect();
    (!by_either.is_empty()).then(|| format!("({}) and {both}", by_either.join(" or ")))
}

/// A row as one JSON text.
fn json_object(dialect: Dialect, columns: &[String]) -> String {
    let pairs: Vec<String> = columns.iter().map(|column| format!("'{column}', {column}")).collect();
    match dialect {
        Dialect::Sqlite => format!("json_object({})", pairs.join(", ")),
        Dialect::Postgres => format!("json_build_object({})::text", pairs.join(", ")),
    }
}

/// JSON within JSON is shown as what it says.
fn readable(table: &str, text: &str) -> Result<Value, Error> {
    let unreadable =
        |fault: serde_json::Error| Error::Schema(format!("a row of {table} has no JSON form: {fault}"));
    let mut row: Value = serde_json::from_str(text).map_err(unreadable)?;
    for column in JSON_COLUMNS {
        if let Some(Value::String(inner)) = row.get(column)
            && let Ok(inner) = serde_json::from_str(inner)
        {
            row[column] = inner;
        }
    }
    // Candidates are kept in few bytes; whoever asks what is held on them reads them written out.
    if table.ends_with("decisions")
        && let Some(Ok(decision)) = row.get("body").map(Decision::deserialize)
    {
        row["body"] = serde_json::to_value(decision).map_err(unreadable)?;
    }
    Ok(row)
}

/// Calls off what is not on the wire, to the person and to whoever else has one of their addresses; nobody keeps it.
async fn call_off(tx: &mut Tx, keys: &Rows, id: &ProfileId, now: Timestamp) -> Result<(), Error> {
    let at_address = "in (select value->>0 from {rows})";
    tx.run(
        format!(
            "update sends set state = 'canceled', reason = 'erased', detail = null, finished_at = $3,
               lease_token = null, lease_until = null
             where state in ('scheduled', 'deferred', 'leased') and (profile_id = $2 or lower(to_address) {at_address}
               or (to_address is null and profile_id in (select id from profiles where address_key {at_address})))"
        ),
        args![keys.clone(), id.as_str(), now],
    )
    .await?;
    tx.run(
        format!("update profiles set address = null, address_key = null where address_key {at_address}"),
        args![keys.clone()],
    )
    .await?;
    Ok(())
}

/// Sends and coupons stay under another name: figures stay right, and no code is given out twice.
async fn rename(tx: &mut Tx, keys: &Rows, id: &ProfileId, nobody: &str) -> Result<u64, Error> {
    let at_address = "in (select value->>0 from {rows})";
    tx.run(
        format!(
            "update sends set to_address = null, address = null, detail = null
             where lower(to_address) {at_address} or lower(address) {at_address}"
        ),
        args![keys.clone()],
    )
    .await?;
    tx.run("update coupons set profile_id = $2 where profile_id = $1", args![id.as_str(), nobody]).await?;
    tx.run(
        "update sends set profile_id = $2, occurrence = 'erased/' || seq, data = '{}', to_address = null,
           address = null, detail = null
         where profile_id = $1",
        args![id.as_str(), nobody],
    )
    .await
}
