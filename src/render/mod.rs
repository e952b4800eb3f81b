//! The chosen variant becomes subject, HTML and text.
