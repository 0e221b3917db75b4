//! Pictures of measurements: panels of points with intervals and lines, as SVG, and in files as PNG too ([`mod@file`]).
//!
//! ```
//! use kokeshi_plot::{Axis, Mark, Panel, Series};
//!
//! let marks = (1..9).map(|bits| Mark::at(f64::from(bits), 1.0 - 0.5_f64.powi(bits))).collect();
//! let panel = Panel {
//!     title: "what bits keep".into(),
//!     x: Axis { name: "bits a value".into(), log: true },
//!     y: Axis::linear("recall@10"),
//!     series: vec![Series { name: "rabitq".into(), marks, line: true, colour: 0 }],
//! };
//! assert!(kokeshi_plot::svg(&[panel]).starts_with("<svg"));
//! ```

mod draw;
pub mod file;
mod heat;

pub use draw::svg;
pub use heat::{Heat, heat};

/// A number line.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What it measures, with its unit.
    pub name: String,
    /// Whether equal distances are equal factors; then only positive values are drawn.
    pub log: bool,
}

impl Axis {
    /// An axis on which equal distances are equal differences.
    pub fn linear(name: &str) -> Self {
        Self {
            name: name.into(),
            log: false,
        }
    }

    /// An axis on which equal distances are equal factors.
    pub fn log(name: &str) -> Self {
        Self {
            name: name.into(),
            log: true,
        }
    }
}

/// One measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Where it is.
    pub x: f64,
    /// What was measured.
    pub y: f64,
    /// The interval of that, drawn as a bar.
    pub interval: Option<(f64, f64)>,
    /// What is written beside it; empty for nothing.
    pub label: String,
}

impl Mark {
    /// A mark without interval or label.
    pub fn at(x: f64, y: f64) -> Self {
        Self {
            x,
            y,
            interval: None,
            label: String::new(),
        }
    }
}

/// Measurements that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What the legend calls them.
    pub name: String,
    /// The measurements.
    pub marks: Vec<Mark>,
    /// Whether a line joins them in their order.
    pub line: bool,
    /// Which of the eight colours, which colour-blind people tell apart too.
    pub colour: usize,
}

/// One picture with two axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// What is written above it.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What is drawn, later ones over earlier ones.
    pub series: Vec<Series>,
}
