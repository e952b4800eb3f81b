//! Plan, gate, and the loop that sends.
