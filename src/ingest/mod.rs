//! Files and request bodies become nouns.
