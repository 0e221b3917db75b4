//! Chains of transforms and a codec: what is trained, kept in files and used by everything above.

use std::path::Path;

use kokeshi_core::{Embeddings, Error, Metric, Result, Seed, distance};

use crate::blob::{BlobReader, BlobWriter};
use crate::codec::{Codec, Query, Transform};
use crate::contras_pq::{ContrasPq, ContrasPqConfig};
use crate::identity::{Float16, Float32};
use crate::learn::HeadConfig;
use crate::opq::Opq;
use crate::pca::Pca;
use crate::pq::Pq;
use crate::prefix::Prefix;
use crate::rabitq::RaBitQ;
use crate::rbe::Rbe;
use crate::rotate::Rotation;
use crate::scalar::Scalar;
use crate::sign::Sign;
use crate::spec::{MOST_DIMS, Spec, Step};

/// A trained chain: vectors are normalised (under cosine), pass the transforms, and are encoded.
#[derive(Debug)]
pub struct Chain {
    spec: Spec,
    dims: usize,
    metric: Metric,
    transforms: Vec<Box<dyn Transform>>,
    codec: Box<dyn Codec>,
}

/// Rows that go through the transforms together.
const BLOCK: usize = 4096;

impl Spec {
    /// Learns what every step needs from `sample`, rows of the kind that will be encoded (not queries). Ten rows a dimension are enough
    /// for everything but `pq`, which takes up to 256 a centroid.
    ///
    /// # Errors
    /// [`Error::Parse`] if a step does not fit the width, the metric or the number of rows; [`Error::NotFinite`] for NaN and infinity.
    pub fn train(&self, sample: &Embeddings, metric: Metric, seed: Seed) -> Result<Chain> {
        self.train_with(sample, None, metric, seed)
    }

    /// [`Spec::train`] with pairs for the steps that learn from them (`rbe`, `cpq`): row i of the first belongs to row i of the second.
    ///
    /// # Errors
    /// As [`Spec::train`]; [`Error::Dims`] for pairs of another width.
    pub fn train_with(
        &self,
        sample: &Embeddings,
        pairs: Option<[&Embeddings; 2]>,
        metric: Metric,
        seed: Seed,
    ) -> Result<Chain> {
        if sample.is_empty() || sample.dims() > MOST_DIMS {
            return Err(Error::Parse {
                what: format!("the sample to train {self} on"),
                expected: format!("at least one row of 1 to {MOST_DIMS} dimensions"),
                found: format!("{sample:?}"),
            });
        }
        sample.check_finite("the sample to train on")?;
        let mut seed = seed;
        let mut rows = sample.clone();
        let mut pairs = pairs.map(|pairs| pairs.map(Embeddings::clone));
        for side in pairs.iter_mut().flatten() {
            if side.dims() != sample.dims() {
                return Err(Error::Dims {
                    what: "pairs to learn from".into(),
                    expected: sample.dims(),
                    found: side.dims(),
                });
            }
            side.check_finite("pairs to learn from")?;
            if metric == Metric::Cosine {
                side.normalize();
            }
        }
        let mut transforms: Vec<Box<dyn Transform>> = Vec::new();
        let mut codec: Option<Box<dyn Codec>> = None;
        if metric == Metric::Cosine {
            rows.normalize();
        }
        for (at, step) in self.steps().iter().enumerate() {
            let seed = seed.fork(at as u64);
            let transform: Box<dyn Transform> = match *step {
                Step::Prefix(width) => Box::new(Prefix::new(rows.dims(), width)?),
                Step::Pca(width, centred) => Box::new(Pca::train(&rows, width, metric, centred)?),
                Step::Rotate => Box::new(Rotation::new(rows.dims(), seed.0)),
                last => {
                    codec = Some(train_codec(last, &rows, pairs.as_ref(), metric, seed)?);
                    break;
                }
            };
            for rows in std::iter::once(&mut rows).chain(pairs.iter_mut().flatten()) {
                let mut values = transform.apply(rows.as_slice());
                normalize(&mut values, transform.width(), metric);
                *rows = Embeddings::from_vec(values, transform.width())?;
            }
            transforms.push(transform);
        }
        let dims = rows.dims();
        Ok(Chain {
            spec: self.clone(),
            dims: sample.dims(),
            metric,
            transforms,
            codec: codec.unwrap_or_else(|| Box::new(Float32 { dims, metric })),
        })
    }
}

fn normalize(rows: &mut [f32], width: usize, metric: Metric) {
    if metric == Metric::Cosine {
        rows.chunks_exact_mut(width).for_each(distance::normalize);
    }
}

fn train_codec(
    step: Step,
    rows: &Embeddings,
    pairs: Option<&[Embeddings; 2]>,
    metric: Metric,
    seed: Seed,
) -> Result<Box<dyn Codec>> {
    let dims = rows.dims();
    let pairs = || {
        let missing = |expected: &str, found: &str| Error::Parse {
            what: format!("the step {step}"),
            expected: expected.into(),
            found: found.into(),
        };
        match (pairs, metric) {
            (Some(pairs), Metric::Cosine) => Ok(pairs),
            (None, _) => Err(missing("pairs to learn from", "none")),
            (Some(_), other) => Err(missing("the metric cosine", crate::file::metric_name(other))),
        }
    };
    Ok(match step {
        Step::F16 => Box::new(Float16 { dims, metric }),
        Step::Int(bits) => Box::new(Scalar::train(rows, bits, metric)),
        Step::RaBitQ(bits) => Box::new(RaBitQ::train(rows, bits, metric, seed)),
        Step::Sign => Box::new(Sign::train(rows, metric)?),
        Step::Pq(parts, bits) => Box::new(Pq::train(rows, parts, bits, metric, seed)?),
        Step::Opq(parts, bits) => Box::new(Opq::train(rows, parts, bits, metric, seed)?),
        Step::Rbe(width, loops) => {
            let [queries, documents] = pairs()?;
            Box::new(Rbe::train(
                queries,
                documents,
                width,
                loops,
                &HeadConfig::RBE,
                None,
                seed,
            )?)
        }
        Step::Cpq(parts, bits) => {
            let [queries, documents] = pairs()?;
            let config = ContrasPqConfig::default();
            Box::new(ContrasPq::train(
                queries, documents, parts, bits, metric, &config, seed,
            )?)
        }
        Step::F32 | Step::Prefix(_) | Step::Pca(..) | Step::Rotate => Box::new(Float32 { dims, metric }),
    })
}

impl Chain {
    /// A chain of parts that were trained by themselves.
    ///
    /// # Errors
    /// [`Error::Dims`] if one's output is not as wide as the next one's input; [`Error::Parse`] if their factory strings make no chain.
    pub fn of(transforms: Vec<Box<dyn Transform>>, codec: Box<dyn Codec>) -> Result<Self> {
        let dims = transforms.first().map_or(codec.dims(), |first| first.dims());
        let mut width = dims;
        for (dims, out, spec) in transforms
            .iter()
            .map(|step| (step.dims(), step.width(), step.spec()))
            .chain([(codec.dims(), 0, codec.spec())])
        {
            if dims != width {
                return Err(Error::Dims {
                    what: format!("the input of {spec}"),
                    expected: dims,
                    found: width,
                });
            }
            width = out;
        }
        let mut names: Vec<String> = transforms.iter().map(|step| step.spec()).collect();
        names.push(codec.spec());
        Ok(Self {
            spec: names.join("|").parse()?,
            dims,
            metric: codec.metric(),
            transforms,
            codec,
        })
    }

    /// The transforms, in their order.
    pub fn transforms(&self) -> &[Box<dyn Transform>] {
        &self.transforms
    }

    /// Encodes all `vectors`: `[rows, code_bytes]`.
    ///
    /// # Errors
    /// [`Error::Dims`] for another width than the chain was trained for, [`Error::NotFinite`] for NaN and infinity.
    pub fn encode_all(&self, vectors: &Embeddings) -> Result<Vec<u8>> {
        self.check(vectors.dims(), "vectors to encode")?;
        vectors.check_finite("vectors to encode")?;
        let mut codes = vec![0; vectors.rows() * self.code_bytes()];
        self.encode(vectors.as_slice(), &mut codes);
        Ok(codes)
    }

    /// What `codes` stand for.
    ///
    /// # Errors
    /// [`Error::Dims`] if their length is no multiple of [`Codec::code_bytes`].
    pub fn decode_all(&self, codes: &[u8]) -> Result<Embeddings> {
        if !codes.len().is_multiple_of(self.code_bytes()) {
            return Err(Error::Dims {
                what: format!("codes of {} bytes in all, bytes a code", codes.len()),
                expected: self.code_bytes(),
                found: codes.len() % self.code_bytes(),
            });
        }
        let mut rows = vec![0.0; codes.len() / self.code_bytes() * self.dims];
        self.decode(codes, &mut rows);
        Embeddings::from_vec(rows, self.dims)
    }

    /// A query that is ready to be compared with codes.
    ///
    /// # Errors
    /// [`Error::Dims`] for another width, [`Error::NotFinite`] for NaN and infinity.
    pub fn query<'a>(&'a self, query: &[f32]) -> Result<Box<dyn Query + 'a>> {
        kokeshi_core::check_query(query, self.dims)?;
        Ok(self.prepare(query))
    }

    fn check(&self, found: usize, what: &str) -> Result<()> {
        if found == self.dims {
            return Ok(());
        }
        Err(Error::Dims {
            what: what.into(),
            expected: self.dims,
            found,
        })
    }

    /// `rows` in the space of the last step.
    fn project(&self, rows: &[f32]) -> Vec<f32> {
        let mut rows = rows.to_vec();
        normalize(&mut rows, self.dims, self.metric);
        for step in &self.transforms {
            rows = step.apply(&rows);
            normalize(&mut rows, step.width(), self.metric);
        }
        rows
    }

    /// The payload of the file that [`Chain::save`] writes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut blob = BlobWriter::default();
        blob.text(&self.spec.to_string());
        blob.text(crate::file::metric_name(self.metric));
        blob.u64(self.dims as u64);
        self.write(&mut blob);
        blob.into_bytes()
    }

    /// Reads what [`Chain::to_bytes`] gives; `path` is what errors name.
    ///
    /// # Errors
    /// [`Error::File`] with what is wrong.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        let mut blob = BlobReader::new(bytes, path);
        let spec = blob.text("a factory string")?;
        let spec: Spec = spec.parse().map_err(|error| blob.wrong(error))?;
        let metric = blob.text("a metric")?;
        let metric: Metric = metric.parse().map_err(|error| blob.wrong(error))?;
        let dims = blob.count("dimensions", MOST_DIMS)?;
        let mut transforms: Vec<Box<dyn Transform>> = Vec::new();
        let mut codec: Option<Box<dyn Codec>> = None;
        let mut width = dims;
        for step in spec.steps() {
            let blob = &mut blob;
            let transform: Box<dyn Transform> = match *step {
                Step::Prefix(_) => Box::new(Prefix::read(width, blob)?),
                Step::Pca(..) => Box::new(Pca::read(width, blob)?),
                Step::Rotate => Box::new(Rotation::read(width, blob)?),
                last => {
                    codec = Some(match last {
                        Step::F16 => Box::new(Float16::read(width, metric, blob)?),
                        Step::Int(bits) => Box::new(Scalar::read(bits, width, metric, blob)?),
                        Step::RaBitQ(bits) => Box::new(RaBitQ::read(bits, width, metric, blob)?),
                        Step::Sign => Box::new(Sign::read(width, metric, blob)?),
                        Step::Pq(parts, bits) => Box::new(Pq::read(parts, bits, width, metric, blob)?),
                        Step::Opq(parts, bits) => Box::new(Opq::read(parts, bits, width, metric, blob)?),
                        Step::Cpq(parts, bits) => {
                            Box::new(ContrasPq::read(parts, bits, width, metric, blob)?)
                        }
                        Step::Rbe(signs, loops) => Box::new(Rbe::read(signs, loops, width, metric, blob)?),
                        _ => Box::new(Float32::read(width, metric, blob)?),
                    });
                    break;
                }
            };
            if transform.spec() != step.to_string() {
                return Err(blob.wrong(format!("expected the data of {step}, found {}", transform.spec())));
            }
            width = transform.width();
            transforms.push(transform);
        }
        blob.end()?;
        Ok(Self {
            spec,
            dims,
            metric,
            transforms,
            codec: codec.unwrap_or_else(|| Box::new(Float32 { dims: width, metric })),
        })
    }
}

impl Codec for Chain {
    fn spec(&self) -> String {
        self.spec.to_string()
    }

    fn dims(&self) -> usize {
        self.dims
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn code_bytes(&self) -> usize {
        self.codec.code_bytes()
    }

    fn encode(&self, rows: &[f32], codes: &mut [u8]) {
        let rows = rows.chunks(BLOCK * self.dims);
        for (rows, codes) in rows.zip(codes.chunks_mut(BLOCK * self.code_bytes())) {
            self.codec.encode(&self.project(rows), codes);
        }
    }

    fn decode(&self, codes: &[u8], rows: &mut [f32]) {
        let blocks = codes.chunks(BLOCK * self.code_bytes());
        for (codes, rows) in blocks.zip(rows.chunks_mut(BLOCK * self.dims)) {
            let mut values = vec![0.0; codes.len() / self.code_bytes() * self.codec.dims()];
            self.codec.decode(codes, &mut values);
            for step in self.transforms.iter().rev() {
                values = step.invert(&values);
            }
            rows.copy_from_slice(&values);
        }
    }

    fn prepare<'a>(&'a self, query: &[f32]) -> Box<dyn Query + 'a> {
        self.codec.prepare(&self.project(query))
    }

    fn write(&self, blob: &mut BlobWriter) {
        self.transforms.iter().for_each(|step| step.write(blob));
        self.codec.write(blob);
    }
}
