//! Spherical interpolation (Shoemake, 1985), as models are merged by it (Qwen3 Embedding, arXiv 2506.05176).

/// Vectors whose cosine is further from 0 than this are interpolated along the line, as in mergekit.
const PARALLEL: f64 = 0.9995;

/// `sin((1 - t) w) / sin w * a + sin(t w) / sin w * b` with the angle `w` between the two, which keep their lengths; along the line if they
/// are parallel.
///
/// ```
/// let between = kokeshi_train::slerp(&[1.0, 0.0], &[0.0, 1.0], 0.5);
/// assert!(between.iter().all(|value| (value - 0.5_f32.sqrt()).abs() < 1e-6));
/// ```
pub fn slerp(one: &[f32], two: &[f32], at: f64) -> Vec<f32> {
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    let length = (dot(one, one) * dot(two, two)).sqrt();
    let cosine = if length > 0.0 { dot(one, two) / length } else { 1.0 };
    let [left, right] = match cosine.abs() > PARALLEL {
        true => [1.0 - at, at],
        false => {
            let angle = cosine.acos();
            [
                ((1.0 - at) * angle).sin() / angle.sin(),
                (at * angle).sin() / angle.sin(),
            ]
        }
    };
    let pairs = one.iter().zip(two);
    pairs
        .map(|(a, b)| (left * f64::from(*a) + right * f64::from(*b)) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::check::g;

    #[test]
    fn slerp_keeps_the_length_and_ends_where_it_should() {
        let (one, two) = ([1.0, 0.0], [0.0, 1.0]);
        assert_eq!(slerp(&one, &two, 0.0), one);
        assert!((slerp(&one, &two, 1.0)[1] - 1.0).abs() < 1e-6);
        let half = slerp(&one, &two, 0.5);
        assert!((half[0] - 0.5_f32.sqrt()).abs() < 1e-6 && (half[0] - half[1]).abs() < 1e-6);
        assert_eq!(slerp(&one, &one, 0.3), one);
    }

    #[test]
    fn slerp_has_its_golden_values() {
        let found = slerp(&g(1.0, 1, 6).data, &g(2.0, 1, 6).data, 0.3);
        let expected = [0.982_943, 0.212_102, -1.063_373, 0.406_274, -0.033_500, 0.320_928];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 2e-6, "{found} and {expected}");
        }
    }
}
