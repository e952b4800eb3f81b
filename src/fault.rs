//! A fault in something that a person wrote: which file, where, what is wrong, what to write instead.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use miette::Diagnostic;
use miette::LabeledSpan;
use miette::SourceCode;

/// A file as it was read, so that a fault can show its line.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Relative to the folder that the user named.
    pub path: PathBuf,
    /// Its whole text.
    pub text: Arc<str>,
}

/// How bad a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The thing cannot be used.
    Error,
    /// It can be used, and somebody should look.
    Warning,
}

/// One fault, shown with its file, line and caret.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Where it was found; `None` for faults of no single file.
    pub file: Option<SourceFile>,
    /// Bytes of the file's text that the caret stands under.
    pub span: Range<usize>,
    /// What is wrong, without a full stop.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// How bad it is.
    pub severity: Severity,
}

impl Fault {
    /// An error in `file` at `span`.
    pub fn at(file: &SourceFile, span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            file: Some(file.clone()),
            span,
            message: message.into(),
            help: None,
            severity: Severity::Error,
        }
    }

    /// An error of no single file.
    pub fn general(message: impl Into<String>) -> Self {
        Self { file: None, span: 0..0, message: message.into(), help: None, severity: Severity::Error }
    }

    /// Says what to write instead.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Makes it a warning.
    #[must_use]
    pub fn as_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Line of the span's start, from 1; 0 where there is no file.
    pub fn line(&self) -> usize {
        self.file.as_ref().map_or(0, |file| {
            let end = file.text.floor_char_boundary(self.span.start.min(file.text.len()));
            file.text[..end].matches('\n').count() + 1
        })
    }
}

/// The message alone; [`render_all`] shows the place.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl Diagnostic for Fault {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.file.as_ref().map(|file| file as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.file.as_ref()?;
        let span = self.span.start..self.span.end.max(self.span.start);
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(None, span))))
    }
}

impl SourceCode for SourceFile {
    fn read_span<'a>(
        &'a self,
        span: &miette::SourceSpan,
        context_lines_before: usize,
        context_lines_after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, miette::MietteError> {
        let contents = self.text.as_ref().read_span(span, context_lines_before, context_lines_after)?;
        Ok(Box::new(miette::MietteSpanContents::new_named(
            self.path.display().to_string(),
            contents.data(),
            *contents.span(),
            contents.line(),
            contents.column(),
            contents.line_count(),
        )))
    }
}

/// All faults of a check, printed one under the other by miette.
pub fn render_all(faults: &[Fault]) -> String {
    let handler = miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor());
    let mut out = String::new();
    for fault in faults {
        if handler.render_report(&mut out, fault).is_err() {
            out.push_str(&fault.message);
        }
        out.push('\n');
    }
    out
}
