//! How a recipe learns.

use serde::Deserialize;

/// How it learns.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Train {
    /// Passes over all data; ignored if `steps` is given.
    pub epochs: f64,
    /// Steps.
    pub steps: Option<u64>,
    /// Rows of a batch.
    pub batch: usize,
    /// The most tokens that a thread runs at once; more are run in parts with the same gradient (GradCache).
    pub chunk_tokens: usize,
    /// The most tokens of a text; the model's own limit if not given.
    pub max_tokens: Option<usize>,
    /// The learning rate at its highest.
    pub rate: f32,
    /// How it goes down.
    pub schedule: Schedule,
    /// `a` and `b` of the schedule `power`.
    pub power: [f64; 2],
    /// The share of steps in which it goes up.
    pub warmup: f64,
    /// The longest gradient.
    pub clip: f32,
    /// Weight decay.
    pub decay: f32,
    /// What the rate is multiplied by from a layer to the one below.
    pub layer_rate: f32,
    /// The width that the rate was found at (muP); 0: the base's own.
    pub base_width: usize,
    /// The share that dropout leaves out.
    pub dropout: f32,
    /// How much of the running mean of the weights stays each step; 0: the weights themselves are written.
    pub ema: f32,
    /// Steps from checkpoint to checkpoint; 0: none are written.
    pub checkpoint: u64,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            epochs: 1.0,
            steps: None,
            batch: 64,
            chunk_tokens: 4096,
            max_tokens: None,
            rate: 2e-5,
            schedule: Schedule::Linear,
            power: [4.0, -0.51],
            warmup: 0.1,
            clip: 1.0,
            decay: 0.0,
            layer_rate: 1.0,
            base_width: 0,
            dropout: 0.1,
            ema: 0.0,
            checkpoint: 100,
        }
    }
}

/// How the learning rate goes on after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Down to 0 in a straight line.
    Linear,
    /// Down to 0 along a half cosine.
    Cosine,
    /// As it is, and down to 0 in the last fifth (warm-up, stable, decay: arXiv 2404.06395).
    Wsd,
    /// Down with a power of the tokens that were read, `min(rate, batch a n^b)`, and to 0 in the last tenth (arXiv 2408.13359).
    Power,
    /// As it is.
    Constant,
}

impl Train {
    /// A key whose value can't be, and why.
    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        let share = |value: f64| (0.0..1.0).contains(&value);
        let checks: [(&str, bool, &str, f64); 14] = [
            (
                "epochs",
                self.epochs > 0.0 && self.epochs <= 1e6,
                "a number above 0",
                self.epochs,
            ),
            ("steps", self.steps != Some(0), "at least 1", 0.0),
            (
                "batch",
                (2..=1 << 20).contains(&self.batch),
                "2 to 1048576",
                self.batch as f64,
            ),
            ("chunk_tokens", self.chunk_tokens > 0, "at least 1", 0.0),
            (
                "max_tokens",
                self.max_tokens.is_none_or(|most| most > 2),
                "at least 3",
                self.max_tokens.unwrap_or(0) as f64,
            ),
            (
                "rate",
                self.rate > 0.0 && self.rate <= 1.0,
                "above 0, at most 1",
                f64::from(self.rate),
            ),
            ("warmup", share(self.warmup), "0 to less than 1", self.warmup),
            (
                "power",
                self.power[0] > 0.0 && self.power.iter().all(|value| value.is_finite()),
                "two numbers, the first above 0",
                self.power[0],
            ),
            (
                "layer_rate",
                self.layer_rate > 0.0 && self.layer_rate <= 1.0,
                "above 0, at most 1",
                f64::from(self.layer_rate),
            ),
            (
                "base_width",
                self.base_width <= 1 << 16,
                "at most 65536",
                self.base_width as f64,
            ),
            (
                "clip",
                self.clip >= 0.0 && self.clip.is_finite(),
                "at least 0",
                f64::from(self.clip),
            ),
            (
                "decay",
                share(f64::from(self.decay)),
                "0 to less than 1",
                f64::from(self.decay),
            ),
            (
                "dropout",
                share(f64::from(self.dropout)),
                "0 to less than 1",
                f64::from(self.dropout),
            ),
            (
                "ema",
                share(f64::from(self.ema)),
                "0 to less than 1",
                f64::from(self.ema),
            ),
        ];
        let (key, _, expected, found) = checks.into_iter().find(|(_, fine, _, _)| !fine)?;
        Some((key, format!("expected {expected}, found {found}")))
    }
}
