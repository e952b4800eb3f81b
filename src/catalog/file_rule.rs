//! Rules as they stand in files: compiled, with their faults at their place.

use std::ops::Range;

use super::contract::Contract;
use super::rule::Expected;
use super::rule::Rule;
use super::toml_text;
use crate::fault::Fault;
use crate::fault::SourceFile;

/// Compiles the rule that is the TOML value at `place` of `file`.
pub(super) fn compile(
    file: &SourceFile,
    place: &Range<usize>,
    source: &str,
    expected: Expected,
    contract: &Contract,
    faults: &mut Vec<Fault>,
) -> Option<Rule> {
    let line = Fault::at(file, place.clone(), "").line();
    let named = format!("{}:{line}", file.path.display());
    match Rule::compile(source, &named, expected, contract) {
        Ok(rule) => Some(rule),
        Err(found) => {
            for fault in found {
                let span = toml_text::inside_string(file, place, source, &fault.span);
                faults.push(Fault::at(file, span, fault.message).with_help(fault.help));
            }
            None
        }
    }
}
