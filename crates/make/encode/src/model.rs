//! A loaded model: the modules of a directory, run in order.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use kokeshi_core::{Embeddings, Metric, Size};
use kokeshi_kernels::{Buffer, Level};
use kokeshi_tokens::Encoding;
use rayon::prelude::*;

use crate::bytes_to_words::BytesToWords;
use crate::chunks::chunks;
use crate::directory::{self, Kind, Listed};
use crate::encoder::Scratch;
use crate::error::{Error, Result};
use crate::heads::{self, Head};
use crate::hub;
use crate::naming;
use crate::options::{LoadOptions, Options, Task};
use crate::prompts::{self, Prompts};
use crate::router;
use crate::static_model::StaticModel;
use crate::trained;
use crate::transformer::Transformer;
use crate::words::{WordBytes, WordIds, words};

/// Texts of a static model in a chunk.
const CHUNK_TEXTS: usize = 256;

/// The widths that the compiled-in model was trained for; assets/README.md says how good each is.
const COMPILED_IN_SIZES: [usize; 4] = [32, 64, 128, 256];

/// A loaded model. Cheap to clone, shared between threads.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

struct Inner {
    id: String,
    /// `None`: part of the program.
    folder: Option<PathBuf>,
    fingerprint: u64,
    input: Arc<Input>,
    heads: Arc<Vec<Head>>,
    /// What takes its place for texts with a task; empty if all take the same way.
    routes: Vec<(Task, Model)>,
    dims: usize,
    sizes: Vec<Size>,
    prompts: Prompts,
    metric: Metric,
    level: Level,
}

/// The first modules: what turns texts into vectors.
enum Input {
    Transformer(Box<Transformer>),
    Static(Box<StaticModel>),
    Bytes(Box<BytesToWords>),
}

impl Input {
    fn dims(&self) -> usize {
        match self {
            Self::Transformer(transformer) => transformer.dims(),
            Self::Static(model) => model.dims(),
            Self::Bytes(model) => model.dims(),
        }
    }
}

/// Memory of one thread.
#[derive(Default)]
struct Workspace {
    encoder: Scratch,
    encoding: Encoding,
    pooled: Buffer,
    spare: Buffer,
}

thread_local! {
    static WORKSPACE: RefCell<Workspace> = RefCell::default();
}

/// Modules in order: what turns texts into vectors, and what happens to those.
struct Pipeline {
    input: Arc<Input>,
    heads: Arc<Vec<Head>>,
    dims: usize,
}

/// Loads pipelines; what stands first in several is loaded once.
struct Loader<'a> {
    root: &'a Path,
    options: &'a LoadOptions,
    /// Whether there are several.
    routed: bool,
    inputs: Vec<(Vec<Listed>, Arc<Input>)>,
}

impl Loader<'_> {
    fn pipeline(&mut self, modules: &[Listed]) -> Result<Pipeline> {
        let mut rest = modules.iter().peekable();
        let (first, pooling) = match rest.next() {
            Some(first) if first.kind == Kind::Transformer => {
                (first, rest.next_if(|next| next.kind == Kind::Pooling))
            }
            Some(first) if matches!(first.kind, Kind::StaticEmbedding | Kind::BytesToWords) => (first, None),
            _ => {
                return Err(Error::model(
                    &self.root.join("modules.json"),
                    "expected a Transformer, StaticEmbedding or BytesToWords module first",
                ));
            }
        };
        let input = self.input(first, pooling)?;
        let mut dims = input.dims();
        let mut heads = Vec::new();
        for module in rest {
            if let Some(head) = Head::load(module, dims)? {
                dims = head.dims(dims);
                heads.push(head);
            }
        }
        Ok(Pipeline {
            input,
            heads: Arc::new(heads),
            dims,
        })
    }

    fn input(&mut self, first: &Listed, pooling: Option<&Listed>) -> Result<Arc<Input>> {
        let key: Vec<Listed> = [Some(first), pooling].into_iter().flatten().cloned().collect();
        if let Some((_, known)) = self.inputs.iter().find(|(known, _)| *known == key) {
            return Ok(known.clone());
        }
        let input = match first.kind {
            Kind::Transformer => {
                let pooling = pooling.filter(|_| self.root.join("modules.json").is_file());
                let pooling = pooling.map(|module| module.folder.as_path());
                Input::Transformer(Box::new(Transformer::load(&first.folder, pooling, self.options)?))
            }
            _ => {
                // Beside a transformer, options are for that one.
                if !self.routed {
                    self.options.for_static(&first.folder)?;
                }
                match first.kind {
                    Kind::BytesToWords => Input::Bytes(Box::new(BytesToWords::load(&first.folder)?)),
                    _ => Input::Static(Box::new(StaticModel::load(&first.folder)?)),
                }
            }
        };
        self.inputs.push((key, Arc::new(input)));
        Ok(self.inputs[self.inputs.len() - 1].1.clone())
    }

    /// Whether there is a transformer among what was loaded.
    fn computes(&self) -> bool {
        let mut inputs = self.inputs.iter();
        inputs.any(|(_, input)| matches!(**input, Input::Transformer(_)))
    }
}

/// What is asked of one call.
struct Request<'a> {
    prompt: &'a str,
    skip: usize,
    layers: usize,
    dims: usize,
    normalize: bool,
}

impl Model {
    /// Loads a directory, or a hub id such as `sentence-transformers/all-MiniLM-L6-v2`: from the cache of the hub's own tools, downloaded
    /// there first if it is missing. `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE`, `HF_ENDPOINT` and `HF_TOKEN` mean what they mean to those tools.
    ///
    /// # Errors
    /// [`Error::Model`] that names the file and what is wrong with it.
    pub fn load(path_or_id: &str) -> Result<Self> {
        Self::load_with(path_or_id, &LoadOptions::default())
    }

    /// The same with a choice of how it computes, how much of a text it reads, and how. What a name that ends in `@int8`, `@context=2048`,
    /// `@position=pi` or `@temperature=0.8` says wins over the options: that is how [`Model::id`] writes them, so that an id that was
    /// kept loads the same model again.
    ///
    /// # Errors
    /// [`Error::Model`] that names the file and what is wrong with it, or does not go together with the options; [`Error::Request`] if
    /// what stands behind the name can't be read.
    pub fn load_with(path_or_id: &str, options: &LoadOptions) -> Result<Self> {
        let (name, options) = naming::split(path_or_id, options)?;
        Self::open(name, &hub::find(name)?, &options)
    }

    /// The small static model that is part of the program.
    pub fn compiled_in() -> Self {
        static MODEL: OnceLock<Model> = OnceLock::new();
        let model = MODEL.get_or_init(|| {
            let model = StaticModel::compiled_in();
            Self {
                inner: Arc::new(Inner {
                    id: "kokeshi-static".into(),
                    folder: None,
                    fingerprint: model.fingerprint(),
                    dims: model.dims(),
                    sizes: COMPILED_IN_SIZES.map(Size::dims).to_vec(),
                    input: Arc::new(Input::Static(Box::new(model))),
                    heads: Arc::new(vec![Head::Normalize]),
                    routes: Vec::new(),
                    prompts: Prompts::default(),
                    metric: Metric::Cosine,
                    level: Level::best(),
                }),
            }
        });
        model.clone()
    }

    fn open(id: &str, root: &Path, options: &LoadOptions) -> Result<Self> {
        let modules = directory::modules(root)?;
        let mut pipelines = router::pipelines(&modules)?;
        let routed = !pipelines.is_empty();
        if !routed {
            pipelines.push((Task::Plain, modules.clone()));
        }
        let mut loader = Loader {
            root,
            options,
            routed,
            inputs: Vec::new(),
        };
        let mut ways = Vec::new();
        for (task, modules) in &pipelines {
            ways.push((*task, loader.pipeline(modules)?));
        }
        let settings = directory::read_optional(&root.join("config_sentence_transformers.json"))?;
        let (id, computed) = match loader.computes() {
            true => (format!("{id}{}", naming::suffix(options)), options.fingerprint()),
            // It only adds up rows of a table.
            false => (id.to_string(), 0),
        };
        let fingerprint = directory::fingerprint(root, &router::flat(modules)?)? ^ computed;
        let (prompts, metric) = (Prompts::load(&settings)?, prompts::metric(&settings)?);
        let sizes = trained::sizes(root)?;
        let made = |way: &Pipeline, routes: Vec<(Task, Model)>| Self {
            inner: Arc::new(Inner {
                id: id.clone(),
                folder: Some(root.into()),
                fingerprint,
                input: way.input.clone(),
                heads: way.heads.clone(),
                routes,
                dims: way.dims,
                sizes: sizes.clone(),
                prompts: prompts.clone(),
                metric,
                level: Level::best(),
            }),
        };
        let first = &ways[0].1;
        if let Some((_, other)) = ways.iter().find(|(_, way)| way.dims != first.dims) {
            return Err(Error::model(
                &root.join("modules.json"),
                format!(
                    "expected routes with vectors of one width, found {} and {}",
                    first.dims, other.dims
                ),
            ));
        }
        let routes = match routed {
            true => ways
                .iter()
                .map(|(task, way)| (*task, made(way, Vec::new())))
                .collect(),
            false => Vec::new(),
        };
        Ok(made(first, routes))
    }

    /// What encodes texts with this task.
    fn route(&self, task: Task) -> Result<&Self> {
        if self.inner.routes.is_empty() {
            return Ok(self);
        }
        let found = self.inner.routes.iter().find(|(known, _)| *known == task);
        found.map(|(_, model)| model).ok_or_else(|| {
            let known: Vec<String> = self
                .inner
                .routes
                .iter()
                .map(|(task, _)| format!("{task:?}").to_lowercase())
                .collect();
            Error::Request(format!(
                "the model {} takes texts with the task {} only",
                self.inner.id,
                known.join(" or ")
            ))
        })
    }

    /// What it was loaded from, with what is not the default behind it (`@int8`, `@context=2048`, `@position=pi`, `@temperature=0.8`); or
    /// `kokeshi-static`.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// The directory that it was loaded from; `None` for the model that is part of the program.
    pub fn folder(&self) -> Option<&Path> {
        self.inner.folder.as_deref()
    }

    /// A checksum over weights, tokenizer and configuration: two models with the same fingerprint give the same vectors.
    pub fn fingerprint(&self) -> String {
        format!("{:016x}", self.inner.fingerprint)
    }

    /// The width of its vectors at full size.
    pub fn dims(&self) -> usize {
        self.inner.dims
    }

    /// The sizes that it was trained to be used at, as its `kokeshi.json` lists them; others can be asked for too. Empty if nobody says.
    pub fn sizes(&self) -> &[Size] {
        &self.inner.sizes
    }

    /// How many layers can be run; 0 for a static model.
    pub fn layers(&self) -> usize {
        match &*self.inner.input {
            Input::Transformer(transformer) => transformer.layers(),
            Input::Static(_) | Input::Bytes(_) => 0,
        }
    }

    /// The most tokens of a text it reads, special tokens included; `None`: no limit.
    pub fn max_tokens(&self) -> Option<usize> {
        match &*self.inner.input {
            Input::Transformer(transformer) => Some(transformer.max_tokens()),
            Input::Static(_) | Input::Bytes(_) => None,
        }
    }

    /// How many tokens of a text it has positions for, those of `context` included; `max_tokens` may be fewer. `None`: no limit.
    pub fn positions(&self) -> Option<usize> {
        match &*self.inner.input {
            Input::Transformer(transformer) => Some(transformer.positions()),
            Input::Static(_) | Input::Bytes(_) => None,
        }
    }

    /// How its vectors are meant to be compared.
    pub fn metric(&self) -> Metric {
        self.inner.metric
    }

    /// Encodes texts, in order: `[texts, dims]`. Works in parallel over the texts.
    ///
    /// # Errors
    /// [`Error::Request`] if the model has no such prompt or size, or other modules for each task and none for this one.
    pub fn encode<T: AsRef<str> + Sync>(&self, texts: &[T], options: &Options) -> Result<Embeddings> {
        let way = self.route(options.task)?;
        let mut encoded = way.encode_requests(texts, &[way.request(options, options.size)?])?;
        Ok(encoded.remove(0))
    }

    /// Encodes texts at several sizes, one result for each, as [`Model::encode`] does for one; the size of `options` is not looked at. The
    /// layers are run once: those of a smaller size are on the way to those of a larger one.
    ///
    /// # Errors
    /// As [`Model::encode`].
    pub fn encode_sizes<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        sizes: &[Size],
        options: &Options,
    ) -> Result<Vec<Embeddings>> {
        let way = self.route(options.task)?;
        let requests = sizes.iter().map(|size| way.request(options, *size));
        way.encode_requests(texts, &requests.collect::<Result<Vec<_>>>()?)
    }

    /// One result for each request; they differ in size alone.
    fn encode_requests<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        requests: &[Request<'_>],
    ) -> Result<Vec<Embeddings>> {
        let Some(first) = requests.first() else {
            return Ok(Vec::new());
        };
        match &*self.inner.input {
            Input::Transformer(transformer) => {
                let mut words = WordIds::default();
                let tokens = transformer.tokenize(first.prompt, texts, &mut words)?;
                self.encode_rows(transformer, &tokens, words.words(), requests)
            }
            Input::Static(model) => self.encode_static(texts, requests, |text, encoding, out| {
                model.encode(text, encoding, out);
            }),
            Input::Bytes(model) => {
                self.encode_static(texts, requests, |text, _, out| model.encode(text, out))
            }
        }
    }

    /// Encodes texts that are token ids already, special tokens included, without a prompt: `[texts, dims]`.
    ///
    /// # Errors
    /// [`Error::Request`] if the model is static or reads words, has no such size, can't read so many tokens or has no token with such an id.
    pub fn encode_ids(&self, ids: &[Vec<u32>], options: &Options) -> Result<Embeddings> {
        self.route(options.task)?.encode_rows_of(ids, options)
    }

    fn encode_rows_of(&self, ids: &[Vec<u32>], options: &Options) -> Result<Embeddings> {
        let transformer = self.transformer()?;
        self.expect_vocabulary(transformer)?;
        let (most, vocabulary) = (transformer.max_tokens(), transformer.vocabulary());
        let fits = |ids: &Vec<u32>| ids.len() <= most && ids.iter().all(|id| (*id as usize) < vocabulary);
        if let Some(at) = ids.iter().position(|ids| ids.is_empty() || !fits(ids)) {
            return Err(Error::Request(format!(
                "text {at}: expected 1 to {most} ids below {vocabulary}"
            )));
        }
        let request = Request {
            prompt: "",
            skip: 0,
            ..self.request(options, options.size)?
        };
        Ok(self.encode_rows(transformer, ids, &[], &[request])?.remove(0))
    }

    /// The token ids of texts as [`Model::encode`] reads them, prompt and special tokens included, cut at `max_tokens`.
    ///
    /// # Errors
    /// [`Error::Request`] if the model is static or reads words, or has no such prompt.
    pub fn token_ids<T: AsRef<str> + Sync>(&self, texts: &[T], options: &Options) -> Result<Vec<Vec<u32>>> {
        self.expect_vocabulary(self.transformer()?)?;
        self.ids_with_words(texts, options, &mut WordIds::default())
    }

    /// The same for models with a vocabulary and for those that read words: ids of the latter are numbers in `words`, which gets the words that
    /// it does not have yet.
    ///
    /// # Errors
    /// [`Error::Request`] if the model is static, or has no such prompt.
    pub fn ids_with_words<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        options: &Options,
        words: &mut WordIds,
    ) -> Result<Vec<Vec<u32>>> {
        let prompt = self.inner.prompts.resolve(options)?;
        self.transformer()?.tokenize(prompt, texts, words)
    }

    fn transformer(&self) -> Result<&Transformer> {
        match &*self.inner.input {
            Input::Transformer(transformer) => Ok(transformer),
            _ => {
                let problem = format!("the model {} is not a transformer", self.inner.id);
                Err(Error::Request(problem))
            }
        }
    }

    fn expect_vocabulary(&self, transformer: &Transformer) -> Result<()> {
        match transformer.reads_words() {
            false => Ok(()),
            true => {
                let problem = format!(
                    "the model {} makes words of bytes and has no token ids",
                    self.inner.id
                );
                Err(Error::Request(problem))
            }
        }
    }

    /// Byte ranges of the tokens of `text`, in order, special tokens left out, not cut at `max_tokens`.
    pub fn token_ranges(&self, text: &str) -> Vec<std::ops::Range<usize>> {
        match &*self.inner.input {
            Input::Transformer(transformer) => transformer.token_ranges(text),
            Input::Static(model) => model.token_ranges(text),
            Input::Bytes(_) => words(text),
        }
    }

    fn request<'a>(&'a self, options: &'a Options, size: Size) -> Result<Request<'a>> {
        let prompt = self.inner.prompts.resolve(options)?;
        let within = |asked: Option<usize>, most: usize, what: &str| match asked {
            None => Ok(most),
            Some(asked) if (1..=most).contains(&asked) => Ok(asked),
            Some(asked) => Err(Error::Request(format!(
                "the model {} has {most} {what}, asked for {asked}",
                self.inner.id
            ))),
        };
        Ok(Request {
            prompt,
            skip: match &*self.inner.input {
                Input::Transformer(transformer) => transformer.skipped(prompt),
                Input::Static(_) | Input::Bytes(_) => 0,
            },
            layers: within(size.layers, self.layers(), "layers")?,
            dims: within(size.dims, self.inner.dims, "dims")?,
            normalize: options.normalize.unwrap_or_else(|| {
                // What the last module made unit length stays so when it is cut.
                let cut = size.dims.is_some_and(|dims| dims < self.inner.dims);
                cut && matches!(self.inner.heads.last(), Some(Head::Normalize))
            }),
        })
    }

    fn encode_rows(
        &self,
        transformer: &Transformer,
        tokens: &[Vec<u32>],
        words: &[WordBytes],
        requests: &[Request<'_>],
    ) -> Result<Vec<Embeddings>> {
        // Longest first, so that no thread starts a long chunk when the others are done; texts of a length together.
        let mut order: Vec<usize> = (0..tokens.len()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(tokens[*at].len()));
        let sorted: Vec<&[u32]> = order.iter().map(|at| tokens[*at].as_slice()).collect();
        let chunks = chunks(
            &sorted,
            |ids| ids.len(),
            transformer.block_bytes(),
            rayon::current_num_threads(),
        );
        let mut exits: Vec<usize> = requests.iter().map(|request| request.layers).collect();
        exits.sort_unstable();
        exits.dedup();
        let skip = requests.first().map_or(0, |request| request.skip);

        // A row holds a text's vectors of all sizes end to end.
        let width: usize = requests.iter().map(|request| request.dims).sum();
        let mut encoded = vec![0.0; tokens.len() * width];
        let mut jobs = Vec::with_capacity(chunks.len());
        let mut left = encoded.as_mut_slice();
        for chunk in chunks {
            let (out, rest) = left.split_at_mut(chunk.len() * width);
            jobs.push((chunk, out));
            left = rest;
        }
        let run = |(chunk, out): (&[&[u32]], &mut [f32])| {
            WORKSPACE.with_borrow_mut(|space| {
                let made = transformer.make_words(chunk, words, &mut space.encoder);
                let made: Option<Vec<&[u32]>> = made
                    .as_ref()
                    .map(|texts| texts.iter().map(Vec::as_slice).collect());
                let (pooled, spare) = (&mut space.pooled, &mut space.spare);
                transformer.encode(
                    made.as_deref().unwrap_or(chunk),
                    &exits,
                    skip,
                    &mut space.encoder,
                    pooled,
                    |layers, pooled| {
                        self.finish(chunk.len(), layers, requests, pooled, spare, out);
                    },
                );
            });
        };
        if jobs.len() == 1 {
            jobs.into_iter().for_each(run);
        } else {
            jobs.into_par_iter().with_max_len(1).for_each(run);
        }
        split(&encoded, requests, |row| order[row])
    }

    fn encode_static<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        requests: &[Request<'_>],
        encode: impl Fn(&str, &mut Encoding, &mut [f32]) + Sync,
    ) -> Result<Vec<Embeddings>> {
        let width = self.inner.input.dims();
        let prompt = requests.first().map_or("", |request| request.prompt);
        let row: usize = requests.iter().map(|request| request.dims).sum();
        let mut values = vec![0.0; texts.len() * row];
        let outs = values.par_chunks_mut(CHUNK_TEXTS * row);
        texts.par_chunks(CHUNK_TEXTS).zip(outs).for_each(|(texts, out)| {
            WORKSPACE.with_borrow_mut(|space| {
                space.pooled.resize(texts.len() * width);
                for (text, out) in texts.iter().zip(space.pooled.chunks_exact_mut(width)) {
                    let text = text.as_ref();
                    if prompt.is_empty() {
                        encode(text, &mut space.encoding, out);
                    } else {
                        encode(&format!("{prompt}{text}"), &mut space.encoding, out);
                    }
                }
                self.finish(texts.len(), 0, requests, &mut space.pooled, &mut space.spare, out);
            });
        });
        split(&values, requests, |row| row)
    }

    /// Runs the heads over `rows` pooled vectors of an exit; of each request for so many layers, writes the vectors, cut, to its part of
    /// the rows of `out`.
    fn finish(
        &self,
        rows: usize,
        layers: usize,
        requests: &[Request<'_>],
        pooled: &mut Buffer,
        spare: &mut Buffer,
        out: &mut [f32],
    ) {
        for head in self.inner.heads.iter() {
            head.apply(self.inner.level, rows, pooled, spare);
        }
        let vectors = pooled.chunks_exact(self.inner.dims);
        for (vector, mut out) in vectors.zip(out.chunks_exact_mut(out.len() / rows.max(1))) {
            for request in requests {
                let (part, rest) = out.split_at_mut(request.dims);
                if request.layers == layers {
                    part.copy_from_slice(&vector[..request.dims]);
                    if request.normalize {
                        heads::normalize(part);
                    }
                }
                out = rest;
            }
        }
    }
}

/// Each request's part of rows that hold all of them, as a matrix of its own; row `at` goes to row `place(at)`.
fn split(rows: &[f32], requests: &[Request<'_>], place: impl Fn(usize) -> usize) -> Result<Vec<Embeddings>> {
    let width: usize = requests.iter().map(|request| request.dims).sum();
    let mut first = 0;
    let part = |request: &Request<'_>| {
        let dims = request.dims;
        let mut values = vec![0.0; rows.len() / width.max(1) * dims];
        for (at, row) in rows.chunks_exact(width.max(1)).enumerate() {
            values[place(at) * dims..][..dims].copy_from_slice(&row[first..][..dims]);
        }
        first += dims;
        Ok(Embeddings::from_vec(values, dims)?)
    };
    requests.iter().map(part).collect()
}
