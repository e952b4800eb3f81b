//! The few words that the two databases spell differently. Everything else is written once.
//!
//! A statement may hold these words; [`Dialect::statement`] replaces them:
//!
//! | word | SQLite | PostgreSQL |
//! |---|---|---|
//! | `{rows}` | `(select value from jsonb_each($1)) as t` | `jsonb_array_elements($1::jsonb) as t(value)` |
//! | `{now}` | `$2`, the caller's time | `bespoke_now()`, the database's own |
//! | `{heap:NAME}` | the text in the bytes of `$2` to which the field NAME points ([`super::batch::Heap`]) | the same |
//! | `{skip_locked}`, `{skip_locked_of_s}` | nothing: there is one writer | `for update skip locked`, `for update of s skip locked` |
//! | `{for_update}`, `{for_update_of_s}` | nothing | `for update`, `for update of s` |
//! | `{json}` | nothing: text is read as JSON | `::json` |
//! | `{key}` | `text` | `text collate "C"`: bytes compare alike everywhere |
//! | `{serial}` | `integer primary key autoincrement` | an identity column |
//! | `{clustered}` | `without rowid`: rows stand in the order of their primary key | nothing |
//!
//! `value->>'name'` reads a field of a batch's row on both; numbers are cast, `cast(value->>'at' as bigint)`. SQLite is
//! given a path, `value->>'$.name'`, which it would otherwise make of the name for every row.

use sqlx::AssertSqlSafe;
use sqlx::SqlSafeStr;
use sqlx::SqlStr;

/// Which database a statement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The embedded default.
    Sqlite,
    /// Many workers on many machines.
    Postgres,
}

const WORDS: [(&str, &str, &str); 10] = [
    ("{rows}", "(select value from jsonb_each($1)) as t", "jsonb_array_elements($1::jsonb) as t(value)"),
    ("{now}", "$2", "bespoke_now()"),
    ("{json}", "", "::json"),
    ("{skip_locked}", "", "for update skip locked"),
    ("{skip_locked_of_s}", "", "for update of s skip locked"),
    ("{for_update}", "", "for update"),
    ("{for_update_of_s}", "", "for update of s"),
    ("{key}", "text", "text collate \"C\""),
    ("{serial}", "integer primary key autoincrement", "bigint generated always as identity primary key"),
    ("{clustered}", " without rowid", ""),
];

impl Dialect {
    /// The statement as this database wants it.
    pub(super) fn statement(self, sql: Sql) -> SqlStr {
        match sql {
            Sql::Fixed(text) if !text.contains('{') => text.into_sql_str(),
            Sql::Fixed(text) => AssertSqlSafe(self.replace(text)).into_sql_str(),
            Sql::Built(text) => AssertSqlSafe(self.replace(&text)).into_sql_str(),
        }
    }

    fn replace(self, text: &str) -> String {
        let text = WORDS.iter().fold(text.to_owned(), |text, (word, sqlite, postgres)| {
            if text.contains(word) { text.replace(word, self.pick(sqlite, postgres)) } else { text }
        });
        let mut parts = text.split("{heap:");
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap_or((part, ""));
            let read = match self {
                Self::Sqlite => {
                    ["cast(substr($2, value->>'", name, "[0]', value->>'", name, "[1]') as text)"]
                }
                Self::Postgres => [
                    "convert_from(substr($2, (value->'",
                    name,
                    "'->>0)::int, (value->'",
                    name,
                    "'->>1)::int), 'UTF8')",
                ],
            };
            out += &read.concat();
            out += rest;
        }
        match self {
            Self::Sqlite => out.replace("value->>'", "value->>'$.").replace("value->'", "value->'$."),
            Self::Postgres => out,
        }
    }

    fn pick<'a>(self, sqlite: &'a str, postgres: &'a str) -> &'a str {
        match self {
            Self::Sqlite => sqlite,
            Self::Postgres => postgres,
        }
    }

    /// A migration as this database wants it: words replaced, and lines between `-- postgres:` and `-- end` kept for
    /// PostgreSQL only.
    pub(super) fn migration(self, text: &str) -> String {
        let mut kept = String::with_capacity(text.len());
        let mut skipping = false;
        for line in text.lines() {
            match line.trim() {
                "-- postgres:" => skipping = self == Self::Sqlite,
                "-- end" => skipping = false,
                _ if skipping => {}
                _ => {
                    kept.push_str(line);
                    kept.push('\n');
                }
            }
        }
        self.replace(&kept)
    }
}

/// The text of a statement: nearly always fixed. What is built is built from fixed parts of this module's own; values
/// are bound, never written into it.
#[derive(Debug)]
pub(super) enum Sql {
    /// As it stands in the source.
    Fixed(&'static str),
    /// Put together from such parts.
    Built(String),
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self::Fixed(text)
    }
}

impl From<String> for Sql {
    fn from(text: String) -> Self {
        Self::Built(text)
    }
}

#[cfg(test)]
mod tests {
    use super::Dialect;
    use super::Sql;

    #[test]
    fn words_are_replaced_and_all_else_stays() {
        let sql = "select value->>'id' from {rows} where at < {now} {skip_locked}";
        let heap = "select {heap:body}, 1";
        for (dialect, sql, expected) in [
            (
                Dialect::Sqlite,
                sql,
                "select value->>'$.id' from (select value from jsonb_each($1)) as t where at < $2 ",
            ),
            (
                Dialect::Postgres,
                sql,
                "select value->>'id' from jsonb_array_elements($1::jsonb) as t(value) where at < bespoke_now() \
                 for update skip locked",
            ),
            (
                Dialect::Sqlite,
                heap,
                "select cast(substr($2, value->>'$.body[0]', value->>'$.body[1]') as text), 1",
            ),
            (
                Dialect::Postgres,
                heap,
                "select convert_from(substr($2, (value->'body'->>0)::int, (value->'body'->>1)::int), 'UTF8'), 1",
            ),
        ] {
            assert_eq!(dialect.statement(Sql::Fixed(sql)).as_str(), expected);
        }
    }

    #[test]
    fn lines_for_postgresql_are_left_out_on_sqlite() {
        let text = "create table a (id {key});\n-- postgres:\ncreate function f();\n-- end\nselect 1;\n";
        assert_eq!(Dialect::Sqlite.migration(text), "create table a (id text);\nselect 1;\n");
        assert_eq!(
            Dialect::Postgres.migration(text),
            "create table a (id text collate \"C\");\ncreate function f();\nselect 1;\n"
        );
    }
}
