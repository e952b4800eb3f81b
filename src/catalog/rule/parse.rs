//! From source to syntax tree, and from the parser's words to ours.

use std::ops::Range;

use cel::Program;
use cel::common::ast::Expr;
use cel::common::ast::IdedExpr;
use cel::common::ast::SourceInfo;

use super::RuleFault;

/// Parses a rule; the first syntax error is told with what is likely meant.
pub(super) fn parse(source: &str) -> Result<Program, Vec<RuleFault>> {
    if source.trim().is_empty() {
        return Err(vec![RuleFault {
            span: 0..source.len(),
            message: "the rule is empty".to_owned(),
            help: "leave the key out, or write such as `history.orders_total > 0`".to_owned(),
        }]);
    }
    Program::compile(source).map_err(|errors| {
        let Some(first) = errors.errors.first() else {
            return vec![syntax(source, 0..source.len(), "it cannot be parsed")];
        };
        let line = usize::try_from(first.pos.0 - 1).unwrap_or(0);
        let line_start: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
        let column = usize::try_from(first.pos.1 - 1).unwrap_or(0);
        let start = source.floor_char_boundary(line_start + column);
        let reason = first.msg.lines().next().unwrap_or_default();
        let reason = reason.strip_prefix("Syntax error: ").unwrap_or(reason);
        let reason = reason.split(" expecting ").next().unwrap_or(reason);
        let end = source[start..].chars().next().map_or(start, |character| start + character.len_utf8());
        vec![syntax(source, start..end, reason)]
    })
}

fn syntax(source: &str, span: Range<usize>, reason: &str) -> RuleFault {
    let outside = outside_texts(source);
    let help = [
        (" and ", "write `&&` for and"),
        (" or ", "write `||` for or"),
        (" AND ", "write `&&` for and"),
        (" OR ", "write `||` for or"),
        ("not ", "write `!` for not"),
        ("<>", "write `!=` for unequal"),
        ("===", "write `==` for equal"),
        ("{{", "rules are CEL without braces: write the path alone"),
    ]
    .into_iter()
    .find(|(sign, _)| outside.contains(sign))
    .map(|(_, help)| help)
    .or_else(|| lone_equals(&outside).then_some("write `==` to compare"))
    .unwrap_or("rules are CEL, such as `history.orders_total >= 3 && stage == \"compare\"`");
    RuleFault { span, message: format!("the rule cannot be read: {reason}"), help: help.to_owned() }
}

/// The source with its quoted texts blanked, byte for byte.
fn outside_texts(source: &str) -> String {
    let mut quote = None;
    let mut blank = |character: char| {
        if let Some(open) = quote {
            if open == character {
                quote = None;
            }
            return true;
        }
        quote = Some(character).filter(|character| matches!(character, '"' | '\''));
        quote.is_some()
    };
    let mut out = String::with_capacity(source.len());
    for character in source.chars() {
        if blank(character) {
            out.extend(std::iter::repeat_n('_', character.len_utf8()));
        } else {
            out.push(character);
        }
    }
    out
}

fn lone_equals(source: &str) -> bool {
    let bytes = source.as_bytes();
    (0..bytes.len()).any(|index| {
        let before = index.checked_sub(1).and_then(|before| bytes.get(before));
        bytes[index] == b'='
            && !matches!(before, Some(b'=' | b'!' | b'<' | b'>'))
            && bytes.get(index + 1) != Some(&b'=')
    })
}

/// Where nodes of the tree stand in the source.
#[derive(Debug)]
pub(super) struct Places<'a> {
    pub(super) source: &'a str,
    pub(super) info: &'a SourceInfo,
}

impl Places<'_> {
    /// Bytes of the source that a node, with everything under it, covers.
    pub(super) fn span(&self, expression: &IdedExpr) -> Range<usize> {
        let mut range: Option<Range<usize>> = None;
        self.widen(expression, &mut range);
        range.unwrap_or(0..self.source.len())
    }

    fn widen(&self, expression: &IdedExpr, range: &mut Option<Range<usize>>) {
        if let Some((start, stop)) = self.info.offset_for(expression.id) {
            let mut own = self.source.floor_char_boundary(start as usize)
                ..self.source.ceil_char_boundary(stop as usize + 1);
            if let Expr::Select(select) = &expression.expr {
                let rest = &self.source[own.end..];
                let gap = rest.len() - rest.trim_start().len();
                if rest[gap..].starts_with(&select.field) {
                    own.end += gap + select.field.len();
                }
            }
            self.with_brackets(&mut own);
            *range = Some(match range.take() {
                None => own,
                Some(range) => range.start.min(own.start)..range.end.max(own.end),
            });
        }
        for child in children(expression) {
            self.widen(child, range);
        }
    }

    /// The parser places a call at its bracket: the name before and the closing bracket belong to it.
    fn with_brackets(&self, own: &mut Range<usize>) {
        let close = match self.source.as_bytes().get(own.start) {
            Some(b'(') => {
                let before = self.source[..own.start].trim_end();
                own.start = before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
                b')'
            }
            Some(b'[') => b']',
            Some(b'{') => b'}',
            _ => return,
        };
        let outside = outside_texts(self.source);
        let mut depth = 0_usize;
        for (offset, byte) in outside.bytes().enumerate().skip(own.start) {
            depth = match byte {
                b'(' | b'[' | b'{' => depth + 1,
                b')' | b']' | b'}' => depth.saturating_sub(1),
                _ => continue,
            };
            if depth == 0 {
                if byte == close {
                    own.end = own.end.max(offset + 1);
                }
                return;
            }
        }
    }
}

/// The nodes right under a node.
pub(super) fn children(expression: &IdedExpr) -> Vec<&IdedExpr> {
    match &expression.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Comprehension(comprehension) => vec![
            &comprehension.iter_range,
            &comprehension.accu_init,
            &comprehension.loop_cond,
            &comprehension.loop_step,
            &comprehension.result,
        ],
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) | Expr::Map(_) | Expr::Struct(_) => Vec::new(),
    }
}
