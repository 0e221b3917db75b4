//! Steps down a gradient.

/// Stochastic gradient descent with Nesterov's momentum, weight decay and a bound on the gradient's length.
pub(crate) struct Momentum {
    pub rate: f32,
    pub momentum: f32,
    /// For the values for which `decays` holds.
    pub decay: f32,
    pub clip: f32,
    speed: Vec<f32>,
}

impl Momentum {
    pub(crate) fn new(count: usize, rate: f32, decay: f32) -> Self {
        Self {
            rate,
            momentum: 0.9,
            decay,
            clip: 5.0,
            speed: vec![0.0; count],
        }
    }

    pub(crate) fn step(&mut self, values: &mut [f32], gradient: &[f32], decays: impl Fn(usize) -> bool) {
        let length = gradient
            .iter()
            .map(|&value| f64::from(value).powi(2))
            .sum::<f64>()
            .sqrt() as f32;
        let scale = if length > self.clip {
            self.clip / length
        } else {
            1.0
        };
        for (at, ((value, &gradient), speed)) in
            values.iter_mut().zip(gradient).zip(&mut self.speed).enumerate()
        {
            let decay = if decays(at) { self.decay * *value } else { 0.0 };
            let gradient = scale * gradient + decay;
            *speed = self.momentum * *speed + gradient;
            *value -= self.rate * (gradient + self.momentum * *speed);
        }
    }
}

/// Adam (arXiv 1412.6980) with its usual constants.
pub(crate) struct Adam {
    rate: f32,
    steps: i32,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Adam {
    pub(crate) fn new(count: usize, rate: f32) -> Self {
        Self {
            rate,
            steps: 0,
            first: vec![0.0; count],
            second: vec![0.0; count],
        }
    }

    pub(crate) fn step(&mut self, values: &mut [f32], gradient: &[f32]) {
        const FIRST: f32 = 0.9;
        const SECOND: f32 = 0.999;
        self.steps += 1;
        let rate = self.rate * (1.0 - SECOND.powi(self.steps)).sqrt() / (1.0 - FIRST.powi(self.steps));
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((value, &gradient), (first, second)) in values.iter_mut().zip(gradient).zip(moments) {
            *first += (1.0 - FIRST) * (gradient - *first);
            *second += (1.0 - SECOND) * (gradient * gradient - *second);
            *value -= rate * *first / (second.sqrt() + 1e-8);
        }
    }
}
