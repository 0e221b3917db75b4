//! Paths opened as one stream of documents.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{BufRead, Cursor, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::detect::{self, HEAD};
use crate::detected::{Detected, DetectedField, Input, Role};
use crate::document::Document;
use crate::error::{Error, Result, RowError};
use crate::formats::{self, Context, Format, Problem, Reader};
use crate::infer::Sample;
use crate::input::{self, Packing};
use crate::options::{OnError, SourceOptions, StdinMode};
use crate::plan::{Misfit, Plan};
use crate::report::Report;
use crate::walk::{self, Found, Skipped};

/// At most so many files are opened for the sample, spread evenly over all.
const SAMPLED_FILES: usize = 64;
/// How much of stdin is read ahead to see what it is and to sample it.
const STDIN_HEAD: usize = 4 << 20;
/// The name of stdin in messages and ids.
const STDIN: &str = "<stdin>";

/// Documents from files, folders and stdin; opened once, read in bounded memory.
///
/// ```no_run
/// use kokeshi_sources::{Source, SourceOptions};
///
/// let source = Source::open(&["docs/".into(), "papers.jsonl.gz".into()], SourceOptions::default())?;
/// eprintln!("{}", source.detected());
/// for document in source.documents() {
///     match document {
///         Ok(document) => println!("{} {}", document.id, document.title),
///         Err(error) => eprintln!("{error}"),
///     }
/// }
/// for line in source.report().lines() {
///     eprintln!("{line}");
/// }
/// # Ok::<(), kokeshi_sources::Error>(())
/// ```
pub struct Source {
    files: Arc<Vec<Found>>,
    stdin: Arc<Mutex<Option<Stream>>>,
    options: Arc<SourceOptions>,
    plans: Arc<Plans>,
    detected: Detected,
    total: u64,
    read: Arc<AtomicU64>,
    report: Arc<Mutex<Report>>,
}

/// The plans of the two families of formats.
struct Plans {
    table: Plan,
    whole: Plan,
    table_order: HashSet<Arc<str>>,
}

/// Stdin or another stream: it can be read once.
struct Stream {
    input: Box<dyn BufRead + Send>,
    format: Format,
}

impl Source {
    /// Opens `paths` (files, folders, or `-` for stdin): looks at every file's first bytes and samples rows.
    ///
    /// # Errors
    /// A path that isn't there or can't be read, a named field that isn't there, or nothing to read at all. Damage inside files is
    /// found by [`Self::documents`].
    pub fn open(paths: &[PathBuf], options: SourceOptions) -> Result<Self> {
        let files: Vec<PathBuf> = paths
            .iter()
            .filter(|path| path.as_os_str() != "-")
            .cloned()
            .collect();
        let stream: Option<Box<dyn Read + Send>> =
            (files.len() < paths.len()).then(|| Box::new(std::io::stdin()) as Box<dyn Read + Send>);
        Self::new(&files, stream, paths, options)
    }

    /// Reads a stream as stdin is read.
    ///
    /// # Errors
    /// A named field that isn't there, or a stream that can't be read.
    pub fn from_reader(input: impl Read + Send + 'static, options: SourceOptions) -> Result<Self> {
        Self::new(&[], Some(Box::new(input)), &[], options)
    }

    fn new(
        paths: &[PathBuf],
        stream: Option<Box<dyn Read + Send>>,
        given: &[PathBuf],
        options: SourceOptions,
    ) -> Result<Self> {
        let mut skipped = Skipped::default();
        let files = walk::files(paths, &options, &mut skipped)?;
        let mut table = Sample::default();
        let mut whole = Sample::default();
        let mut inputs: Vec<Input> = Vec::new();
        for file in &files {
            Input::count(&mut inputs, file.format, file.bytes);
        }
        let stream = match stream {
            None => None,
            Some(mut stream) => {
                let mut head = Vec::new();
                (&mut stream)
                    .take(STDIN_HEAD as u64)
                    .read_to_end(&mut head)
                    .map_err(Error::io(STDIN))?;
                let format = stream_format(&head, &options)?;
                Input::count(&mut inputs, format, 0);
                // A row that is cut off by the end of the head must not be sampled.
                let end = if head.len() < STDIN_HEAD {
                    head.len()
                } else {
                    memchr::memrchr(b'\n', &head).unwrap_or(0)
                };
                let sample = if format.is_table() { &mut table } else { &mut whole };
                let context = Context {
                    name: STDIN,
                    packing: Packing::Plain,
                    options: &options,
                };
                // A format that can't be streamed is reported when its turn comes.
                if let Ok(reader) =
                    formats::reader(format, Box::new(Cursor::new(head[..end].to_vec())), &context)
                {
                    take_sample(reader, options.sample_rows, sample);
                }
                let input = std::io::BufReader::with_capacity(256 << 10, stream);
                Some(Stream {
                    input: Box::new(Cursor::new(head).chain(input)),
                    format,
                })
            }
        };
        if files.is_empty() && stream.is_none() {
            let why = match skipped.lines() {
                lines if lines.is_empty() => {
                    "no files there (hidden files and those in .gitignore are left out)".into()
                }
                lines => lines.join("; "),
            };
            return Err(Error::Nothing {
                paths: given
                    .iter()
                    .map(|path| walk::display(path))
                    .collect::<Vec<_>>()
                    .join(", "),
                why,
            });
        }
        for is_table in [true, false] {
            let family: Vec<&Found> = files
                .iter()
                .filter(|file| file.format.is_table() == is_table && file.format.has_attributes())
                .collect();
            let sampled = family.len().min(SAMPLED_FILES);
            for number in 0..sampled {
                let file = family[number * family.len() / sampled];
                let rows = (options.sample_rows / sampled).max(20);
                let reader = open_reader(file, &options, &Arc::default(), None);
                // A file that can't be opened is reported when its turn comes.
                if let Ok(reader) = reader {
                    take_sample(reader, rows, if is_table { &mut table } else { &mut whole });
                }
            }
        }
        let has_tables = inputs.iter().any(|input| input.format.is_table());
        let plans = Plans {
            table: if has_tables {
                Plan::for_table(&table, &options)?
            } else {
                Plan::default()
            },
            whole: Plan::for_whole(&whole, &options)?,
            table_order: table.order.iter().cloned().collect(),
        };
        let detected = detected(&inputs, &table, &whole, &plans, skipped.lines());
        let total = files.iter().map(|file| file.bytes).sum();
        Ok(Self {
            files: Arc::new(files),
            stdin: Arc::new(Mutex::new(stream)),
            options: Arc::new(options),
            plans: Arc::new(plans),
            detected,
            total,
            read: Arc::default(),
            report: Arc::default(),
        })
    }

    /// What was found: formats, fields with their parts and types, and what was left alone.
    pub fn detected(&self) -> &Detected {
        &self.detected
    }

    /// All documents, in the order of the paths. A bad row or file comes as an error in its place; if it is not fatal, the next
    /// documents follow. Files can be read again by calling this again, a stream only once.
    pub fn documents(&self) -> Documents {
        self.read.store(0, Ordering::Relaxed);
        *lock(&self.report) = Report::default();
        Documents {
            files: Arc::clone(&self.files),
            next_file: 0,
            stream: lock(&self.stdin).take(),
            options: Arc::clone(&self.options),
            plans: Arc::clone(&self.plans),
            read: Arc::clone(&self.read),
            report: Arc::clone(&self.report),
            current: None,
            seen: HashSet::default(),
            misfits: Vec::new(),
            ended: false,
        }
    }

    /// Bytes read from the disk so far and in all (packed files count packed); in all is 0 for a stream, whose end nobody knows.
    pub fn progress(&self) -> (u64, u64) {
        (self.read.load(Ordering::Relaxed), self.total)
    }

    /// A handle for [`Self::progress`] that another thread can keep.
    pub fn bytes_read(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }

    /// What the last [`Self::documents`] came upon so far.
    pub fn report(&self) -> Report {
        lock(&self.report).clone()
    }
}

/// A lock that outlives a panic elsewhere: what it guards is only ever replaced as a whole or counted up.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a stream holds.
fn stream_format(head: &[u8], options: &SourceOptions) -> Result<Format> {
    if let Some(format) = options.format {
        return Ok(format);
    }
    if options.stdin != StdinMode::Whole && detect::is_utf16(head) {
        return Err(Error::File {
            path: STDIN.into(),
            problem: format!("expected UTF-8, found {}", detect::UTF16),
        });
    }
    Ok(match options.stdin {
        StdinMode::Jsonl => Format::Jsonl,
        StdinMode::Lines => Format::Lines,
        StdinMode::Whole => Format::Text,
        StdinMode::Auto if detect::is_binary(&head[..head.len().min(HEAD)]) => {
            return Err(Error::File {
                path: STDIN.into(),
                problem: "expected JSON Lines or text, found binary data (unpack it first)".into(),
            });
        }
        StdinMode::Auto if detect::starts_with_json_object_line(head) => Format::Jsonl,
        StdinMode::Auto => Format::Lines,
    })
}

pub(crate) fn open_reader(
    file: &Found,
    options: &SourceOptions,
    counter: &Arc<AtomicU64>,
    wanted: Option<&Plan>,
) -> std::result::Result<Box<dyn Reader>, Problem> {
    if file.format == Format::Parquet && file.packing == Packing::Plain {
        let wanted = wanted.map(|plan| |name: &str| plan.parts.contains_key(name));
        let wanted = wanted.as_ref().map(|wanted| wanted as &dyn Fn(&str) -> bool);
        return Ok(Box::new(formats::parquet::Parquet::open(
            &file.path, counter, wanted,
        )?));
    }
    let context = Context {
        name: &file.name,
        packing: file.packing,
        options,
    };
    let input = input::open(&file.path, file.packing, counter)
        .map_err(|error| Problem::file(0, input::explain(&error, Packing::Plain)))?;
    formats::reader(file.format, input, &context)
}

fn take_sample(mut reader: Box<dyn Reader>, rows: usize, sample: &mut Sample) {
    let mut taken = 0;
    let mut bad = 0;
    while taken < rows && bad < rows {
        match reader.next() {
            None => return,
            Some(Ok(record)) => {
                sample.add(&record);
                taken += 1;
            }
            Some(Err(problem)) if problem.ends_file => return,
            Some(Err(_)) => bad += 1,
        }
    }
}

fn detected(
    inputs: &[Input],
    table: &Sample,
    whole: &Sample,
    plans: &Plans,
    notices: Vec<String>,
) -> Detected {
    let mut fields: Vec<DetectedField> = Vec::new();
    let mut schema = plans.table.schema(&table.order);
    let mut notices = notices;
    for (sample, plan) in [(table, &plans.table), (whole, &plans.whole)] {
        for name in &sample.order {
            let (Some(stats), parts) = (sample.fields.get(name), plan.parts.get(name)) else {
                continue;
            };
            let role = match parts {
                Some(parts) if parts.id.is_some() => Role::Id,
                Some(parts) if parts.title.is_some() && parts.text.is_some() => Role::TitleAndText,
                Some(parts) if parts.title.is_some() => Role::Title,
                Some(parts) if parts.text.is_some() => Role::Text,
                Some(parts) if parts.attribute.is_some() => Role::Attribute,
                _ => Role::LeftOut,
            };
            if role == Role::LeftOut && stats.is_nested() {
                notices.push(format!(
                    "field {name:?} is left out: it holds objects or lists of lists"
                ));
            }
            let attribute = parts
                .and_then(|parts| parts.attribute.as_ref())
                .map(|rule| rule.field.clone());
            if let Some(field) = attribute.as_ref().filter(|field| *field.name != **name) {
                notices.push(format!("field {name:?} is the attribute {}", field.name));
            }
            fields.push(DetectedField {
                name: name.to_string(),
                role,
                attribute,
                split: parts
                    .and_then(|parts| parts.attribute.as_ref())
                    .is_some_and(|rule| rule.split.is_some()),
                example: stats.example.clone(),
                filled: stats.filled as f64 / sample.rows.max(1) as f64,
            });
        }
    }
    for field in plans.whole.schema(&whole.order).fields {
        if schema.field(&field.name).is_none() {
            schema.fields.push(field);
        }
    }
    Detected {
        inputs: inputs.to_vec(),
        sampled: table.rows + whole.rows,
        fields,
        schema,
        notices,
    }
}

/// The stream of documents of a [`Source`]; it can move to another thread.
pub struct Documents {
    files: Arc<Vec<Found>>,
    next_file: usize,
    stream: Option<Stream>,
    options: Arc<SourceOptions>,
    plans: Arc<Plans>,
    read: Arc<AtomicU64>,
    report: Arc<Mutex<Report>>,
    current: Option<Current>,
    /// XXH3 of the ids so far, to count those that come twice.
    seen: HashSet<u64, BuildHasherDefault<Same>>,
    misfits: Vec<Misfit>,
    ended: bool,
}

/// The file that is being read.
struct Current {
    reader: Box<dyn Reader>,
    name: String,
    table: bool,
}

impl Documents {
    fn is_fatal(&self) -> bool {
        self.options.on_error == OnError::Fail
    }

    /// Opens the next file, or says that there is none.
    fn advance(&mut self) -> Option<std::result::Result<(), RowError>> {
        if let Some(file) = self.files.get(self.next_file) {
            self.next_file += 1;
            return Some(
                match open_reader(file, &self.options, &self.read, Some(&self.plans.table)) {
                    Ok(reader) => {
                        self.current = Some(Current {
                            reader,
                            name: file.name.clone(),
                            table: file.format.is_table(),
                        });
                        Ok(())
                    }
                    Err(problem) => Err(self.bad(problem, &file.name.clone())),
                },
            );
        }
        let Stream { input, format } = self.stream.take()?;
        let context = Context {
            name: STDIN,
            packing: Packing::Plain,
            options: &self.options,
        };
        let reader = match formats::reader(format, input, &context) {
            Ok(reader) => reader,
            Err(problem) => return Some(Err(self.bad(problem, STDIN))),
        };
        self.current = Some(Current {
            reader,
            name: STDIN.into(),
            table: format.is_table(),
        });
        Some(Ok(()))
    }

    fn bad(&mut self, problem: Problem, name: &str) -> RowError {
        let mut report = lock(&self.report);
        if problem.ends_file {
            report.damaged_files += 1;
        } else {
            report.skipped_rows += 1;
        }
        drop(report);
        self.ended |= self.is_fatal();
        problem.at(name, self.is_fatal())
    }
}

impl Iterator for Documents {
    type Item = std::result::Result<Document, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.ended {
                return None;
            }
            let Some(mut current) = self.current.take() else {
                match self.advance() {
                    None => self.ended = true,
                    Some(Ok(())) => {}
                    Some(Err(error)) => return Some(Err(error)),
                }
                continue;
            };
            let record = match current.reader.next() {
                None => {
                    let replaced = current.reader.replaced();
                    if replaced > 0 {
                        lock(&self.report).replaced(&current.name, replaced);
                    }
                    continue;
                }
                Some(Err(problem)) => {
                    let error = self.bad(problem, &current.name);
                    self.current = Some(current);
                    return Some(Err(error));
                }
                Some(Ok(record)) => record,
            };
            let line = record.line;
            let plans = Arc::clone(&self.plans);
            let plan = if current.table { &plans.table } else { &plans.whole };
            let unknown: Vec<Arc<str>> = if current.table {
                let news = record.fields.iter().map(|(name, _)| name);
                news.filter(|name| !plans.table_order.contains(*name))
                    .cloned()
                    .collect()
            } else {
                Vec::new()
            };
            let made = plan.document(record, &current.name, &mut self.misfits);
            let name = current.name.clone();
            self.current = Some(current);
            let (document, derived) = match made {
                Ok(made) => made,
                Err(what) => return Some(Err(self.bad(Problem::row(line, what), &name))),
            };
            if self.is_fatal()
                && let Some(misfit) = self.misfits.pop()
            {
                return Some(Err(self.bad(Problem::row(line, misfit.problem), &name)));
            }
            let mut report = lock(&self.report);
            for misfit in self.misfits.drain(..) {
                report.drop_value(&misfit, &document.origin);
            }
            for name in unknown {
                report.late_field(&name, &document.origin);
            }
            report.documents += 1;
            report.derived_ids += u64::from(derived);
            report.empty += u64::from(document.text.trim().is_empty() && document.title.trim().is_empty());
            if !self
                .seen
                .insert(xxhash_rust::xxh3::xxh3_64(document.id.as_bytes()))
            {
                report.duplicate(&document.id, &document.origin);
            }
            drop(report);
            return Some(Ok(document));
        }
    }
}

/// Takes hashes as they are.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
