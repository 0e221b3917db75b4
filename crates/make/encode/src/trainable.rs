//! What training shares with encoding: the sizes of an encoder, its tensors by name, and what stands behind it.
//!
//! Training runs the same blocks with the way back beside them (`kokeshi-train`); what they are made of is read here, by the same plans.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kokeshi_core::Seed;
use kokeshi_kernels::Activation;

use crate::directory::{self, Fields, Kind};
use crate::encoder::plan::{BlockPlan, Joint, LinearPlan, NormKind, NormPlan, Plan, Up};
use crate::error::{Error, Result};
use crate::family;
use crate::hub;
use crate::pooling::cross::LATENT;
use crate::pooling::train::{Cross, TrainPooling};
use crate::pooling::{Mode, Pooling};
use crate::position::buckets::{BucketPlan, bucket};
use crate::safetensors::{Dtype, Weights, safetensors_bytes};
use crate::word_layer::{BYTE_WORDS, ByteWordsShape};

/// The sizes of an encoder of BERT's kind: learned positions, norms after the sums, biases everywhere, one activation in between.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderShape {
    /// Width of a token's vector.
    pub hidden: usize,
    /// Width inside the feed-forward network.
    pub inner: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Rows of the token table.
    pub vocabulary: usize,
    /// The layer that makes words of their bytes; the token table has the special tokens alone then.
    pub bytes: Option<ByteWordsShape>,
    /// Rows of the position table.
    pub positions: usize,
    /// The most tokens of a text.
    pub longest: usize,
    /// Rows of the token type table; 0: there is none. Training uses type 0.
    pub types: usize,
    /// The padding token's id, if positions start behind it.
    pub padding: Option<usize>,
    /// Biases by distance, if there are any.
    pub buckets: Option<Buckets>,
    /// The feed-forward network's activation.
    pub activation: Activation,
    /// What LayerNorm adds to the variance.
    pub epsilon: f32,
}

/// How distances are grouped for learned biases (T5, arXiv 1910.10683, section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buckets {
    /// Rows of the table, `[rows, heads]`.
    pub rows: usize,
    buckets: usize,
    most: usize,
}

impl Buckets {
    /// The row of a key `distance` tokens after its query.
    pub fn row(&self, distance: isize) -> usize {
        bucket(distance, self.buckets, self.most, false)
    }
}

/// A tensor's name in the file, its shape, and where its values start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorPlace {
    /// The name, with whatever stands before it in this model's file.
    pub name: String,
    /// As stored.
    pub shape: Vec<usize>,
    /// In the values of all tensors laid end to end.
    pub start: usize,
}

impl TensorPlace {
    /// How many values it has.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A sentence-transformers directory as training reads it.
#[derive(Debug, Clone)]
pub struct Trainable {
    /// The directory.
    pub root: PathBuf,
    /// The encoder's sizes.
    pub shape: EncoderShape,
    /// How it pools; with a block of cross-attention how each layer is pooled before it.
    pub pooling: TrainPooling,
    /// The block of cross-attention that pools.
    pub cross: Option<Cross>,
    /// Whether it pools otherwise than the directory says.
    pub repooled: bool,
    /// Whether vectors are made unit length at the end.
    pub normalize: bool,
    /// The encoder's tensors in this order: token table, position table, type table, first norm (weight, bias); for each block weights of
    /// query, key, value, their biases, weight and bias of attention's output, its norm, weight and bias of the first and the second part
    /// of the feed-forward network, its norm; at the end the biases by distance, and those of [`ByteWordsShape::tensors`].
    pub tensors: Vec<TensorPlace>,
    /// The pooling's tensors, in the order of [`Cross::tensors`].
    pub head: Vec<TensorPlace>,
    /// Values of the encoder's tensors, then of the pooling's, end to end.
    pub values: Vec<f32>,
}

impl Trainable {
    /// Reads a directory or a hub id.
    ///
    /// # Errors
    /// [`Error::Model`] if it can't be read, or is of a family, pooling or module that training does not know, which it names.
    pub fn load(path_or_id: &str) -> Result<Self> {
        let root = hub::find(path_or_id)?;
        let (pooling, normalize) = modules(&root)?;
        let config = Fields::read(&root.join("config.json"))?;
        let plan = family::plan(&config)?;
        let weights = Weights::open_folder(&root)?;
        let unknown = |what: &str| {
            Error::model(
                &root,
                format!(
                    "training knows encoders of BERT's kind (BERT, RoBERTa, XLM-R, DistilBERT, MPNet), found {what}"
                ),
            )
        };
        let shape = shape(&plan).map_err(unknown)?;
        let mut reader = Reader {
            prefix: if weights.names().any(|name| name.starts_with(plan.prefix)) {
                plan.prefix
            } else {
                ""
            },
            weights: &weights,
            tensors: Vec::new(),
            values: Vec::new(),
        };
        reader.all(&plan, &shape).map_err(|problem| match problem {
            Problem::Unknown(what) => unknown(what),
            Problem::Error(error) => error,
        })?;
        let Reader { tensors, values, .. } = reader;
        let mut found = Self {
            shape,
            pooling: TrainPooling::Mean,
            cross: None,
            repooled: false,
            normalize,
            tensors,
            head: Vec::new(),
            values,
            root,
        };
        if let Some(folder) = pooling {
            let (pooling, cross) = pooling_kind(&folder, &found.shape)?;
            found.set_pooling(pooling, cross, pooling_values(&folder, cross, &found.shape)?);
        }
        Ok(found)
    }

    /// Pools otherwise from now on; a block of cross-attention begins with random values.
    pub fn repool(&mut self, pooling: TrainPooling, cross: Option<Cross>, seed: Seed) {
        let fresh = cross.map(|cross| cross.fresh(self.shape.hidden, self.shape.layers, seed));
        self.set_pooling(pooling, cross, fresh.unwrap_or_default());
        self.repooled = true;
    }

    fn set_pooling(&mut self, pooling: TrainPooling, cross: Option<Cross>, values: Vec<f32>) {
        let end = self.head.first().map_or(self.values.len(), |place| place.start);
        self.values.truncate(end);
        self.values.extend(values);
        (self.pooling, self.cross) = (pooling, cross);
        let parts = cross.map(|cross| cross.tensors(self.shape.hidden, self.shape.layers));
        let mut start = end;
        self.head = parts
            .unwrap_or_default()
            .into_iter()
            .map(|(name, shape)| {
                let place = TensorPlace {
                    name: name.into(),
                    shape,
                    start,
                };
                start += place.len();
                place
            })
            .collect();
    }

    /// `model.safetensors` of the pooling module with `values` as in [`Trainable::safetensors`]; `None` if it has no weights.
    pub fn pooling_safetensors(&self, values: &[f32]) -> Option<Vec<u8>> {
        let parts = self.head.iter().map(|place| part(place, values));
        (!self.head.is_empty()).then(|| safetensors_bytes(&parts.collect::<Vec<_>>()))
    }

    /// `model.safetensors` with `values` for the encoder's tensors, f32, and the other weights of the directory as they were there.
    ///
    /// # Errors
    /// [`Error::Model`] if the directory's weights can't be read any more.
    ///
    /// # Panics
    /// If there are not as many values as were read.
    pub fn safetensors(&self, values: &[f32]) -> Result<Vec<u8>> {
        assert_eq!(values.len(), self.values.len(), "as many values as were read");
        let weights = Weights::open_folder(&self.root)?;
        let known: BTreeSet<&str> = self.tensors.iter().map(|place| place.name.as_str()).collect();
        // A pooler or a head that came along. Whole numbers are no weights: libraries make those lists of positions themselves.
        let mut others = Vec::new();
        for tensor in weights
            .names()
            .filter(|name| !known.contains(name))
            .filter_map(|name| weights.tensor(name))
        {
            if !matches!(tensor.dtype, Dtype::I64 | Dtype::I32 | Dtype::I8 | Dtype::U8) {
                others.push((tensor.name, tensor.shape, tensor.to_f32()?));
            }
        }
        let mine = self.tensors.iter().map(|place| part(place, values));
        let others = others
            .iter()
            .map(|(name, shape, values)| (*name, *shape, values.as_slice()));
        Ok(safetensors_bytes(&mine.chain(others).collect::<Vec<_>>()))
    }
}

/// Name, shape and values of a tensor.
fn part<'a>(place: &'a TensorPlace, values: &'a [f32]) -> (&'a str, &'a [usize], &'a [f32]) {
    (&place.name, &place.shape, &values[place.start..][..place.len()])
}

impl Trainable {
    /// The head that finds masked tokens, if the directory has one of this encoder's sizes: weight and bias of its dense layer (`[hidden, hidden]`,
    /// `[hidden]`), of its norm, and a bias for each token, end to end.
    ///
    /// # Errors
    /// [`Error::Model`] if the directory's weights can't be read any more.
    pub fn masking_head(&self) -> Result<Option<Vec<f32>>> {
        let weights = Weights::open_folder(&self.root)?;
        let (hidden, vocabulary) = (self.shape.hidden, self.shape.vocabulary);
        let shapes = [
            &[hidden, hidden][..],
            &[hidden],
            &[hidden],
            &[hidden],
            &[vocabulary],
        ];
        for names in HEADS {
            let found = names
                .iter()
                .zip(shapes)
                .map(|(name, shape)| weights.tensor(name).filter(|tensor| tensor.shape == shape));
            if let Some(tensors) = found.collect::<Option<Vec<_>>>() {
                let values: Vec<Vec<f32>> = tensors
                    .iter()
                    .map(|tensor| tensor.to_f32())
                    .collect::<Result<_>>()?;
                return Ok(Some(values.concat()));
            }
        }
        Ok(None)
    }
}

/// What heads of masked language models are called: BERT's, RoBERTa's and MPNet's, DistilBERT's.
const HEADS: [[&str; 5]; 3] = [
    [
        "cls.predictions.transform.dense.weight",
        "cls.predictions.transform.dense.bias",
        "cls.predictions.transform.LayerNorm.weight",
        "cls.predictions.transform.LayerNorm.bias",
        "cls.predictions.bias",
    ],
    [
        "lm_head.dense.weight",
        "lm_head.dense.bias",
        "lm_head.layer_norm.weight",
        "lm_head.layer_norm.bias",
        "lm_head.bias",
    ],
    [
        "vocab_transform.weight",
        "vocab_transform.bias",
        "vocab_layer_norm.weight",
        "vocab_layer_norm.bias",
        "vocab_projector.bias",
    ],
];

/// The pooling module's folder, if there is one, and whether a Normalize module follows.
fn modules(root: &Path) -> Result<(Option<PathBuf>, bool)> {
    let modules = directory::modules(root)?;
    let (mut pooling, mut normalize) = (None, false);
    for (at, module) in modules.iter().enumerate() {
        match module.kind {
            Kind::Transformer if at == 0 && module.folder == root => {}
            Kind::Pooling if at == 1 => {
                pooling = root.join("modules.json").is_file().then(|| module.folder.clone());
            }
            Kind::Normalize => normalize = true,
            Kind::Dropout => {}
            other => {
                return Err(Error::model(
                    &root.join("modules.json"),
                    format!(
                        "training knows a Transformer in the root folder, then Pooling and Normalize, found {other:?}"
                    ),
                ));
            }
        }
    }
    Ok((pooling, normalize))
}

fn pooling_kind(folder: &Path, shape: &EncoderShape) -> Result<(TrainPooling, Option<Cross>)> {
    let pooling = Pooling::load(folder, shape.hidden, shape.layers)?;
    let kind = match pooling.single() {
        Some(Mode::Mean) => TrainPooling::Mean,
        Some(Mode::Cls) => TrainPooling::First,
        Some(Mode::LastToken) => TrainPooling::Last,
        _ => {
            return Err(Error::model(
                &folder.join("config.json"),
                "training pools by the mean, the first or the last token, latent attention or all layers, found another pooling",
            ));
        }
    };
    Ok((kind, pooling.cross))
}

/// The values of a pooling module's tensors, end to end.
fn pooling_values(folder: &Path, cross: Option<Cross>, shape: &EncoderShape) -> Result<Vec<f32>> {
    let mut values = Vec::new();
    if let Some(cross) = cross {
        let weights = Weights::open_folder(folder)?;
        let prefix = if weights.names().any(|name| name.starts_with(LATENT)) {
            LATENT
        } else {
            ""
        };
        for (name, shape) in cross.tensors(shape.hidden, shape.layers) {
            values.extend(weights.values(&format!("{prefix}{name}"), &shape)?);
        }
    }
    Ok(values)
}

/// The sizes of a plan, or what about it is not of BERT's kind.
fn shape(plan: &Plan) -> Result<EncoderShape, &'static str> {
    let first = plan.blocks.first().ok_or("no blocks")?;
    let table = plan
        .positions
        .table
        .as_ref()
        .ok_or("positions that are not learned")?;
    if !plan.positions.rotations.is_empty() {
        return Err("rotary positions");
    }
    if plan.last_norm.is_some() {
        return Err("a norm after the last block");
    }
    let norm = plan.first_norm.as_ref().ok_or("embeddings without a norm")?;
    let buckets = plan.positions.buckets.as_ref();
    Ok(EncoderShape {
        hidden: plan.hidden,
        inner: first.network.inner,
        layers: plan.blocks.len(),
        heads: first.attention.heads,
        vocabulary: plan.vocabulary,
        bytes: plan.bytes,
        positions: table.rows,
        longest: plan.longest,
        types: plan.types.as_ref().map_or(0, |(_, count)| *count),
        padding: table.padding,
        buckets: buckets.map(|plan: &BucketPlan| Buckets {
            rows: plan.rows,
            buckets: plan.buckets,
            most: plan.most,
        }),
        activation: first.network.activation,
        epsilon: norm.epsilon,
    })
}

enum Problem {
    Unknown(&'static str),
    Error(Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

struct Reader<'a> {
    prefix: &'a str,
    weights: &'a Weights,
    tensors: Vec<TensorPlace>,
    values: Vec<f32>,
}

impl Reader<'_> {
    fn all(&mut self, plan: &Plan, shape: &EncoderShape) -> Result<(), Problem> {
        self.tensor(&plan.words, &[shape.vocabulary, shape.hidden])?;
        if let Some(table) = &plan.positions.table {
            self.tensor(&table.name, &[shape.positions, shape.hidden])?;
        }
        if let Some((name, count)) = &plan.types {
            self.tensor(name, &[*count, shape.hidden])?;
        }
        self.norm(plan.first_norm.as_ref(), shape)?;
        for block in &plan.blocks {
            self.block(block, shape)?;
        }
        if let Some(plan) = &plan.positions.buckets {
            self.tensor(&plan.name, &[plan.rows, shape.heads])?;
        }
        for (name, shape) in plan.bytes.iter().flat_map(ByteWordsShape::tensors) {
            self.tensor(&format!("{BYTE_WORDS}{name}"), &shape)?;
        }
        Ok(())
    }

    fn block(&mut self, block: &BlockPlan, shape: &EncoderShape) -> Result<(), Problem> {
        let (attention, network) = (&block.attention, &block.network);
        let usual = !block.pre_norm
            && attention.heads == shape.heads
            && attention.key_heads == shape.heads
            && attention.head_dims * shape.heads == shape.hidden
            && attention.scaled
            && attention.head_norms.is_none()
            && attention.rotation.is_none()
            && attention.mask.is_all(shape.longest)
            && network.inner == shape.inner
            && network.activation == shape.activation;
        let (Joint::Separate(parts), Up::Plain(up)) = (&attention.joint, &network.up) else {
            return Err(Problem::Unknown("another kind of block"));
        };
        if !usual {
            return Err(Problem::Unknown("another kind of block"));
        }
        for part in parts {
            self.linear(part, shape.hidden, shape.hidden)?;
        }
        for part in parts {
            self.bias(part, shape.hidden)?;
        }
        self.linear(&attention.output, shape.hidden, shape.hidden)?;
        self.bias(&attention.output, shape.hidden)?;
        self.norm(block.attention_norm.as_ref(), shape)?;
        self.linear(up, shape.hidden, shape.inner)?;
        self.bias(up, shape.inner)?;
        self.linear(&network.down, shape.inner, shape.hidden)?;
        self.bias(&network.down, shape.hidden)?;
        self.norm(block.norm.as_ref(), shape)
    }

    fn linear(&mut self, plan: &LinearPlan, inputs: usize, outputs: usize) -> Result<(), Problem> {
        if plan.transposed || !plan.bias {
            return Err(Problem::Unknown("linear layers without bias"));
        }
        Ok(self.tensor(&format!("{}.weight", plan.name), &[outputs, inputs])?)
    }

    fn bias(&mut self, plan: &LinearPlan, outputs: usize) -> Result<(), Problem> {
        Ok(self.tensor(&format!("{}.bias", plan.name), &[outputs])?)
    }

    fn norm(&mut self, plan: Option<&NormPlan>, shape: &EncoderShape) -> Result<(), Problem> {
        let plan =
            plan.filter(|plan| plan.kind == NormKind::Layer { bias: true } && plan.epsilon == shape.epsilon);
        let Some(plan) = plan else {
            return Err(Problem::Unknown("norms other than LayerNorm with a bias"));
        };
        // Checkpoints that were converted from TensorFlow say gamma and beta.
        for (modern, old) in [("weight", "gamma"), ("bias", "beta")] {
            let old = format!("{}.{old}", plan.name);
            let known = self.weights.tensor(&format!("{}{old}", self.prefix)).is_some();
            let name = if known {
                old
            } else {
                format!("{}.{modern}", plan.name)
            };
            self.tensor(&name, &[shape.hidden])?;
        }
        Ok(())
    }

    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<()> {
        let name = format!("{}{name}", self.prefix);
        let values = self.weights.values(&name, shape)?;
        self.tensors.push(TensorPlace {
            name,
            shape: shape.to_vec(),
            start: self.values.len(),
        });
        self.values.extend(values);
        Ok(())
    }
}
