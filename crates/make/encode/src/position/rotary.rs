//! Rotary positions (RoFormer, arXiv 2104.09864): angles, computed when a text first needs them, and the turning of queries and keys.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use kokeshi_kernels::{Buffer, Far, Level, Turn, rotate};

use crate::position::extend::{Extended, LongRotation};
use crate::position::frequencies::{Rotation, Scaling};

/// Positions whose angles are computed at once.
const PAGE: usize = 512;
/// How many lengths' angles are kept where each length has its own.
const KEPT: usize = 16;

/// Cosines and sines of the angles of [`PAGE`] positions: `[positions, half]` each.
struct Page {
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

/// Where a token's angle is that of another position: `place(position)`.
pub(crate) type Place = Box<dyn Fn(usize) -> f32 + Send + Sync>;

/// The angles of all positions.
pub(crate) struct Angles {
    speeds: Vec<f32>,
    amplitude: f32,
    place: Place,
    pages: Vec<OnceLock<Page>>,
}

impl Angles {
    /// Angles for texts of up to `longest` tokens.
    pub(crate) fn new((speeds, amplitude): (Vec<f32>, f32), longest: usize, place: Place) -> Self {
        Self {
            speeds,
            amplitude,
            place,
            pages: (0..longest.div_ceil(PAGE)).map(|_| OnceLock::new()).collect(),
        }
    }

    fn page(&self, at: usize) -> &Page {
        self.pages[at].get_or_init(|| {
            let angles = (at * PAGE..(at + 1) * PAGE).flat_map(|position| {
                let place = (self.place)(position);
                self.speeds.iter().map(move |speed| f64::from(place * speed))
            });
            let (cosines, sines) = angles
                .map(|angle| {
                    let (sine, cosine) = angle.sin_cos();
                    (cosine as f32 * self.amplitude, sine as f32 * self.amplitude)
                })
                .unzip();
            Page { cosines, sines }
        })
    }

    /// Turns `heads` heads of each row of `x`, which is `[tokens, stride]`.
    pub(crate) fn turn(&self, level: Level, heads: usize, head_dims: usize, stride: usize, x: &mut [f32]) {
        let half = self.speeds.len();
        for (at, rows) in x.chunks_mut(PAGE * stride).enumerate() {
            let page = self.page(at);
            let count = rows.len() / stride * half;
            let turn = Turn {
                stride,
                heads,
                head_dims,
                half,
                cosines: &page.cosines[..count],
                sines: &page.sines[..count],
            };
            rotate(level, turn, rows);
        }
    }
}

/// Queries and keys of one text for tokens far apart.
#[derive(Default)]
pub(crate) struct FarScratch {
    before: Buffer,
    after: Buffer,
    keys: Buffer,
}

/// One rotation of a model.
pub(crate) struct Rotary {
    plain: Angles,
    /// What longer texts get instead, and from which length on.
    long: Option<(usize, LongRotation)>,
    grown: Option<Grown>,
}

/// Angles that differ from length to length.
struct Grown {
    trained: usize,
    rotation: Rotation,
    made: Mutex<Vec<(usize, Arc<Angles>)>>,
}

impl Grown {
    fn angles(&self, len: usize) -> Arc<Angles> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, angles)) = made.iter().find(|(known, _)| *known == len) {
            return angles.clone();
        }
        let angles = Arc::new(Angles::new(
            self.rotation.speeds(len),
            len,
            Box::new(|at| at as f32),
        ));
        if made.len() == KEPT {
            made.remove(0);
        }
        made.push((len, angles.clone()));
        angles
    }
}

impl Rotary {
    /// A rotation for texts of up to `longest` tokens.
    pub(crate) fn new(rotation: &Rotation, longest: usize, extension: Option<Extended>) -> Self {
        let long = extension.and_then(|extended| {
            let rotation = extended.rotation(rotation, longest)?;
            Some((extended.trained, rotation))
        });
        let grown = match rotation.scaling {
            Scaling::Dynamic { trained, .. } if long.is_none() => Some(Grown {
                trained: trained as usize,
                rotation: rotation.clone(),
                made: Mutex::default(),
            }),
            _ => None,
        };
        Self {
            plain: Angles::new(rotation.speeds(0), longest, Box::new(|at| at as f32)),
            long,
            grown,
        }
    }

    /// Turns the queries and keys of one text; see [`super::Positions::rotate`].
    pub(crate) fn apply<'a>(
        &self,
        level: Level,
        [heads, key_heads]: [usize; 2],
        head_dims: usize,
        joint: &mut [f32],
        scratch: &'a mut FarScratch,
    ) -> Option<Far<'a>> {
        let stride = (heads + 2 * key_heads) * head_dims;
        let len = joint.len() / stride;
        let all = heads + key_heads;
        if let Some(grown) = self.grown.as_ref().filter(|grown| len > grown.trained) {
            grown.angles(len).turn(level, all, head_dims, stride, joint);
            return None;
        }
        match self.long.as_ref().filter(|(trained, _)| len > *trained) {
            None => {
                self.plain.turn(level, all, head_dims, stride, joint);
                None
            }
            Some((_, LongRotation::Other(angles))) => {
                angles.turn(level, all, head_dims, stride, joint);
                None
            }
            Some((_, LongRotation::Far(far))) => {
                let (width, shared) = (heads * head_dims, key_heads * head_dims);
                for (part, buffer, angles, first, width) in [
                    (heads, &mut scratch.before, &far.before, 0, width),
                    (heads, &mut scratch.after, &far.after, 0, width),
                    (key_heads, &mut scratch.keys, &far.keys, width, shared),
                ] {
                    buffer.resize(len * width);
                    for (to, from) in buffer.chunks_exact_mut(width).zip(joint.chunks_exact(stride)) {
                        to.copy_from_slice(&from[first..][..width]);
                    }
                    angles.turn(level, part, head_dims, width, buffer);
                }
                self.plain.turn(level, all, head_dims, stride, joint);
                Some(Far {
                    window: far.window,
                    before: &scratch.before,
                    after: &scratch.after,
                    keys: &scratch.keys,
                })
            }
        }
    }
}
