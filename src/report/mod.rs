//! One file a report, one line in the table.
