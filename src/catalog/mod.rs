//! Templates become variants; rules are compiled; everything is checked at load.
