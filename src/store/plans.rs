//! How the database goes about the statements that run for every mail: proof that none of them reads finished work.

use super::Error;
use super::Store;
use super::batch::Arg;
use super::batch::Rows;
use super::batch::args;
use super::connection::Tx;
use super::dialect::Dialect;
use super::events::EVENTS_SQL;
use super::mails::MAILS_SQL;
use super::sends::Orphans;
use super::sends::statements;

/// The database's plan for one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryPlan {
    /// What the statement is for: `claim`, `mark`, `outcome` …
    pub name: &'static str,
    /// The plan in the database's own words; it names the indexes that are used.
    pub text: String,
}

impl Store {
    /// The plans for the statements that run for every mail. Nothing is executed. What PostgreSQL plans depends on
    /// what it knows of the tables: they must have been analysed.
    pub async fn query_plans(&self) -> Result<Vec<QueryPlan>, Error> {
        let none = || Arg::from(Rows::of::<&str>(&[]));
        let orphans = Orphans::LeaseEnded { on_wire_ms: 0, margin_ms: 0 };
        let statements: [(&'static str, String, Vec<Arg>); 11] = [
            ("claim", statements::claim_sql(), args!["token", 0, 10, 500, 60_000]),
            ("standings", statements::STANDINGS_SQL.to_owned(), vec![none(), Arg::from(0), Arg::from(0)]),
            ("caps", statements::RECENT_SQL.to_owned(), vec![none(), Arg::from(0), Arg::from(0)]),
            ("suppressions", statements::SUPPRESSIONS_SQL.to_owned(), vec![none(), Arg::from(0)]),
            ("mark", statements::MARK_SQL.to_owned(), vec![none(), Arg::from(0)]),
            ("holdings", statements::HOLDINGS_SQL.to_owned(), vec![none()]),
            ("outcome", statements::OUTCOME_SQL.to_owned(), vec![none(), Arg::from(0)]),
            ("reap leased", statements::leased_sql(orphans), args!["detail", 0]),
            ("reap submitting", statements::submitting_sql(orphans), args!["detail", 0]),
            ("mails", MAILS_SQL.to_owned(), vec![none(), Arg::from(50)]),
            ("events", EVENTS_SQL.to_owned(), vec![none(), Arg::from(5_000)]),
        ];
        let mut tx = self.pools.begin().await?;
        let mut plans = Vec::with_capacity(statements.len());
        for (name, sql, args) in statements {
            plans.push(QueryPlan { name, text: explain(&mut tx, &sql, args).await? });
        }
        Ok(plans)
    }
}

async fn explain(tx: &mut Tx, sql: &str, args: Vec<Arg>) -> Result<String, Error> {
    let lines: Vec<String> = match tx.dialect() {
        Dialect::Sqlite => {
            let rows: Vec<(i64, i64, i64, String)> =
                tx.all(format!("explain query plan {sql}"), args).await?;
            rows.into_iter().map(|(_, _, _, detail)| detail).collect()
        }
        Dialect::Postgres => {
            let rows: Vec<(String,)> = tx.all(format!("explain {sql}"), args).await?;
            rows.into_iter().map(|(line,)| line).collect()
        }
    };
    Ok(lines.join("\n"))
}
