//! Images of handwritten digits, 8 by 8 pixels (UCI, Optical Recognition of Handwritten Digits).

use std::io::Read;

use flate2::read::MultiGzDecoder;
use kokeshi_train::tape::Matrix;

use crate::reproduction::{Context, Result, failed};

/// Pixels of an image, and kinds of digits.
pub(crate) const PIXELS: usize = 64;
pub(crate) const KINDS: usize = 10;
/// Images to learn from: the first ones. The others are to be judged on.
const TRAIN: usize = 1_500;

/// Images, a row each, and which digits they are.
pub(crate) struct Digits {
    pub images: Matrix,
    pub labels: Vec<usize>,
}

/// Images to learn from and to be judged on, for the reproduction `id`. Over those to learn from each pixel has a mean of 0 and a deviation of 1, unless
/// it is the same in all, which makes it 0.
pub(crate) fn read(context: &Context, id: &str) -> Result<[Digits; 2]> {
    let path = context.data.join("digits").join("digits.csv.gz");
    let wrong = |problem: String| failed(id, format!("{}: {problem}", path.display()));
    let file = std::fs::File::open(&path).map_err(|error| wrong(error.to_string()))?;
    let mut text = String::new();
    MultiGzDecoder::new(file)
        .read_to_string(&mut text)
        .map_err(|error| wrong(error.to_string()))?;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for (line, number) in text.lines().zip(1..) {
        let values: Option<Vec<f32>> = line.split(',').map(|value| value.parse().ok()).collect();
        let known = |label: f32| (0..KINDS).any(|kind| kind as f32 == label);
        let row = values.filter(|row| {
            row.len() == PIXELS + 1 && row.iter().all(|value| value.is_finite()) && known(row[PIXELS])
        });
        let Some(row) = row else {
            return Err(wrong(format!(
                "line {number}: expected {PIXELS} pixels and a digit, found {line:?}"
            )));
        };
        pixels.extend_from_slice(&row[..PIXELS]);
        labels.push(row[PIXELS] as usize);
    }
    if labels.len() <= TRAIN {
        return Err(wrong(format!(
            "expected more than {TRAIN} images, found {}",
            labels.len()
        )));
    }
    standardise(&mut pixels);
    let last = Digits {
        images: Matrix::new(labels.len() - TRAIN, PIXELS, pixels.split_off(TRAIN * PIXELS)),
        labels: labels.split_off(TRAIN),
    };
    let first = Digits {
        images: Matrix::new(TRAIN, PIXELS, pixels),
        labels,
    };
    Ok([first, last])
}

fn standardise(pixels: &mut [f32]) {
    for pixel in 0..PIXELS {
        let learnt = pixels.iter().skip(pixel).step_by(PIXELS).take(TRAIN);
        let mean = learnt.clone().sum::<f32>() / TRAIN as f32;
        let variance = learnt.map(|value| (value - mean).powi(2)).sum::<f32>() / TRAIN as f32;
        let factor = if variance > 0.0 {
            variance.sqrt().recip()
        } else {
            0.0
        };
        for value in pixels.iter_mut().skip(pixel).step_by(PIXELS) {
            *value = (*value - mean) * factor;
        }
    }
}
