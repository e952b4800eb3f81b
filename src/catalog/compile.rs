//! Compiles what was composed: the same content once, on all cores.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use super::compose::Composed;
use super::contract::Contract;
use super::expand::Combination;
use super::expand::Source;
use crate::fault::Fault;
use crate::fault::Severity;
use crate::fault::SourceFile;
use crate::render;
use crate::render::CompileFault;
use crate::render::Compiled;
use crate::render::CompiledTemplate;
use crate::render::Part;
use crate::render::SourceMap;
use crate::render::TemplateParts;

/// Where the parts of a template were written.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    subject: Source,
    preheader: Option<Source>,
    text: Option<Source>,
    composed: Composed,
    language: Option<String>,
}

impl Origin {
    /// The file and bytes that `span` of a part's source stands in.
    fn locate(&self, part: Part, span: &Range<usize>) -> (SourceFile, Range<usize>) {
        let source = match part {
            Part::Subject => Some(&self.subject),
            Part::Preheader => Some(self.preheader.as_ref().unwrap_or(&self.subject)),
            Part::Text => self.text.as_ref(),
            Part::Body => None,
        };
        if let Some(source) = source {
            return (source.file.clone(), source.locate(span));
        }
        let place = self.composed.locate(span);
        place.map_or_else(|| (self.subject.file.clone(), 0..0), |(file, span)| (file.clone(), span))
    }
}

/// A compiled template, with the way back to its files.
#[derive(Debug, Clone)]
pub(super) struct Template {
    pub(super) compiled: Arc<CompiledTemplate>,
    pub(super) way_back: Arc<WayBack>,
}

/// From the bytes of a compiled template to those of its files.
#[derive(Debug)]
pub(super) struct WayBack {
    source_map: SourceMap,
    origin: Arc<Origin>,
}

impl WayBack {
    /// The file and bytes that `span` of a compiled part came from.
    pub(super) fn locate(&self, part: Part, span: &Range<usize>) -> Option<(SourceFile, Range<usize>)> {
        let (part, span) = self.source_map.locate(part, span)?;
        Some(self.origin.locate(part, &span))
    }
}

/// What is compiled once: two combinations of one content share it.
struct Job {
    origin: Arc<Origin>,
    offered: Offered,
}

/// Whether templates may name `offer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Offered {
    Yes,
    No,
}

/// MJML is nested up to 200 levels, and its parser calls itself.
const STACK_BYTES: usize = 16 * 1024 * 1024;

type JobKey<'a> = ([&'a str; 5], Offered);

/// Compiles all combinations. Gives, for each, its template, or nothing where it has faults; these are pushed.
pub(super) fn compile_all(
    combinations: &[&Combination],
    contract: &Contract,
    faults: &mut Vec<Fault>,
    warnings: &mut Vec<Fault>,
) -> Vec<Option<Template>> {
    let (jobs, job_of) = jobs(combinations);
    let contracts = (contract.clone(), contract.without(&["offer"]));
    let results = run(&jobs, &contracts);
    let mut templates = Vec::with_capacity(jobs.len());
    for (job, result) in jobs.iter().zip(results) {
        let located = |fault: CompileFault| located(&job.origin, fault);
        templates.push(match result {
            Some(Ok(compiled)) => {
                warnings.extend(compiled.warnings.into_iter().map(located));
                let origin = Arc::clone(&job.origin);
                Some(Template {
                    compiled: Arc::new(compiled.template),
                    way_back: Arc::new(WayBack { source_map: compiled.source_map, origin }),
                })
            }
            Some(Err(found)) => {
                for fault in found.into_iter().map(located) {
                    let into =
                        if fault.severity == Severity::Warning { &mut *warnings } else { &mut *faults };
                    into.push(fault);
                }
                None
            }
            None => {
                faults.push(Fault::general("a template could not be compiled: the compiler stopped"));
                None
            }
        });
    }
    job_of.into_iter().map(|job| templates[job].clone()).collect()
}

fn jobs(combinations: &[&Combination]) -> (Vec<Job>, Vec<usize>) {
    let mut known: HashMap<JobKey<'_>, usize> = HashMap::new();
    let mut jobs = Vec::new();
    let mut job_of = Vec::with_capacity(combinations.len());
    for combination in combinations {
        let offered = if combination.offer.is_some() { Offered::Yes } else { Offered::No };
        let preheader = combination.preheader.as_ref().map_or("", |source| source.text.as_str());
        let text = combination.text.as_ref().map_or("", |source| source.text.as_str());
        let language = combination.language.as_deref().unwrap_or_default();
        let (subject, body) = (combination.subject.text.as_str(), combination.composed.text.as_str());
        let key: JobKey<'_> = ([subject, preheader, body, text, language], offered);
        let job = *known.entry(key).or_insert_with(|| {
            let origin = Origin {
                subject: combination.subject.clone(),
                preheader: combination.preheader.clone(),
                text: combination.text.clone(),
                composed: combination.composed.clone(),
                language: combination.language.clone(),
            };
            jobs.push(Job { origin: Arc::new(origin), offered });
            jobs.len() - 1
        });
        job_of.push(job);
    }
    (jobs, job_of)
}

/// One result a job; `None` only where no thread could be had.
fn run(jobs: &[Job], contracts: &(Contract, Contract)) -> Vec<Option<Result<Compiled, Vec<CompileFault>>>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new((0..jobs.len()).map(|_| None).collect::<Vec<_>>());
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(index) else { return };
            let compiled = compile(job, contracts);
            results.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(compiled);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(jobs.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let builder = std::thread::Builder::new().stack_size(STACK_BYTES);
            if builder.spawn_scoped(scope, work).is_err() {
                break;
            }
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn compile(job: &Job, contracts: &(Contract, Contract)) -> Result<Compiled, Vec<CompileFault>> {
    let origin = &job.origin;
    let parts = TemplateParts {
        subject: &origin.subject.text,
        preheader: origin.preheader.as_ref().map_or("", |source| &source.text),
        mjml: &origin.composed.text,
        text: origin.text.as_ref().map(|source| source.text.as_str()),
        language: origin.language.as_deref(),
    };
    let contract = if job.offered == Offered::Yes { &contracts.0 } else { &contracts.1 };
    render::compile(&parts, contract)
}

fn located(origin: &Origin, fault: CompileFault) -> Fault {
    let (file, span) = origin.locate(fault.part, &fault.span);
    let CompileFault { message, help, severity, .. } = fault;
    Fault { file: Some(file), span, message, help, severity }
}
