//! What is wrong with a template, and why a mail could not be rendered.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use crate::fault::Severity;

/// Products named with one fault, at most.
const PRODUCTS_MAX: usize = 3;

/// The parts of a template, each with its own source text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The subject line.
    Subject,
    /// What mail programs show beside the subject.
    Preheader,
    /// The MJML, and the HTML that comes from it.
    Body,
    /// The plain text.
    Text,
}

impl Part {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Preheader => "preheader",
            Self::Body => "body",
            Self::Text => "text",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that an author has to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileFault {
    /// Which of the sources `span` counts in.
    pub part: Part,
    /// Bytes of that source.
    pub span: Range<usize>,
    /// What is wrong, without a full stop.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// Errors keep the template out; warnings do not.
    pub severity: Severity,
}

impl CompileFault {
    /// An error at `span` of `part`.
    pub(super) fn new(part: Part, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { part, span, message: message.into(), help: None, severity: Severity::Error }
    }

    /// Says what to write instead.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Makes it a warning.
    pub(super) fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }
}

/// A fact that is printed as an address, alone, and is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingAddress {
    /// As the template names it, such as `p.image_url`.
    pub fact: String,
    /// Ids of products of which it is not known.
    pub products: Vec<String>,
}

/// Why one mail could not be rendered. It is data for the worker: the send is skipped, or gets its fallback variant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderFault {
    /// The renderer holds no such template.
    #[error("no template {hash} is loaded; load the catalogue again, or add the stored template")]
    UnknownTemplate {
        /// What was asked for.
        hash: String,
    },
    /// A stored template is not one that this program compiled.
    #[error("{template}: the stored template cannot be loaded: {message}; compile it again")]
    BadTemplate {
        /// The template's name.
        template: String,
        /// What the template engine said.
        message: String,
    },
    /// The facts are not an object.
    #[error("{template}: the facts are not an object; they must hold `profile`, `shop` and so on")]
    BadFacts {
        /// The template's name.
        template: String,
    },
    /// A fact that the template prints, or asks more of, is absent.
    #[error(
        "{template}: `{variable}` is missing in the {part}; name it under `inputs`, ask `{{% if {variable} %}}`, or \
         write `{{{{ {variable} or \"…\" }}}}`"
    )]
    MissingVariable {
        /// The template's name.
        template: String,
        /// Where.
        part: Part,
        /// Bytes of the compiled part; [`super::SourceMap::locate`] finds the author's text.
        span: Range<usize>,
        /// As written in the template.
        variable: String,
    },
    /// A filter was given what it cannot use, numbers were divided by zero, and so on.
    #[error("{template}: `{expression}` in the {part} cannot be worked out: {message}")]
    Expression {
        /// The template's name.
        template: String,
        /// Where.
        part: Part,
        /// Bytes of the compiled part; [`super::SourceMap::locate`] finds the author's text.
        span: Range<usize>,
        /// As written in the template.
        expression: String,
        /// What is wrong with it.
        message: String,
    },
    /// The address of a link or picture is none that may stand in a mail.
    #[error(
        "{template}: {} ({label}, in the {part}); correct the fact it comes from",
        told(message, missing.as_deref())
    )]
    BadAddress {
        /// The template's name.
        template: String,
        /// Where.
        part: Part,
        /// Bytes of the compiled part; [`super::SourceMap::locate`] finds the author's text.
        span: Range<usize>,
        /// Which link or picture.
        label: String,
        /// What is wrong with its address; it never holds the address itself.
        message: String,
        /// The fact that it is and that is empty.
        missing: Option<Box<MissingAddress>>,
    },
    /// A part grew over its limit.
    #[error("{template}: the {part} is over {limit_bytes} bytes; show fewer things in its loops")]
    TooLarge {
        /// The template's name.
        template: String,
        /// Which part.
        part: Part,
        /// The limit it is over.
        limit_bytes: usize,
    },
    /// The loops of a part went round too often.
    #[error(
        "{template}: the loops of the {part} go round more than {limit} times; show fewer things in them"
    )]
    TooManyRounds {
        /// The template's name.
        template: String,
        /// Which part.
        part: Part,
        /// The limit.
        limit: usize,
    },
    /// A part came out empty.
    #[error("{template}: the {part} is empty; write one that says something for every profile")]
    Empty {
        /// The template's name.
        template: String,
        /// Which part.
        part: Part,
    },
}

impl RenderFault {
    /// The same whoever it came out for.
    pub(crate) fn of_anybody(mut self) -> Self {
        if let Self::BadAddress { missing: Some(missing), .. } = &mut self {
            missing.products.clear();
        }
        self
    }

    /// Names the products without the address that is missing.
    pub(super) fn of_products(mut self, facts: &Map<String, Value>) -> Self {
        if let Self::BadAddress { missing: Some(missing), .. } = &mut self {
            let MissingAddress { fact, products } = &mut **missing;
            let name = fact.rsplit('.').next().unwrap_or_default();
            facts.values().for_each(|fact| collect_without(fact, name, products));
        }
        self
    }
}

/// Adds the ids of products, wherever they stand, whose field of this name is empty.
fn collect_without(fact: &Value, name: &str, products: &mut Vec<String>) {
    match fact {
        Value::Array(items) => items.iter().for_each(|item| collect_without(item, name, products)),
        Value::Object(fields) => {
            let id = fields.get("id").and_then(Value::as_str);
            if let (Some(id), Some("")) = (id, fields.get(name).and_then(Value::as_str))
                && products.len() < PRODUCTS_MAX
                && !products.iter().any(|known| known == id)
            {
                products.push(id.to_owned());
            }
            fields.values().for_each(|field| collect_without(field, name, products));
        }
        _ => {}
    }
}

/// An address that is empty, by the fact that it comes from.
fn told(message: &str, missing: Option<&MissingAddress>) -> String {
    match missing {
        Some(MissingAddress { fact, products }) if products.is_empty() => format!("{message}: `{fact}`"),
        Some(MissingAddress { fact, products }) => {
            format!("{message}: `{fact}`, which is not known of {}", products.join(", "))
        }
        None => message.to_owned(),
    }
}
