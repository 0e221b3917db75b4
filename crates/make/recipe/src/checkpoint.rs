//! Everything that a run needs to go on to the bit: parameters, moments, counts. One file, put in place at once.

use std::io::Write;
use std::path::Path;

use kokeshi_core::file::{Mapped, Writer, checksum};
use kokeshi_train::Learner;

use crate::error::{Error, Result};

const MAGIC: &[u8; 8] = b"KKTRAIN\0";
const VERSION: u32 = 1;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    /// Steps that were made.
    pub step: u64,
    /// The best mean so far.
    pub best: f64,
    /// Evaluations since then.
    pub since: u64,
    /// What the recipe and the data were: a checkpoint is for the same.
    pub recipe: u64,
    /// Threads: sums are in another order with others.
    pub threads: u64,
}

/// What a run is bound to.
pub(crate) fn fingerprint(recipe: &str, rows: usize) -> u64 {
    checksum(format!("{recipe}\n{rows}").as_bytes())
}

/// Writes a checkpoint. What was there before stays until this one is whole.
pub(crate) fn write(path: &Path, place: Place, learner: &Learner, mean: Option<&[f32]>) -> Result<()> {
    let mut writer = Writer::create(path, MAGIC, VERSION)?;
    let mut put = |bytes: &[u8]| writer.write_all(bytes).map_err(kokeshi_core::Error::io(path));
    let (first, second, used, steps) = learner.moments();
    let hidden = learner.encoder.shape().hidden;
    let table = used.len() * hidden;
    let header = [
        place.step,
        place.best.to_bits(),
        place.since,
        place.recipe,
        place.threads,
        steps,
        u64::from(mean.is_some()),
        learner.parameters().len() as u64,
        used.len() as u64,
    ];
    for number in header {
        put(&number.to_le_bytes())?;
    }
    let flags: Vec<u8> = used.iter().map(|used| u8::from(*used)).collect();
    put(&flags)?;
    put_floats(&mut put, learner.parameters())?;
    for moments in [first, second] {
        put_floats(&mut put, &moments[table..])?;
        let rows = moments[..table].chunks_exact(hidden).zip(used);
        for (row, _) in rows.filter(|(_, used)| **used) {
            put_floats(&mut put, row)?;
        }
    }
    if let Some(mean) = mean {
        put_floats(&mut put, mean)?;
    }
    writer.finish()?;
    Ok(())
}

fn put_floats(
    put: &mut impl FnMut(&[u8]) -> kokeshi_core::Result<()>,
    values: &[f32],
) -> kokeshi_core::Result<()> {
    let mut bytes = Vec::with_capacity(4 << 14);
    for values in values.chunks(1 << 14) {
        bytes.clear();
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        put(&bytes)?;
    }
    Ok(())
}

/// Reads a checkpoint into a learner of the same model; also the running mean of the weights, if there is one.
///
/// # Errors
/// [`Error::Checkpoint`] if it is of another recipe, model or number of threads.
pub(crate) fn read(path: &Path, recipe: u64, learner: &mut Learner) -> Result<(Place, Option<Vec<f32>>)> {
    let bytes = Mapped::open(path, MAGIC, VERSION)?;
    let wrong = |problem: String| Error::Checkpoint {
        path: path.into(),
        problem,
    };
    let mut rest: &[u8] = &bytes;
    let mut take = |count: usize| -> Result<&[u8]> {
        if rest.len() < count {
            return Err(wrong(format!(
                "expected {count} more bytes, found {}",
                rest.len()
            )));
        }
        let (taken, more) = rest.split_at(count);
        rest = more;
        Ok(taken)
    };
    let mut numbers = [0; 9];
    for (number, bytes) in numbers.iter_mut().zip(take(72)?.chunks_exact(8)) {
        *number = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
    }
    let [step, best, since, found, threads, steps, has_mean, count, tokens] = numbers;
    let place = Place {
        step,
        best: f64::from_bits(best),
        since,
        recipe: found,
        threads,
    };
    if found != recipe {
        let hint = "it was made with another recipe or other data; remove the folder to begin anew";
        return Err(wrong(hint.into()));
    }
    let here = rayon::current_num_threads() as u64;
    if threads != here {
        return Err(wrong(format!(
            "it was made with {threads} threads, found {here}: go on with --threads {threads}, or sums would be in another order"
        )));
    }
    let (values, vocabulary) = (learner.parameters().len(), learner.moments().2.len());
    if (count, tokens) != (values as u64, vocabulary as u64) {
        return Err(wrong(format!("expected {values} parameters, found {count}")));
    }
    let used: Vec<bool> = take(vocabulary)?.iter().map(|flag| *flag != 0).collect();
    let floats = |bytes: &[u8], out: &mut [f32]| {
        for (out, bytes) in out.iter_mut().zip(bytes.chunks_exact(4)) {
            *out = f32::from_le_bytes(bytes.try_into().unwrap_or_default());
        }
    };
    let mut parameters = vec![0.0; values];
    floats(take(values * 4)?, &mut parameters);
    learner.set_parameters(&parameters);
    let hidden = learner.encoder.shape().hidden;
    let table = vocabulary * hidden;
    let mut moments = [vec![0.0; values], vec![0.0; values]];
    for moments in &mut moments {
        floats(take((values - table) * 4)?, &mut moments[table..]);
        for (row, _) in moments[..table]
            .chunks_exact_mut(hidden)
            .zip(&used)
            .filter(|(_, used)| **used)
        {
            floats(take(hidden * 4)?, row);
        }
    }
    let [first, second] = moments;
    learner.restore(first, second, used, steps);
    let mean = match has_mean {
        0 => None,
        _ => {
            let mut mean = vec![0.0; values];
            floats(take(values * 4)?, &mut mean);
            Some(mean)
        }
    };
    Ok((place, mean))
}
