//! The encoder families: what their tensors and configuration fields are called, and how they count positions.

use kokeshi_kernels::Activation;

use crate::directory::Fields;
use crate::error::Result;

/// A family of post-norm encoders with learned absolute positions.
pub(crate) struct Family {
    /// Its `model_type`s in `config.json`.
    types: &'static [&'static str],
    /// What may stand before every tensor's name, tried in order after nothing.
    pub(crate) prefix: &'static str,
    /// What stands before the number of a layer.
    pub(crate) layers: &'static str,
    /// Query, key, value, output of attention, first and second part of the feed-forward network.
    pub(crate) linear: [&'static str; 6],
    /// The norm after attention and the one after the feed-forward network.
    pub(crate) norms: [&'static str; 2],
    /// Whether there are token type embeddings; only type 0 is used.
    pub(crate) token_types: bool,
    /// Whether positions start behind the padding token's id and skip padding tokens (RoBERTa).
    pub(crate) positions_skip_padding: bool,
    /// Configuration fields: width, layers, heads, width of the feed-forward network, activation.
    fields: [&'static str; 5],
    /// The field with the norms' epsilon, and its value if it is missing.
    epsilon: (&'static str, f64),
}

const BERT: Family = Family {
    types: &["bert"],
    prefix: "bert.",
    layers: "encoder.layer",
    linear: [
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "intermediate.dense",
        "output.dense",
    ],
    norms: ["attention.output.LayerNorm", "output.LayerNorm"],
    token_types: true,
    positions_skip_padding: false,
    fields: [
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "hidden_act",
    ],
    epsilon: ("layer_norm_eps", 1e-12),
};

const ROBERTA: Family = Family {
    types: &["roberta", "xlm-roberta", "camembert"],
    prefix: "roberta.",
    positions_skip_padding: true,
    ..BERT
};

const DISTILBERT: Family = Family {
    types: &["distilbert"],
    prefix: "distilbert.",
    layers: "transformer.layer",
    linear: [
        "attention.q_lin",
        "attention.k_lin",
        "attention.v_lin",
        "attention.out_lin",
        "ffn.lin1",
        "ffn.lin2",
    ],
    norms: ["sa_layer_norm", "output_layer_norm"],
    token_types: false,
    fields: ["dim", "n_layers", "n_heads", "hidden_dim", "activation"],
    // The library has 1e-12 in its code, not in the configuration.
    epsilon: ("", 1e-12),
    ..BERT
};

/// Those that can be run.
static FAMILIES: [Family; 3] = [BERT, ROBERTA, DISTILBERT];

/// The sizes of an encoder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) hidden: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) inner: usize,
    pub(crate) activation: Activation,
    pub(crate) epsilon: f32,
    /// Rows of the position table.
    pub(crate) positions: usize,
    /// Rows of the token table.
    pub(crate) vocabulary: usize,
    /// The position before that of a text's first token, and the padding token's id, for families that have it.
    pub(crate) padding: usize,
}

impl Family {
    /// The family of the model that `config.json` describes.
    pub(crate) fn find(config: &Fields) -> Result<&'static Self> {
        let name = config.text("model_type")?.unwrap_or("nothing");
        FAMILIES
            .iter()
            .find(|family| family.types.contains(&name))
            .ok_or_else(|| {
                let known: Vec<&str> = FAMILIES.iter().flat_map(|family| family.types).copied().collect();
                config.wrong(
                    "model_type",
                    format!(
                        "the architecture {name} is not supported; supported are {}",
                        known.join(", ")
                    ),
                )
            })
    }

    /// Reads and checks the sizes.
    pub(crate) fn shape(&self, config: &Fields) -> Result<Shape> {
        for (field, plain) in [
            ("is_decoder", false),
            ("add_cross_attention", false),
            ("sinusoidal_pos_embds", false),
        ] {
            if config.flag(field)?.is_some_and(|flag| flag != plain) {
                return Err(config.wrong(
                    field,
                    "expected false: only encoders with learned positions are supported",
                ));
            }
        }
        if let Some(kind) = config
            .text("position_embedding_type")?
            .filter(|kind| *kind != "absolute")
        {
            return Err(config.wrong(
                "position_embedding_type",
                format!("expected absolute, found {kind}"),
            ));
        }
        if config.get("quantization_config").is_some() {
            return Err(config.wrong("quantization_config", "expected weights that are not quantised"));
        }
        let [hidden, layers, heads, inner, activation] = self.fields;
        let shape = Shape {
            hidden: config.size(hidden, 1 << 16)?,
            layers: config.size(layers, 1 << 10)?,
            heads: config.size(heads, 1 << 16)?,
            inner: config.size(inner, 1 << 20)?,
            activation: parse_activation(config, activation)?,
            epsilon: config.number(self.epsilon.0)?.unwrap_or(self.epsilon.1) as f32,
            positions: config.size("max_position_embeddings", 1 << 24)?,
            vocabulary: config.size("vocab_size", 1 << 24)?,
            padding: config
                .count("pad_token_id")?
                .unwrap_or(usize::from(self.positions_skip_padding)),
        };
        if !shape.hidden.is_multiple_of(shape.heads) {
            return Err(config.wrong(
                heads,
                format!(
                    "expected a divisor of {hidden} {}, found {}",
                    shape.hidden, shape.heads
                ),
            ));
        }
        if !shape.epsilon.is_finite() || shape.epsilon < 0.0 {
            return Err(config.wrong(
                self.epsilon.0,
                format!("expected a small number, found {}", shape.epsilon),
            ));
        }
        if self.longest(&shape) == 0 {
            return Err(config.wrong(
                "max_position_embeddings",
                format!(
                    "expected more than pad_token_id {} + 1, found {}",
                    shape.padding, shape.positions
                ),
            ));
        }
        Ok(shape)
    }

    /// The most tokens that positions can be given to.
    pub(crate) fn longest(&self, shape: &Shape) -> usize {
        if self.positions_skip_padding {
            shape.positions.saturating_sub(shape.padding.saturating_add(1))
        } else {
            shape.positions
        }
    }
}

fn parse_activation(config: &Fields, field: &str) -> Result<Activation> {
    Ok(match config.text(field)?.unwrap_or("gelu") {
        "gelu" | "gelu_python" => Activation::Gelu,
        "gelu_new" | "gelu_fast" | "gelu_accurate" | "gelu_pytorch_tanh" | "gelu_python_tanh" => {
            Activation::GeluTanh
        }
        "relu" => Activation::Relu,
        "silu" | "swish" => Activation::Silu,
        "tanh" => Activation::Tanh,
        "sigmoid" => Activation::Sigmoid,
        "linear" => Activation::Identity,
        other => {
            return Err(config.wrong(
                field,
                format!("expected gelu, gelu_new, gelu_fast, gelu_accurate, gelu_pytorch_tanh, relu, silu, tanh, sigmoid or linear, found {other}"),
            ));
        }
    })
}
