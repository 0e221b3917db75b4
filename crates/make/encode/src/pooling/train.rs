//! What training shares with encoding of poolings: which there are, and the tensors of those with weights.

use kokeshi_core::Seed;

/// How a text's tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrainPooling {
    /// Their mean.
    Mean,
    /// The first one.
    First,
    /// The last one.
    Last,
}

impl TrainPooling {
    /// Its name in sentence-transformers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::First => "cls",
            Self::Last => "lasttoken",
        }
    }
}

/// A block of cross-attention that pools: tokens that ask learned latents, or latents that ask the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cross {
    /// Who asks whom.
    pub kind: CrossKind,
    /// How many latents there are.
    pub latents: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Width of a head.
    pub head_dims: usize,
}

/// Who asks whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CrossKind {
    /// Tokens of the last layer ask latents, then their mean is taken (NV-Embed, arXiv 2405.17428).
    Latent,
    /// Latents ask one vector of each layer, then their mean is taken (Pooling And Attention, arXiv 2409.02727).
    Layers,
}

impl CrossKind {
    /// Its name in `1_Pooling/config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Latent => "latent_attention",
            Self::Layers => "multi_layer",
        }
    }
}

/// What a tensor begins with.
#[derive(Clone, Copy)]
enum Fill {
    Constant(f32),
    /// Normal with this deviation.
    Normal(f64),
    /// Uniform up to one over the root of so many inputs, as PyTorch's linear layers begin.
    Inputs(usize),
}

impl Cross {
    fn parts(&self, dims: usize, layers: usize) -> Vec<(&'static str, Vec<usize>, Fill)> {
        let (width, inner) = (self.heads * self.head_dims, 4 * dims);
        let layered = self.kind == CrossKind::Layers;
        // What tokens add to themselves begins with nothing: the first vectors are then the mean of the base's tokens.
        let out = |inputs| {
            if layered {
                Fill::Inputs(inputs)
            } else {
                Fill::Constant(0.0)
            }
        };
        let (one, zero) = (Fill::Constant(1.0), Fill::Constant(0.0));
        let mut parts = vec![
            ("latents", vec![self.latents, dims], Fill::Normal(1.0)),
            ("cross_attend_blocks.0.norm.weight", vec![dims], one),
            ("cross_attend_blocks.0.norm.bias", vec![dims], zero),
            ("cross_attend_blocks.0.norm_context.weight", vec![dims], one),
            ("cross_attend_blocks.0.norm_context.bias", vec![dims], zero),
            (
                "cross_attend_blocks.0.fn.to_q.weight",
                vec![width, dims],
                Fill::Inputs(dims),
            ),
            (
                "cross_attend_blocks.0.fn.to_kv.weight",
                vec![2 * width, dims],
                Fill::Inputs(dims),
            ),
            (
                "cross_attend_blocks.0.fn.to_out.weight",
                vec![dims, width],
                out(width),
            ),
            ("cross_attend_blocks.1.norm.weight", vec![dims], one),
            ("cross_attend_blocks.1.norm.bias", vec![dims], zero),
            (
                "cross_attend_blocks.1.fn.net.0.weight",
                vec![2 * inner, dims],
                Fill::Inputs(dims),
            ),
            (
                "cross_attend_blocks.1.fn.net.0.bias",
                vec![2 * inner],
                Fill::Inputs(dims),
            ),
            (
                "cross_attend_blocks.1.fn.net.2.weight",
                vec![dims, inner],
                out(inner),
            ),
            ("cross_attend_blocks.1.fn.net.2.bias", vec![dims], out(inner)),
        ];
        if layered {
            parts.push(("layer_weights", vec![layers, dims], Fill::Normal(0.02)));
        }
        parts
    }

    /// Names and shapes of its tensors for states of `dims` values and so many layers: latents; weight and bias of the norms of those that
    /// ask and those that are asked; weights of queries, of keys and values, of attention's output; the second norm; weight and bias of the
    /// gated network's first part (values, then gates) and of its second; for layers what is added to each.
    pub fn tensors(&self, dims: usize, layers: usize) -> Vec<(&'static str, Vec<usize>)> {
        let parts = self.parts(dims, layers).into_iter();
        parts.map(|(name, shape, _)| (name, shape)).collect()
    }

    /// Values to begin with, of all tensors end to end.
    pub fn fresh(&self, dims: usize, layers: usize, mut seed: Seed) -> Vec<f32> {
        let mut values = Vec::new();
        for (_, shape, fill) in self.parts(dims, layers) {
            let len: usize = shape.iter().product();
            values.extend((0..len).map(|_| match fill {
                Fill::Constant(value) => value,
                Fill::Normal(deviation) => (seed.normal() * deviation) as f32,
                Fill::Inputs(inputs) => ((2.0 * seed.uniform() - 1.0) / (inputs as f64).sqrt()) as f32,
            }));
        }
        values
    }

    /// `config.json` of its module.
    pub fn config(&self, pooling: TrainPooling, dims: usize) -> serde_json::Value {
        serde_json::json!({
            "embedding_dimension": dims,
            "pooling_mode": self.kind.name(),
            "layer_pooling": pooling.name(),
            "num_latents": self.latents,
            "num_cross_heads": self.heads,
            "cross_dim_head": self.head_dims,
        })
    }
}
