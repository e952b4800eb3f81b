//! One set of migrations for both databases, applied in one transaction by one process at a time.

use sha2::Digest;
use sha2::Sha256;

use super::Error;
use super::Store;
use super::batch::args;
use super::connection::Tx;
use super::dialect::Dialect;

use crate::digest::hex;

/// Number, name, text. A released migration never changes; a change is a new line here.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "people", include_str!("../../migrations/0001_people.sql")),
    (2, "sends", include_str!("../../migrations/0002_sends.sql")),
    (3, "machinery", include_str!("../../migrations/0003_machinery.sql")),
    (4, "service", include_str!("../../migrations/0004_service.sql")),
    (5, "tracking", include_str!("../../migrations/0005_tracking.sql")),
    (6, "requests", include_str!("../../migrations/0006_requests.sql")),
    (7, "privacy", include_str!("../../migrations/0007_privacy.sql")),
    (8, "decisions", include_str!("../../migrations/0008_decisions.sql")),
    (9, "learning", include_str!("../../migrations/0009_learning.sql")),
    (10, "webhooks", include_str!("../../migrations/0010_webhooks.sql")),
    (11, "questions", include_str!("../../migrations/0011_questions.sql")),
    (12, "throttles", include_str!("../../migrations/0012_throttles.sql")),
    (13, "zones", include_str!("../../migrations/0013_zones.sql")),
    (14, "clicks", include_str!("../../migrations/0014_clicks.sql")),
    (15, "addresses", include_str!("../../migrations/0015_addresses.sql")),
    (16, "all_clicks", include_str!("../../migrations/0016_all_clicks.sql")),
    (17, "given", include_str!("../../migrations/0017_given.sql")),
];

/// PostgreSQL's advisory lock that migrators take: `bespoke` read as a number.
const MIGRATOR_LOCK: i64 = 0x0062_6573_706f_6b65;

const VERSION_TABLE: &str = "create table if not exists schema_versions (
  version bigint not null primary key,
  name text not null,
  checksum text not null,
  applied_at bigint not null
)";

const APPLIED_SQL: &str = "select version, name, checksum from schema_versions order by version";

/// Number, name, checksum.
type Applied = (i64, String, String);

impl Store {
    /// Brings the schema up to this program's and returns how many migrations that took: 0 where it was already.
    ///
    /// Two processes may call this at once; one waits for the other. A schema that is newer than this program, or
    /// that another program's migrations made, is refused and left alone.
    pub async fn migrate(&self, now: jiff::Timestamp) -> Result<usize, Error> {
        self.migrate_to(MIGRATIONS.len(), now).await
    }

    /// The same up to a version, for whoever wants the schema of an older program.
    pub async fn migrate_to(&self, version: usize, now: jiff::Timestamp) -> Result<usize, Error> {
        let version = version.min(MIGRATIONS.len());
        // Where nothing is to be done nothing is locked: who only looks need not wait for whoever writes. That there is
        // no such table yet is no fault.
        let applied: Vec<Applied> = self.pools.all(APPLIED_SQL, args![]).await.unwrap_or_default();
        if applied.len() >= version {
            check(&applied, MIGRATIONS)?;
            return Ok(0);
        }
        let mut tx = self.pools.begin().await?;
        if tx.dialect() == Dialect::Postgres {
            tx.run("select pg_advisory_xact_lock($1)", args![MIGRATOR_LOCK]).await?;
        }
        tx.run(VERSION_TABLE, args![]).await?;
        let applied: Vec<Applied> = tx.all(APPLIED_SQL, args![]).await?;
        check(&applied, MIGRATIONS)?;
        let missing = MIGRATIONS[..version].get(applied.len()..).unwrap_or_default();
        for (version, name, text) in missing {
            apply(&mut tx, *version, name, text, now).await?;
        }
        tx.commit().await?;
        Ok(missing.len())
    }
}

async fn apply(tx: &mut Tx, version: i64, name: &str, text: &str, now: jiff::Timestamp) -> Result<(), Error> {
    tx.script(tx.dialect().migration(text)).await?;
    tx.run(
        "insert into schema_versions (version, name, checksum, applied_at) values ($1, $2, $3, $4)",
        args![version, name, checksum(text).as_str(), now],
    )
    .await?;
    Ok(())
}

fn checksum(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// What was applied must be a beginning of what this program knows.
fn check(applied: &[Applied], known: &[(i64, &str, &str)]) -> Result<(), Error> {
    if let Some((version, name, _)) = applied.get(known.len()) {
        return Err(Error::Schema(format!(
            "the database has schema version {version} ({name}), this program knows {}; use the newer bespoke that \
             migrated it",
            known.len()
        )));
    }
    for ((version, name, stored), (known_version, known_name, text)) in applied.iter().zip(known) {
        if version != known_version || *stored != checksum(text) {
            return Err(Error::Schema(format!(
                "migration {version} ({name}) of the database is not this program's migration {known_version} \
                 ({known_name}); it was migrated by another build, use that one"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Error;
    use super::MIGRATIONS;
    use super::check;
    use super::checksum;

    #[test]
    fn migrations_are_numbered_from_one_without_gaps() {
        let numbers: Vec<i64> = MIGRATIONS.iter().map(|(version, ..)| *version).collect();
        let expected: Vec<i64> = (1..=i64::try_from(MIGRATIONS.len()).unwrap()).collect();
        assert_eq!(numbers, expected);
    }

    #[test]
    fn only_a_beginning_of_the_known_migrations_is_accepted() {
        let known = [(1, "a", "create a"), (2, "b", "create b")];
        let row = |version: i64, name: &str, text: &str| (version, name.to_owned(), checksum(text));
        for (applied, expected) in [
            (vec![], true),
            (vec![row(1, "a", "create a")], true),
            (vec![row(1, "a", "create a"), row(2, "b", "create b")], true),
            (vec![row(1, "a", "create other")], false),
            (vec![row(2, "b", "create b")], false),
            (vec![row(1, "a", "create a"), row(2, "b", "create b"), row(3, "c", "create c")], false),
        ] {
            let result = check(&applied, &known);
            assert_eq!(result.is_ok(), expected, "{applied:?}");
            assert!(matches!(result, Ok(()) | Err(Error::Schema(_))));
        }
    }
}
