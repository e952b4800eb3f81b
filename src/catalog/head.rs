//! The TOML head of a variant or option file, between `+++` lines, and the text under it.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::toml_text;
use crate::fault::Fault;
use crate::fault::SourceFile;

/// What a head may state. Unknown keys are faults. All of it may also stand in an option's head, but for
/// `layout`, `order`, `slots` and `text`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Head {
    pub(super) subject: Option<Spanned<String>>,
    pub(super) preheader: Option<Spanned<String>>,
    pub(super) layout: Option<Spanned<String>>,
    pub(super) when: Option<Spanned<String>>,
    pub(super) weight: Option<Spanned<f64>>,
    pub(super) order: Option<Spanned<i64>>,
    pub(super) inputs: Vec<Spanned<String>>,
    pub(super) offer: Option<Spanned<String>>,
    pub(super) tone: Option<Spanned<String>>,
    pub(super) category: Option<Spanned<String>>,
    pub(super) discount_depth: Option<Spanned<f64>>,
    pub(super) text: Option<Spanned<String>>,
    pub(super) slots: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
}

/// A file in two parts.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) file: SourceFile,
    pub(super) head: Head,
    /// Where the head's text starts in the file; its values' places count from there.
    pub(super) head_start: usize,
    /// Bytes of the file under the head.
    pub(super) body: Range<usize>,
}

impl Part {
    /// Splits `file` and reads its head. `None` when the head cannot be used; the faults say why.
    pub(super) fn read(file: &SourceFile, faults: &mut Vec<Fault>) -> Option<Self> {
        let text = &file.text;
        let first = text.split_inclusive('\n').next().unwrap_or_default();
        if first.trim_end() != "+++" {
            let body = 0..text.len();
            return Some(Self { file: file.clone(), head: Head::default(), head_start: 0, body });
        }
        let head_start = first.len();
        let mut at = head_start;
        for line in text[head_start..].split_inclusive('\n') {
            if line.trim_end() == "+++" {
                let body = at + line.len()..text.len();
                let head = toml_text::parse(file, head_start..at, faults)?;
                return Some(Self { file: file.clone(), head, head_start, body });
            }
            at += line.len();
        }
        let fault = Fault::at(file, 0..3, "the head is never closed");
        faults.push(fault.with_help("end it with a line `+++`"));
        None
    }

    /// The place in the file of a value of the head.
    pub(super) fn place<T>(&self, value: &Spanned<T>) -> Range<usize> {
        toml_text::shift(value, self.head_start)
    }

    /// The text under the head.
    pub(super) fn body_text(&self) -> &str {
        &self.file.text[self.body.clone()]
    }
}
