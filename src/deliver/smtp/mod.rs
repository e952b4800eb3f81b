//! The SMTP client session: phases, deadlines, replies, and the pool over it.
