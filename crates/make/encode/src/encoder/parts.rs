//! Tensors by name: linear layers packed for this processor, and norms.

use kokeshi_kernels::{Level, Linear, Precision, layer_norm, rms_norm};

use crate::encoder::plan::{LinearPlan, NormKind, NormPlan};
use crate::error::Result;
use crate::safetensors::Weights;

/// Finds the tensors of a plan, whatever stands before their names.
pub(crate) struct Parts<'a> {
    pub(crate) level: Level,
    precision: Precision,
    pub(crate) weights: &'a Weights,
    prefix: &'a str,
}

impl<'a> Parts<'a> {
    /// Tensors that are called as planned, or have `prefix` before their names.
    pub(crate) fn new((level, precision): (Level, Precision), weights: &'a Weights, prefix: &'a str) -> Self {
        let prefixed = weights.names().any(|name| name.starts_with(prefix));
        Self::within((level, precision), weights, if prefixed { prefix } else { "" })
    }

    /// Tensors that have `prefix` before their names.
    pub(crate) fn within(
        (level, precision): (Level, Precision),
        weights: &'a Weights,
        prefix: &'a str,
    ) -> Self {
        Self {
            level,
            precision,
            weights,
            prefix,
        }
    }

    /// A tensor's name with the prefix.
    pub(crate) fn of(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The values of a tensor.
    pub(crate) fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.weights.values(&self.of(name), shape)
    }

    /// Weights (`[outputs, inputs]`) and bias (zeros if there is none) of a layer.
    pub(crate) fn layer(
        &self,
        plan: &LinearPlan,
        inputs: usize,
        outputs: usize,
    ) -> Result<(Vec<f32>, Vec<f32>)> {
        let name = format!("{}.weight", plan.name);
        let weights = if plan.transposed {
            let values = self.values(&name, &[inputs, outputs])?;
            (0..outputs)
                .flat_map(|output| values[output..].iter().step_by(outputs).copied())
                .collect()
        } else {
            self.values(&name, &[outputs, inputs])?
        };
        let bias = if plan.bias {
            self.values(&format!("{}.bias", plan.name), &[outputs])?
        } else {
            vec![0.0; outputs]
        };
        Ok((weights, bias))
    }

    /// Several layers with the same input as one; `plans` has each one's outputs.
    pub(crate) fn joint(&self, plans: &[(&LinearPlan, usize)], inputs: usize) -> Result<Linear> {
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for (plan, outputs) in plans {
            let (more, bias) = self.layer(plan, inputs, *outputs)?;
            weights.extend(more);
            biases.extend(bias);
        }
        Ok(Linear::new(
            self.level,
            self.precision,
            inputs,
            biases.len(),
            &weights,
            Some(&biases),
        ))
    }

    /// A linear layer.
    pub(crate) fn linear(&self, plan: &LinearPlan, inputs: usize, outputs: usize) -> Result<Linear> {
        self.joint(&[(plan, outputs)], inputs)
    }

    /// A norm of `dims` values.
    pub(crate) fn norm(&self, plan: &NormPlan, dims: usize) -> Result<Norm> {
        // Checkpoints that were converted from TensorFlow say gamma and beta.
        let values = |modern: &str, old: &str| {
            let old = format!("{}.{old}", plan.name);
            match self.weights.tensor(&self.of(&old)) {
                Some(_) => self.values(&old, &[dims]),
                None => self.values(&format!("{}.{modern}", plan.name), &[dims]),
            }
        };
        Ok(Norm {
            level: self.level,
            weight: values("weight", "gamma")?,
            bias: match plan.kind {
                NormKind::Layer { bias: true } => values("bias", "beta")?,
                NormKind::Layer { bias: false } => vec![0.0; dims],
                NormKind::Rms => Vec::new(),
            },
            epsilon: plan.epsilon,
        })
    }

    /// A norm that may be missing from the plan.
    pub(crate) fn optional_norm(&self, plan: Option<&NormPlan>, dims: usize) -> Result<Option<Norm>> {
        plan.map(|plan| self.norm(plan, dims)).transpose()
    }
}

/// A LayerNorm or an RMSNorm.
pub(crate) struct Norm {
    level: Level,
    weight: Vec<f32>,
    /// Empty: an RMSNorm.
    bias: Vec<f32>,
    epsilon: f32,
}

impl Norm {
    /// A LayerNorm that only normalises.
    #[cfg(test)]
    pub(crate) fn plain(level: Level, dims: usize, epsilon: f32) -> Self {
        Self {
            level,
            weight: vec![1.0; dims],
            bias: vec![0.0; dims],
            epsilon,
        }
    }

    /// Normalises every row of `x`.
    pub(crate) fn apply(&self, x: &mut [f32]) {
        if self.bias.is_empty() {
            rms_norm(self.level, x, &self.weight, self.epsilon);
        } else {
            layer_norm(self.level, x, &self.weight, &self.bias, self.epsilon);
        }
    }
}
