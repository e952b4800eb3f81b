//! People who were erased: they are not taken in again by accident, and their addresses stay suppressed.

use std::collections::HashMap;
use std::collections::HashSet;

use jiff::Timestamp;

use super::Error;
use super::Store;
use super::batch::ROWS_PER_STATEMENT_MAX;
use super::batch::Rows;
use super::batch::args;
use super::connection::Accord;
use super::connection::Held;
use super::connection::Tx;
use super::fingerprint::Fingerprints;
use super::fingerprint::SECRET;
use crate::clock::from_millisecond;
use crate::profile::EmailAddress;
use crate::profile::ProfileId;

/// What a tombstone names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Named {
    /// A profile's id.
    Profile,
    /// An address.
    Address,
}

impl Named {
    fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Address => "address",
        }
    }
}

impl Store {
    /// Since when this address, by its key, must be forgotten.
    pub async fn erased_addresses(&self, keys: &[String]) -> Result<HashMap<String, Timestamp>, Error> {
        let mut found = HashMap::new();
        if self.count("select count(*) from (select 1 from tombstones limit 1) as t", args![]).await? == 0 {
            return Ok(found);
        }
        let prints = self.fingerprints().await?;
        for chunk in keys.chunks(ROWS_PER_STATEMENT_MAX) {
            let by_print: HashMap<String, &String> =
                chunk.iter().map(|key| (prints.of(Named::Address.as_str(), key), key)).collect();
            let rows: Vec<(String, i64)> =
                self.pools.all(FIND_SQL, args![print_rows(by_print.keys())]).await?;
            let named =
                rows.into_iter().filter_map(|(print, at)| Some(((*by_print.get(&print)?).clone(), at)));
            found.extend(named.map(|(key, at)| (key, from_millisecond(at))));
        }
        Ok(found)
    }

    /// Takes a tombstone away, so that the person may be taken in again; 1 when there was one.
    pub async fn remove_tombstone(&self, named: Named, text: &str) -> Result<u64, Error> {
        let print = self.fingerprints().await?.of(named.as_str(), text);
        self.pools.run("delete from tombstones where print = $1", args![print.as_str()]).await
    }
}

/// `$1` fingerprints.
const FIND_SQL: &str = "select print, at from tombstones where print in (select value->>0 from {rows})";

fn print_rows<'a>(prints: impl Iterator<Item = &'a String>) -> Rows {
    let rows: Vec<[&str; 1]> = prints.map(|print| [print.as_str()]).collect();
    Rows::of(&rows)
}

/// Notes that these were erased.
pub(super) async fn add(
    tx: &mut Tx,
    prints: &Fingerprints,
    named: &[(Named, String)],
    now: Timestamp,
) -> Result<(), Error> {
    let rows: Vec<[String; 2]> = named
        .iter()
        .map(|(named, text)| [prints.of(named.as_str(), text), named.as_str().to_owned()])
        .collect();
    tx.run(
        "insert into tombstones (print, kind, at) select value->>0, value->>1, $2 from {rows} where true
         on conflict (print) do nothing",
        args![Rows::of(&rows), now],
    )
    .await?;
    Ok(())
}

/// Those of these people who were erased, by their id or by their address. Nobody else is until the transaction ends.
pub(super) async fn erased<'a>(
    tx: &mut Tx,
    people: impl Iterator<Item = (&'a ProfileId, Option<&'a EmailAddress>)>,
) -> Result<HashSet<ProfileId>, Error> {
    let mut found = HashSet::new();
    let Some(prints) = prints(tx).await? else { return Ok(found) };
    let mut by_print: HashMap<String, HashSet<&ProfileId>> = HashMap::new();
    for (id, address) in people {
        let address = address.map(|address| prints.of(Named::Address.as_str(), &address.key()));
        for print in address.into_iter().chain([prints.of(Named::Profile.as_str(), id.as_str())]) {
            by_print.entry(print).or_default().insert(id);
        }
    }
    let all: Vec<&String> = by_print.keys().collect();
    for chunk in all.chunks(ROWS_PER_STATEMENT_MAX) {
        let rows: Vec<(String, i64)> = tx.all(FIND_SQL, args![print_rows(chunk.iter().copied())]).await?;
        let people = rows.iter().filter_map(|(print, _)| by_print.get(print)).flatten();
        found.extend(people.map(|id| (*id).clone()));
    }
    Ok(found)
}

/// Those of these address keys that were erased. No other is until the transaction ends.
pub(super) async fn erased_keys(tx: &mut Tx, keys: &[&str]) -> Result<HashSet<String>, Error> {
    let mut found = HashSet::new();
    let Some(prints) = prints(tx).await? else { return Ok(found) };
    for chunk in keys.chunks(ROWS_PER_STATEMENT_MAX) {
        let by_print: HashMap<String, &str> =
            chunk.iter().map(|key| (prints.of(Named::Address.as_str(), key), *key)).collect();
        let rows: Vec<(String, i64)> = tx.all(FIND_SQL, args![print_rows(by_print.keys())]).await?;
        found.extend(
            rows.into_iter().filter_map(|(print, _)| by_print.get(&print).map(|&key| key.to_owned())),
        );
    }
    Ok(found)
}

/// What makes fingerprints, once nobody can be erased until the transaction ends; `None` where nobody ever was, as nearly
/// always, and nothing has to be hashed.
async fn prints(tx: &mut Tx) -> Result<Option<Fingerprints>, Error> {
    tx.agree(Accord::Erasures, Held::Shared).await?;
    let any: Option<(String,)> = tx.first("select print from tombstones limit 1", args![]).await?;
    if any.is_none() {
        return Ok(None);
    }
    let secret: Option<(String,)> =
        tx.first("select body from models where kind = 'secret' and version = $1", args![SECRET]).await?;
    let Some((secret,)) = secret else {
        return Err(Error::unreadable("tombstones", "*", "the secret of the fingerprints is gone"));
    };
    Ok(Some(Fingerprints::new(secret.as_bytes())))
}
