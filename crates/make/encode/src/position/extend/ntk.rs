//! NTK-aware scaling: a base `lambda` times as large, so that slow dimensions turn slower and fast ones hardly do (arXiv 2404.12096,
//! section 4.2).

use crate::position::frequencies::Rotation;

/// The usual lambda for texts `factor` times as long: 3 for 2, 5 for 4, 10 for 8 (ibid., appendix).
pub(crate) fn lambda(factor: usize) -> f64 {
    (factor as f64 * 1.25).ceil()
}

/// The rotation with the larger base.
pub(crate) fn slower(plain: &Rotation, lambda: f64) -> Rotation {
    Rotation {
        base: plain.base * lambda,
        ..plain.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::frequencies::Scaling;

    #[test]
    fn speeds_are_those_of_the_formula() {
        let plain = Rotation {
            dims: 64,
            base: 10_000.0,
            scaling: Scaling::Plain,
        };
        let (speeds, _) = slower(&plain, 10.0).speeds(0);
        assert!((speeds[1] - 0.697_830_6).abs() < 1e-7, "{}", speeds[1]);
        assert!((speeds[31] - 1.43301e-5).abs() < 1e-10, "{}", speeds[31]);
        assert_eq!([2, 4, 8].map(lambda), [3.0, 5.0, 10.0]);
        assert_eq!(slower(&plain, 1.0).speeds(0), plain.speeds(0));
    }
}
