//! Who leads, as PostgreSQL knows it: whose session holds the lock of a role.

use sqlx::PgConnection;
use sqlx::Row as _;

use super::Database;

/// The sessions that plan and that learn; `None` where nobody does.
pub(crate) type Leaders = [Option<i32>; 2];

/// Looks who holds the roles of a database on PostgreSQL.
#[derive(Debug)]
pub(crate) struct Watch(PgConnection);

impl Watch {
    pub(crate) async fn over(database: &Database) -> Self {
        Self(database.begun("select 1").await)
    }

    pub(crate) async fn leaders(&mut self) -> Leaders {
        // Numbers of roles: 101 plans, 102 learns.
        let sql = "select objid::int as role, pid from pg_locks
             where locktype = 'advisory' and granted and objid in (101, 102)
               and classid::bigint = hashtext('bespoke ' || current_schema())::bigint & 4294967295";
        let rows = sqlx::query(sql).fetch_all(&mut self.0).await.unwrap();
        let of = |role: i32| {
            rows.iter().find(|row| row.get::<i32, _>("role") == role).map(|row| row.get::<i32, _>("pid"))
        };
        [of(101), of(102)]
    }
}

/// Whether others have both roles now.
pub(crate) fn are_others(now: Leaders, before: Leaders) -> bool {
    now.iter().zip(before).all(|(now, before)| now.is_some() && *now != before)
}
