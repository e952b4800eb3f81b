//! A fresh database of each kind for a test: a file in a folder of its own, and a schema of its own.

use std::process::Command;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use bespoke::store::Store;
use jiff::Timestamp;
use sqlx::AssertSqlSafe;
use sqlx::Connection;
use sqlx::PgConnection;
use sqlx::SqliteConnection;

use super::not_tested;
use super::postgres;

/// When tests begin: 2026-03-02 09:00 UTC, a Monday.
pub(crate) fn start() -> Timestamp {
    "2026-03-02T09:00:00Z".parse().unwrap()
}

/// A migrated store, and what it stands on.
#[derive(Debug)]
pub(crate) struct Database {
    /// The store under test.
    pub(crate) store: Store,
    /// Its URL, for a second process or a second store.
    pub(crate) url: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Sqlite { folder: tempfile::TempDir },
    Postgres { server: String, schema: String },
}

/// A store on SQLite and, where there is a server, one on PostgreSQL. Both have been migrated.
///
/// PostgreSQL goes by its own clock; there a test's database has a clock that stands at [`start`] until
/// [`Database::set_now`] moves it.
pub(crate) async fn stores() -> Vec<Database> {
    let mut all = vec![Database::sqlite().await];
    all.extend(Database::postgres().await);
    all
}

impl Database {
    /// On SQLite only.
    pub(crate) async fn sqlite() -> Self {
        let database = Self::empty_sqlite().await;
        database.store.migrate(start()).await.unwrap();
        database
    }

    /// On PostgreSQL, where there is one.
    pub(crate) async fn postgres() -> Option<Self> {
        let database = Self::empty_postgres().await?;
        database.store.migrate(start()).await.unwrap();
        database
            .execute(
                "create table test_clock (now bigint not null);
                 insert into test_clock values (0);
                 create or replace function bespoke_now() returns bigint language sql stable as
                   'select now from test_clock';
                 create or replace function bespoke_now_us() returns bigint language sql stable as
                   'select now * 1000 from test_clock';",
            )
            .await;
        database.set_now(start()).await;
        Some(database)
    }

    /// One of each kind that nobody has migrated.
    pub(crate) async fn empty_of_each_kind() -> Vec<Self> {
        let mut all = vec![Self::empty_sqlite().await];
        all.extend(Self::empty_postgres().await);
        all
    }

    /// On PostgreSQL, in a database of its own, whose connections can be cut without hurting other tests.
    pub(crate) async fn empty_in_its_own_postgres() -> Option<Self> {
        let server = postgres::url()?;
        let name = format!("own_{}", std::process::id());
        execute_postgres(&server, format!("create database {name}")).await;
        let url = format!("{}/{name}", server.strip_suffix("/postgres")?);
        let store = Store::open(&url).await.unwrap();
        Some(Self {
            store,
            url: url.clone(),
            place: Place::Postgres { server: url, schema: "public".to_owned() },
        })
    }

    /// A SQLite file in this folder, such as a small disk.
    pub(crate) async fn empty_sqlite_in(disk: &std::path::Path) -> Self {
        let folder = tempfile::tempdir_in(disk).unwrap();
        let url = format!("sqlite://{}", folder.path().join("bespoke.db").display());
        Self { store: Store::open(&url).await.unwrap(), url, place: Place::Sqlite { folder } }
    }

    /// Whether SQLite finds nothing wrong with the file.
    pub(crate) async fn is_whole(&self) {
        let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
        let (verdict,): (String,) =
            sqlx::query_as("pragma integrity_check").fetch_one(&mut connection).await.unwrap();
        assert_eq!(verdict, "ok");
    }

    /// On a server of a test's own.
    pub(crate) async fn empty_on(server: &postgres::Server) -> Self {
        let url = server.url.clone();
        let place = Place::Postgres { server: url.clone(), schema: "public".to_owned() };
        Self { store: Store::open(&url).await.unwrap(), url, place }
    }

    /// Cuts every connection to a database of its own, as a restart of the server does.
    pub(crate) async fn cut_all_connections(&self) {
        let name = self.url.rsplit('/').next().unwrap();
        let sql = format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'");
        execute_postgres(&postgres::url().unwrap(), sql).await;
    }

    /// Holds the write lock of a SQLite file until what comes back is dropped.
    pub(crate) async fn locked(&self) -> SqliteConnection {
        let url = &self.url;
        let mut connection = SqliteConnection::connect(url).await.unwrap();
        sqlx::raw_sql("pragma busy_timeout = 20000; begin immediate").execute(&mut connection).await.unwrap();
        connection
    }

    /// In a transaction on PostgreSQL that has run `sql` and holds its locks until somebody rolls it back.
    pub(crate) async fn begun(&self, sql: &str) -> PgConnection {
        let Place::Postgres { server, schema } = &self.place else { panic!("for PostgreSQL only") };
        let mut connection = PgConnection::connect(server).await.unwrap();
        let sql = AssertSqlSafe(format!("set search_path to {schema}; begin; {sql}"));
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection
    }

    async fn empty_sqlite() -> Self {
        Self::empty_sqlite_in(&std::env::temp_dir()).await
    }

    async fn empty_postgres() -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let server = postgres::url()?;
        let schema = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        execute_postgres(&server, format!("create schema {schema}")).await;
        let joint = if server.contains('?') { '&' } else { '?' };
        let url = format!("{server}{joint}options[search_path]={schema}");
        let store = Store::open(&url).await.unwrap();
        Some(Self { store, url, place: Place::Postgres { server, schema } })
    }

    /// The same in another database of the server, brought there by `pg_dump` and `psql`; `None`, said loudly, without
    /// them.
    pub(crate) async fn moved_to(&self, name: &str) -> Option<Self> {
        let Place::Postgres { server, schema } = &self.place else { panic!("for PostgreSQL only") };
        let Some(programs) = postgres::programs().filter(|_| server.ends_with("/postgres")) else {
            not_tested("that a shard can be moved: there is no pg_dump for the server at hand");
            return None;
        };
        let name = format!("{name}_{}", std::process::id());
        execute_postgres(server, format!("create database {name}")).await;
        let there = format!("{}/{name}", server.strip_suffix("/postgres")?);
        let run = |program: &str, arguments: &[&str]| {
            let output = Command::new(programs.join(program)).args(arguments).output().unwrap();
            assert!(output.status.success(), "{program}: {output:?}");
        };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dump.sql").display().to_string();
        run("pg_dump", &["--dbname", server, "--schema", schema, "--file", &file]);
        run("psql", &["--dbname", &there, "--quiet", "--set", "ON_ERROR_STOP=1", "--file", &file]);
        let url = format!("{there}?options[search_path]={schema}");
        let place = Place::Postgres { server: there, schema: schema.clone() };
        Some(Self { store: Store::open(&url).await.unwrap(), url, place })
    }

    /// `sqlite` or `postgres`, for messages.
    pub(crate) fn name(&self) -> &'static str {
        match self.place {
            Place::Sqlite { .. } => "sqlite",
            Place::Postgres { .. } => "postgres",
        }
    }

    /// Moves the database's clock, where it has one of its own.
    pub(crate) async fn set_now(&self, now: Timestamp) {
        if let Place::Postgres { .. } = self.place {
            self.execute(&format!("update test_clock set now = {}", now.as_millisecond())).await;
        }
    }

    /// Runs statements behind the store's back.
    pub(crate) async fn execute(&self, sql: &str) {
        match &self.place {
            Place::Postgres { server, schema } => {
                execute_postgres(server, format!("set search_path to {schema}; {sql}")).await;
            }
            Place::Sqlite { folder } => {
                let path = folder.path().join("bespoke.db");
                let mut connection =
                    SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }
}

async fn execute_postgres(server: &str, sql: String) {
    let mut connection = PgConnection::connect(server).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
