//! The modules after pooling: Dense, LayerNorm and Normalize.

use kokeshi_kernels::{Activation, Buffer, Epilogue, Level, Linear, Precision, QuantizedRows, layer_norm};

use crate::directory::{Fields, Kind, Listed, read_optional};
use crate::error::{Error, Result};
use crate::safetensors::Weights;

/// The widest vector that is believed.
pub(crate) const WIDTH_LIMIT: usize = 1 << 20;

/// What happens to pooled vectors.
pub(crate) enum Head {
    /// A linear layer with an activation, and the input added again if it is residual.
    Dense {
        linear: Linear,
        activation: Activation,
        residual: Residual,
    },
    /// LayerNorm with PyTorch's default epsilon.
    LayerNorm { weight: Vec<f32>, bias: Vec<f32> },
    /// To unit length.
    Normalize,
}

/// What a residual Dense module adds to its output.
pub(crate) enum Residual {
    None,
    /// The input, which is as wide as the output.
    Input,
    /// The input through a layer without bias.
    Projected(Box<Linear>),
}

impl Head {
    /// Reads a module whose input is `width` wide; `None` if it does nothing when encoding.
    pub(crate) fn load(module: &Listed, width: usize) -> Result<Option<Self>> {
        let config = read_optional(&module.folder.join("config.json"))?;
        match module.kind {
            Kind::Normalize => only_sentences(&config).map(|()| Some(Self::Normalize)),
            Kind::Dropout => Ok(None),
            Kind::Dense => dense(module, &config, width).map(Some),
            Kind::LayerNorm => {
                let weights = Weights::open_folder(&module.folder)?;
                Ok(Some(Self::LayerNorm {
                    weight: weights.values("norm.weight", &[width])?,
                    bias: weights.values("norm.bias", &[width])?,
                }))
            }
            Kind::Transformer | Kind::StaticEmbedding | Kind::BytesToWords | Kind::Pooling | Kind::Router => {
                Err(Error::model(
                    &module.folder,
                    format!(
                        "module {:?} can't stand after the vectors of the texts were made",
                        module.kind
                    ),
                ))
            }
        }
    }

    /// The width of what comes out for an input `width` wide.
    pub(crate) fn dims(&self, width: usize) -> usize {
        match self {
            Self::Dense { linear, .. } => linear.outputs(),
            Self::LayerNorm { .. } | Self::Normalize => width,
        }
    }

    /// Applies it to `rows` vectors in `x`; `spare` is scratch.
    pub(crate) fn apply(&self, level: Level, rows: usize, x: &mut Buffer, spare: &mut Buffer) {
        match self {
            Self::Dense {
                linear,
                activation,
                residual,
            } => {
                // Heads are f32 layers, which leave this alone.
                let quantized = &mut QuantizedRows::default();
                spare.resize(rows * linear.outputs());
                linear.apply(rows, x, quantized, spare, Epilogue::Activate(*activation));
                match residual {
                    Residual::None => {}
                    Residual::Input => spare.iter_mut().zip(x.iter()).for_each(|(out, x)| *out += x),
                    Residual::Projected(projection) => {
                        projection.apply(rows, x, quantized, spare, Epilogue::Add)
                    }
                }
                std::mem::swap(x, spare);
            }
            Self::LayerNorm { weight, bias } => layer_norm(level, x, weight, bias, 1e-5),
            Self::Normalize => {
                let width = x.len() / rows.max(1);
                x.chunks_exact_mut(width.max(1)).for_each(normalize);
            }
        }
    }
}

/// Scales to unit length; a vector shorter than 1e-12 is divided by 1e-12, as PyTorch does.
pub(crate) fn normalize(vector: &mut [f32]) {
    let length = vector
        .iter()
        .map(|value| value * value)
        .sum::<f32>()
        .sqrt()
        .max(1e-12);
    vector.iter_mut().for_each(|value| *value /= length);
}

fn dense(module: &Listed, config: &Fields, width: usize) -> Result<Head> {
    only_sentences(config)?;
    let inputs = config.size("in_features", WIDTH_LIMIT)?;
    let outputs = config.size("out_features", WIDTH_LIMIT)?;
    if inputs != width {
        return Err(config.wrong(
            "in_features",
            format!("expected {width} as the module before has, found {inputs}"),
        ));
    }
    let weights = Weights::open_folder(&module.folder)?;
    let bias = match config.flag("bias")?.unwrap_or(true) {
        true => Some(weights.values("linear.bias", &[outputs])?),
        false => None,
    };
    let level = Level::best();
    let residual = match config.flag("use_residual")?.unwrap_or(false) {
        false => Residual::None,
        true if inputs == outputs => Residual::Input,
        true => {
            let values = weights.values("residual.weight", &[outputs, inputs])?;
            Residual::Projected(Box::new(Linear::new(
                level,
                Precision::F32,
                inputs,
                outputs,
                &values,
                None,
            )))
        }
    };
    let values = weights.values("linear.weight", &[outputs, inputs])?;
    Ok(Head::Dense {
        linear: Linear::new(level, Precision::F32, inputs, outputs, &values, bias.as_deref()),
        activation: activation(config)?,
        residual,
    })
}

/// The activation of a Dense module: a class of PyTorch's by its dotted name.
fn activation(config: &Fields) -> Result<Activation> {
    let field = "activation_function";
    let Some(name) = config.text(field)? else {
        return Ok(Activation::Tanh);
    };
    Ok(
        match name
            .strip_prefix("torch.")
            .and_then(|name| name.rsplit('.').next())
        {
            Some("Identity") => Activation::Identity,
            Some("Tanh") => Activation::Tanh,
            Some("ReLU") => Activation::Relu,
            Some("GELU") => Activation::Gelu,
            Some("SiLU") => Activation::Silu,
            Some("Sigmoid") => Activation::Sigmoid,
            _ => {
                return Err(config.wrong(
                    field,
                    format!("expected torch's Identity, Tanh, ReLU, GELU, SiLU or Sigmoid, found {name}"),
                ));
            }
        },
    )
}

/// Refuses modules that work on token vectors (multi-vector models).
fn only_sentences(config: &Fields) -> Result<()> {
    for field in ["module_input_name", "module_output_name"] {
        if let Some(name) = config.text(field)?.filter(|name| *name != "sentence_embedding") {
            return Err(config.wrong(field, format!("expected sentence_embedding, found {name}")));
        }
    }
    Ok(())
}
