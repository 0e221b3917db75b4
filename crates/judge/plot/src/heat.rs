//! A table of numbers as a picture: each cell coloured by its value, with the value in it.

use std::fmt::Write;

/// A table of numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Heat {
    /// What is written above it.
    pub title: String,
    /// What columns are.
    pub x: String,
    /// What rows are.
    pub y: String,
    /// Their names.
    pub columns: Vec<String>,
    /// Their names.
    pub rows: Vec<String>,
    /// `[rows][columns]`; what is not finite is left white.
    pub values: Vec<Vec<f64>>,
}

/// Pixels of a cell.
const CELL: (usize, usize) = (74, 36);
/// Pixels left of and above the cells.
const MARGIN: (usize, usize) = (90, 84);

/// The table as SVG, darker for more (from light to dark blue, readable in grey).
pub fn heat(heat: &Heat) -> String {
    let finite = || {
        heat.values
            .iter()
            .flatten()
            .copied()
            .filter(|value| value.is_finite())
    };
    let low = finite().fold(f64::INFINITY, f64::min);
    let high = finite().fold(f64::NEG_INFINITY, f64::max);
    let (width, height) = (
        MARGIN.0 + heat.columns.len() * CELL.0 + 20,
        MARGIN.1 + heat.rows.len() * CELL.1 + 20,
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\" \
         text-anchor=\"middle\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let mut text = |x: usize, y: usize, more: &str, text: &str| {
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\"{more}>{}</text>", escape(text));
    };
    text(width / 2, 24, " font-size=\"16\"", &heat.title);
    text(MARGIN.0 + heat.columns.len() * CELL.0 / 2, 50, "", &heat.x);
    text(24, MARGIN.1 - 8, "", &heat.y);
    for (column, name) in heat.columns.iter().enumerate() {
        text(MARGIN.0 + column * CELL.0 + CELL.0 / 2, MARGIN.1 - 8, "", name);
    }
    for (row, name) in heat.rows.iter().enumerate() {
        text(
            MARGIN.0 - 16,
            MARGIN.1 + row * CELL.1 + CELL.1 / 2 + 5,
            " text-anchor=\"end\"",
            name,
        );
    }
    for (row, values) in heat.values.iter().enumerate() {
        for (column, value) in values.iter().enumerate().filter(|(_, value)| value.is_finite()) {
            let share = if high > low {
                (value - low) / (high - low)
            } else {
                1.0
            };
            let mix = |light: f64, dark: f64| (light + (dark - light) * share).round() as u8;
            let (x, y) = (MARGIN.0 + column * CELL.0, MARGIN.1 + row * CELL.1);
            let ink = if share > 0.55 { "#fff" } else { "#000" };
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"#{:02x}{:02x}{:02x}\"/>\n\
                 <text x=\"{}\" y=\"{}\" fill=\"{ink}\">{value:.3}</text>",
                CELL.0 - 2,
                CELL.1 - 2,
                mix(239.0, 8.0),
                mix(243.0, 69.0),
                mix(255.0, 148.0),
                x + CELL.0 / 2,
                y + CELL.1 / 2 + 5,
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_cell_is_drawn_and_text_is_escaped() {
        let svg = heat(&Heat {
            title: "a < b".into(),
            x: "dims".into(),
            y: "layers".into(),
            columns: vec!["16".into(), "32".into()],
            rows: vec!["1".into()],
            values: vec![vec![0.5, f64::NAN]],
        });
        assert!(
            svg.contains("a &lt; b") && svg.contains("0.500") && !svg.contains("NaN"),
            "{svg}"
        );
        assert_eq!(svg.matches("<rect x=").count(), 1);
    }
}
