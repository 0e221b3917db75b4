//! Panels to SVG.

use plotters::coord::Shift;
use plotters::coord::combinators::{BindKeyPoints, IntoLogRange};
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::{Axis, Mark, Panel, Series};

/// Pixels of a panel.
const WIDTH: u32 = 760;
const HEIGHT: u32 = 520;
/// The most pixels beside the axes for the names of series, where they hide no mark.
const LEGEND: u32 = 300;

/// Okabe and Ito's colours (Color Universal Design, 2008), and four for pictures with more.
const COLOURS: [RGBColor; 12] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(110, 110, 110),
    RGBColor(0, 0, 0),
    RGBColor(140, 86, 75),
    RGBColor(127, 60, 190),
    RGBColor(150, 150, 0),
    RGBColor(200, 0, 0),
];

/// The panels side by side. A panel without a mark that can be drawn has axes and no marks.
pub fn svg(panels: &[Panel]) -> String {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH * panels.len().max(1) as u32, HEIGHT))
            .into_drawing_area();
        // Writing to a string does not fail; a drawing that plotters refuses would leave its panel out.
        let _ = root.fill(&WHITE);
        for (panel, area) in panels.iter().zip(root.split_evenly((1, panels.len().max(1)))) {
            let _ = draw(panel, &area);
        }
        let _ = root.present();
    }
    text
}

/// The range that holds all values with a margin.
fn range(axis: &Axis, values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let fits = |value: &f64| value.is_finite() && (!axis.log || *value > 0.0);
    let low = values.clone().filter(fits).fold(f64::INFINITY, f64::min);
    let high = values.filter(fits).fold(f64::NEG_INFINITY, f64::max);
    match (low <= high, axis.log) {
        (false, _) => (1.0, 10.0),
        (true, true) => (low / 1.25, high * 1.4),
        (true, false) => {
            let margin = 0.06 * (high - low).max(1e-6 * high.abs().max(1e-6));
            (low - margin, high + margin)
        }
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw<'a>(panel: &Panel, area: &Area<'a>) -> Drawn {
    let marks = || panel.series.iter().flat_map(|series| &series.marks);
    let (left, right) = range(&panel.x, marks().map(|mark| mark.x));
    let ends = |mark: &Mark| {
        mark.interval.map_or([mark.y, mark.y], |(low, high)| {
            [low.min(mark.y), high.max(mark.y)]
        })
    };
    let (low, high) = range(&panel.y, marks().flat_map(ends));
    let (axes, beside) = area.split_horizontally(WIDTH - room(&panel.series));
    legend(&panel.series, &beside)?;
    let mut builder = ChartBuilder::on(&axes);
    builder
        .caption(&panel.title, ("sans-serif", 14))
        .margin(14)
        .x_label_area_size(46)
        .y_label_area_size(66);
    let log = |low: f64, high: f64| (low..high).log_scale().with_key_points(ticks(low, high));
    match (panel.x.log, panel.y.log) {
        (false, false) => fill(builder.build_cartesian_2d(left..right, low..high)?, panel),
        (true, false) => fill(builder.build_cartesian_2d(log(left, right), low..high)?, panel),
        (false, true) => fill(builder.build_cartesian_2d(left..right, log(low, high))?, panel),
        (true, true) => fill(
            builder.build_cartesian_2d(log(left, right), log(low, high))?,
            panel,
        ),
    }
}

/// Pixels that the names of series take.
fn room(series: &[Series]) -> u32 {
    let longest = series.iter().map(|series| series.name.chars().count()).max();
    longest.map_or(0, |longest| (28 + 7 * longest as u32).min(LEGEND))
}

/// The names of series with their colours, below each other.
fn legend(series: &[Series], area: &Area<'_>) -> Drawn {
    for (series, row) in series.iter().zip(0..) {
        let middle = 58 + 20 * row;
        let colour = COLOURS[series.colour % COLOURS.len()];
        area.draw(&Circle::new((8, middle), 4, colour.filled()))?;
        let style = ("sans-serif", 12).into_font().color(&BLACK);
        let style = style.pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(series.name.clone(), (20, middle), style))?;
    }
    Ok(())
}

/// Where a logarithmic axis is labelled: at 1, 2 and 5 times the powers of ten, or at these alone if there are many.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let steps: &[f64] = if high / low < 300.0 {
        &[1.0, 2.0, 5.0]
    } else {
        &[1.0]
    };
    (low.log10().floor() as i32..=high.log10().ceil() as i32)
        .flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)))
        .filter(|tick| (low..=high).contains(tick))
        .collect()
}

fn fill<'a, X, Y>(mut chart: ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>, panel: &Panel) -> Drawn
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .x_desc(&panel.x.name)
        .y_desc(&panel.y.name)
        .x_labels(9)
        .y_labels(9)
        .x_label_formatter(&|value| short(*value))
        .y_label_formatter(&|value| short(*value))
        .light_line_style(BLACK.mix(0.03))
        .bold_line_style(BLACK.mix(0.1))
        .axis_desc_style(("sans-serif", 14))
        .label_style(("sans-serif", 12))
        .draw()?;
    for series in &panel.series {
        let colour = COLOURS[series.colour % COLOURS.len()];
        let marks = || drawable(panel, series);
        if series.line {
            chart.draw_series(LineSeries::new(
                marks().map(|mark| (mark.x, mark.y)),
                colour.stroke_width(2),
            ))?;
        }
        let bar = |mark: &Mark| {
            mark.interval.map(|(low, high)| {
                PathElement::new([(mark.x, low), (mark.x, high)], colour.mix(0.6).stroke_width(1))
            })
        };
        chart.draw_series(marks().filter_map(bar))?;
        chart.draw_series(marks().map(|mark| Circle::new((mark.x, mark.y), 4, colour.filled())))?;
        // Left and above: where a front that rises to the right leaves room; right of marks at the left edge.
        let all = panel
            .series
            .iter()
            .flat_map(|series| &series.marks)
            .map(|mark| mark.x);
        let (left, right) = range(&panel.x, all);
        let place = |x: f64| if panel.x.log { x.ln() } else { x };
        let edge = place(left) + 0.2 * (place(right) - place(left));
        chart.draw_series(marks().filter(|mark| !mark.label.is_empty()).map(|mark| {
            let (side, by) = if place(mark.x) < edge {
                (HPos::Left, 6)
            } else {
                (HPos::Right, -6)
            };
            let style = ("sans-serif", 11).into_font().color(&BLACK.mix(0.75));
            let style = style.pos(Pos::new(side, VPos::Bottom));
            EmptyElement::at((mark.x, mark.y)) + Text::new(mark.label.clone(), (by, -3), style)
        }))?;
    }
    Ok(())
}

/// The marks that the axes can show.
fn drawable<'a>(panel: &'a Panel, series: &'a Series) -> impl Iterator<Item = &'a Mark> {
    let fits = |value: f64, axis: &Axis| value.is_finite() && (!axis.log || value > 0.0);
    series
        .marks
        .iter()
        .filter(move |mark| fits(mark.x, &panel.x) && fits(mark.y, &panel.y))
}

/// `0.5`, `20`, `1.5k`, `30M`.
fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    // Three digits, however small the number.
    let places = if value.abs() < 1.0 && value != 0.0 {
        (2 - value.abs().log10().floor() as i32) as usize
    } else {
        3
    };
    let text = format!("{value:.places$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(log: bool, marks: Vec<Mark>) -> Panel {
        let axis = |name: &str| Axis {
            name: name.into(),
            log,
        };
        let series = Series {
            name: "a series".into(),
            marks,
            line: true,
            colour: 9,
        };
        Panel {
            title: "a < b".into(),
            x: axis("bytes"),
            y: axis("recall"),
            series: vec![series],
        }
    }

    #[test]
    fn every_mark_that_fits_is_drawn_and_texts_are_escaped() {
        let marks = vec![
            Mark {
                interval: Some((1.0, 3.0)),
                label: "pca:64|int8".into(),
                ..Mark::at(1.0, 2.0)
            },
            Mark::at(2.0, 4.0),
            Mark::at(-1.0, f64::NAN),
        ];
        for log in [false, true] {
            let drawn = svg(&[panel(log, marks.clone()), panel(log, Vec::new())]);
            assert!(drawn.starts_with("<svg") && drawn.trim_end().ends_with("</svg>"));
            assert!(
                drawn.contains("pca:64|int8") && drawn.contains("a &lt; b") && drawn.contains("a series")
            );
            // Two marks; two panels with a legend each.
            assert_eq!(drawn.matches("<circle").count(), 2 + 2);
        }
    }

    #[test]
    fn the_names_of_series_are_right_of_all_marks() {
        let mut many = panel(true, vec![Mark::at(1.0, 2.0), Mark::at(9.0, 2.0)]);
        let one = many.series[0].clone();
        many.series = (0..8)
            .map(|at| Series {
                name: format!("series {at}"),
                ..one.clone()
            })
            .collect();
        let drawn = svg(&[many]);
        let places = drawn.split("<circle cx=\"").skip(1);
        let places: Vec<u32> = places
            .filter_map(|part| part.split('"').next()?.parse().ok())
            .collect();
        let right = WIDTH - 28 - 7 * "series 7".len() as u32 + 8;
        let names = places.iter().filter(|&&x| x == right).count();
        assert_eq!((names, places.len()), (8, 8 + 16));
        assert!(places.iter().all(|&x| x <= right));
        assert!(drawn.contains("series 7"));
    }

    #[test]
    fn odd_ranges_are_drawn_too() {
        for values in [
            vec![0.0],
            vec![5.0, 5.0],
            vec![-1e300, 1e300],
            vec![1e-9, 1e12],
            vec![f64::INFINITY],
        ] {
            let marks: Vec<Mark> = values.iter().map(|&value| Mark::at(value, value)).collect();
            for log in [false, true] {
                assert!(svg(&[panel(log, marks.clone())]).contains("recall"));
            }
        }
        assert!(svg(&[]).starts_with("<svg"));
    }

    #[test]
    fn a_logarithmic_axis_of_one_decade_has_several_labels_and_one_of_many_has_powers_of_ten() {
        assert_eq!(ticks(33.6, 268.8), [50.0, 100.0, 200.0]);
        assert_eq!(ticks(0.9, 2000.0), [1.0, 10.0, 100.0, 1000.0]);
    }

    #[test]
    fn numbers_on_axes_are_short() {
        let texts = [0.95, 0.0001, 20.0, 1536.0, 20_000.0, 1.5e6, 2e9, 0.0].map(short);
        assert_eq!(texts, ["0.95", "0.0001", "20", "1536", "20k", "1.5M", "2G", "0"]);
    }
}
