//! Tags that do not fit together, told where the author wrote them: Tera says where it stopped reading.

use std::ops::Range;

use super::fault::CompileFault;
use super::fault::Part;
use super::mask::Tag;
use super::mask::TagKind;
use super::tokens::Control;
use crate::catalog::nearest::nearest;

/// Words that a control tag begins with, as far as templates may use them.
const WORDS: &[&str] = &[
    "if",
    "elif",
    "else",
    "endif",
    "for",
    "endfor",
    "break",
    "continue",
    "set",
    "set_global",
    "endset",
    "filter",
    "endfilter",
];
/// Words that Tera knows; that they are not used here is said where names are checked.
const WORDS_ELSEWHERE: &[&str] =
    &["include", "extends", "block", "endblock", "component", "endcomponent", "<", "</", "raw", "endraw"];
/// What shows inside a tag that it swallowed what follows it.
const SWALLOWED: &[&str] = &["{{", "{%", "</", "<mj-"];

/// What an author has to mend in a source that Tera refuses at `refused` with `message`.
pub(super) fn explain(
    part: Part,
    source: &str,
    tags: &[Tag],
    refused: &Range<usize>,
    message: &str,
) -> CompileFault {
    let unclosed =
        tags.iter().find(|tag| SWALLOWED.iter().any(|sign| source[tag.inner.clone()].contains(sign)));
    if let Some(tag) = unclosed {
        let (open, close) = if tag.kind == TagKind::Control { ("{%", "%}") } else { ("{{", "}}") };
        let line_end = source[tag.range.clone()].find('\n').map_or(tag.range.end, |at| tag.range.start + at);
        let fault = CompileFault::new(
            part,
            tag.range.start..line_end,
            format!("`{open}` is not closed by `{close}`"),
        );
        return fault.help(format!("write `{close}` where the tag ends"));
    }
    if let Some(fault) = unbalanced(part, source, tags) {
        return fault;
    }
    let tag = tags.iter().find(|tag| tag.range.start <= refused.start && refused.start < tag.range.end);
    let help = match tag.map(|tag| tag.kind) {
        Some(TagKind::Control) => {
            "write such as `{% if profile.first_name %}…{% endif %}` or `{% for one in recommended %}…{% endfor %}`"
        }
        _ => "write such as `{{ profile.first_name }}` or `{{ now | date }}`",
    };
    CompileFault::new(part, refused.clone(), message.trim_end_matches('.')).help(help)
}

/// The first tag that opens without closing, or closes without opening, or that Tera does not know.
fn unbalanced(part: Part, source: &str, tags: &[Tag]) -> Option<CompileFault> {
    let fault = |tag: &Tag, message: String, help: String| {
        Some(CompileFault::new(part, tag.range.clone(), message).help(help))
    };
    let never_closed = |tag: &Tag, word: &str| {
        let written = &source[tag.range.clone()];
        let help = format!("write `{{% end{word} %}}` where it ends, in the same element");
        fault(tag, format!("`{written}` is never closed"), help)
    };
    let mut open: Vec<(&Tag, &str)> = Vec::new();
    for tag in tags.iter().filter(|tag| tag.kind == TagKind::Control) {
        match Control::of(source, tag.inner.clone()) {
            Control::Opens(word) => open.push((tag, word)),
            Control::Closes(opener) => match open.pop() {
                Some((_, innermost)) if innermost == opener => {}
                Some((other, innermost)) if open.iter().any(|(_, word)| *word == opener) => {
                    return never_closed(other, innermost);
                }
                _ => {
                    let help = format!("take it out, or write `{{% {opener} … %}}` where it begins");
                    return fault(tag, format!("`{{% end{opener} %}}` closes nothing"), help);
                }
            },
            Control::Branches(_) if matches!(open.last(), Some((_, "if" | "for"))) => {}
            Control::Branches(word) => {
                let help = "write it between `{% if … %}` and `{% endif %}`".to_owned();
                return fault(tag, format!("`{{% {word} %}}` stands outside `{{% if %}}`"), help);
            }
            Control::Stands(word) if WORDS.contains(&word) || WORDS_ELSEWHERE.contains(&word) => {}
            Control::Stands(word) => {
                let help = match nearest(word, WORDS.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known here: {}; `{{{{ … }}}}` prints a fact", WORDS.join(", ")),
                };
                return fault(tag, format!("there is no tag `{word}`"), help);
            }
        }
    }
    let (tag, word) = open.pop()?;
    never_closed(tag, word)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Map;

    use super::*;
    use crate::catalog::contract::Contract;
    use crate::render::check;

    #[test]
    fn what_does_not_fit_together_is_told_where_it_was_written() {
        let contract = Contract::new(&BTreeMap::new(), &[], &Map::new());
        for (source, expected, help) in [
            ("{% if stage %}Hi", "`{% if stage %}` is never closed @ {% if stage %}", "{% endif %}"),
            (
                "{%- for p in viewed -%}x {% if stage %}y{% endif %}",
                "`{%- for p in viewed -%}` is never closed @ {%- for p in viewed -%}",
                "{% endfor %}",
            ),
            (
                "{% for p in viewed %}{% if stage %}x{% endfor %}",
                "`{% if stage %}` is never closed @ {% if stage %}",
                "{% endif %}",
            ),
            ("{% set x %}a", "`{% set x %}` is never closed @ {% set x %}", "{% endset %}"),
            ("a{% endif %}", "`{% endif %}` closes nothing @ {% endif %}", "{% if … %}"),
            ("{% if stage %}a{% endfor %}", "`{% endfor %}` closes nothing @ {% endfor %}", "take it out"),
            ("{% else %}", "`{% else %}` stands outside `{% if %}` @ {% else %}", "{% endif %}"),
            ("{% iff stage %}a{% endif %}", "there is no tag `iff` @ {% iff stage %}", "did you mean `if`?"),
            ("{{ stage </mj-text>\n{{ stage }}", "`{{` is not closed by `}}` @ {{ stage </mj-text>", "`}}`"),
            (
                "{% if stage {{ stage }}{% endif %}",
                "`{%` is not closed by `%}` @ {% if stage {{ stage }}{% endif %}",
                "`%}`",
            ),
            ("{{ stage | }}", "Found `}}` but expected identifier @ }}", "{{ now | date }}"),
        ] {
            let faults = check::source(Part::Body, source, &contract);
            let said: Vec<String> = faults
                .iter()
                .map(|fault| format!("{} @ {}", fault.message, &source[fault.span.clone()]))
                .collect();
            assert_eq!(said, [expected], "{source}");
            assert!(
                faults[0].help.as_ref().is_some_and(|words| words.contains(help)),
                "{source}: {:?}",
                faults[0].help
            );
        }
    }
}
