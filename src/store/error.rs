//! Why the store could not do its work.

/// Tables of which every row is of one person.
const PERSONAL: [&str; 9] = [
    "consents",
    "decisions",
    "events",
    "outcome_log",
    "profiles",
    "sends",
    "stage_transitions",
    "stages",
    "suppressions",
];

/// A fault of the database, its file, or what was found in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused, or could not be reached.
    #[error("the database could not do its work: {0}")]
    Database(#[from] sqlx::Error),
    /// The URL, file or server cannot be used; the text says what to do.
    #[error("{0}")]
    Open(String),
    /// The schema does not fit this program; the text says what to do.
    #[error("{0}")]
    Schema(String),
    /// Another process holds what only one may hold; the text says which.
    #[error("{0}")]
    Held(String),
    /// A stored row cannot be read back.
    #[error("table {table}, row {key}: {fault}; it was written by another program, or by hand")]
    Unreadable {
        /// The table.
        table: &'static str,
        /// The row's key.
        key: String,
        /// What is wrong.
        fault: String,
    },
}

impl Error {
    /// Whether the same call may succeed later without anybody doing anything to the data: the server is away or
    /// restarting, the file is locked, the disk is full, transactions met in a deadlock.
    pub fn is_transient(&self) -> bool {
        let Self::Database(error) = self else { return false };
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::WorkerCrashed => true,
            sqlx::Error::Database(fault) => fault.code().is_some_and(|code| is_transient_code(&code)),
            _ => false,
        }
    }

    /// Whether transactions met in a deadlock and this one was given up: the same again will do.
    pub(super) fn is_deadlock(&self) -> bool {
        let Self::Database(sqlx::Error::Database(fault)) = self else { return false };
        fault.code().is_some_and(|code| code == "40P01")
    }

    /// Whether a row of one person cannot be read: what is asked of others can be answered.
    pub fn is_one_persons(&self) -> bool {
        matches!(self, Self::Unreadable { table, .. } if PERSONAL.contains(table))
    }

    /// Whether this process has closed the database: it is stopping.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::PoolClosed))
    }

    /// Those of some rows that can be read. Of the others it is told: one row must not hold up all behind it.
    pub(super) fn readable<T>(rows: impl Iterator<Item = Result<T, Self>>) -> Vec<T> {
        rows.filter_map(Self::told).collect()
    }

    /// A row, if it can be read; if not, that is told.
    pub(super) fn told<T>(row: Result<T, Self>) -> Option<T> {
        row.inspect_err(|error| tracing::error!("left out: {error}")).ok()
    }

    pub(super) fn unreadable(table: &'static str, key: &str, fault: impl std::fmt::Display) -> Self {
        Self::Unreadable { table, key: key.to_owned(), fault: fault.to_string() }
    }
}

/// SQLite's codes are numbers (the low byte is the kind), PostgreSQL's have five characters (the first two are it).
fn is_transient_code(code: &str) -> bool {
    if code.len() == 5 {
        // Connection, rollback (serialisation, deadlock), resources (disk full), operator intervention, lock timeout.
        return ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class)) || code == "55P03";
    }
    // BUSY, LOCKED, IOERR, FULL, CANTOPEN, PROTOCOL: another process, or a disk that has no room now.
    code.parse::<u32>().is_ok_and(|code| [5, 6, 10, 13, 14, 15].contains(&(code & 0xff)))
}

#[cfg(test)]
mod tests {
    use super::is_transient_code;

    #[test]
    fn what_may_pass_by_itself_is_transient() {
        for (code, expected) in [
            ("5", true),
            ("517", true),
            ("13", true),
            ("2067", false),
            ("1", false),
            ("40P01", true),
            ("57P01", true),
            ("53100", true),
            ("23505", false),
            ("42P01", false),
        ] {
            assert_eq!(is_transient_code(code), expected, "{code}");
        }
    }
}
