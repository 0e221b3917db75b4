//! A bridge's file.

use std::io::Write;
use std::path::Path;

use kokeshi_core::file::{Mapped, Writer};
use kokeshi_core::{Error, Metric, Result};

use super::{Bridge, Method, Side};
use crate::blob::{BlobReader, BlobWriter};
use crate::file::metric_name;
use crate::learn::Head;

const MAGIC: &[u8; 8] = b"KKBRIDGE";
const VERSION: u32 = 1;

impl Bridge {
    /// Writes the bridge, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut writer = Writer::create(path, MAGIC, VERSION)?;
        writer.write_all(&self.to_bytes()).map_err(Error::io(path))?;
        writer.finish()?;
        Ok(())
    }

    /// Reads what [`Bridge::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::File`] with what was expected and found.
    pub fn load(path: &Path) -> Result<Self> {
        Self::from_bytes(&Mapped::open(path, MAGIC, VERSION)?, path)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut blob = BlobWriter::default();
        blob.text(&self.method.to_string());
        blob.text(metric_name(self.metric));
        for side in [&self.old, &self.new] {
            blob.text(&side.model);
            blob.text(&side.fingerprint);
        }
        blob.u64(self.old_dims as u64);
        blob.u64(self.new_dims as u64);
        blob.f32s(&[self.kept as f32]);
        blob.f32s(&self.matrix);
        blob.f32s(&self.bias);
        blob.u64(self.head.as_ref().map_or(0, |(hidden, _)| *hidden as u64));
        if let Some((_, head)) = &self.head {
            head.write(&mut blob);
        }
        blob.into_bytes()
    }

    pub(super) fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        let mut blob = BlobReader::new(bytes, path);
        let method = blob.text("a method")?;
        let method: Method = method.parse().map_err(|error| blob.wrong(error))?;
        let metric = blob.text("a metric")?;
        let metric: Metric = metric.parse().map_err(|error| blob.wrong(error))?;
        let mut side = || {
            Ok::<_, Error>(Side {
                model: blob.text("a model")?.into(),
                fingerprint: blob.text("a fingerprint")?.into(),
            })
        };
        let (old, new) = (side()?, side()?);
        let most = crate::spec::MOST_DIMS;
        let old_dims = blob.count("old dimensions", most)?;
        let new_dims = blob.count("new dimensions", most)?;
        let kept = f64::from(blob.f32s("what is kept", 1)?[0]);
        let matrix = blob.f32s("a map", old_dims.saturating_mul(new_dims))?;
        let bias = blob.f32s("a bias", old_dims)?;
        let head = match blob.u64("hidden values")? {
            0 => None,
            hidden if hidden <= most as u64 => {
                let hidden = hidden as usize;
                Some((hidden, Head::read(new_dims, hidden, old_dims, &mut blob)?))
            }
            hidden => {
                return Err(blob.wrong(format!("expected at most {most} hidden values, found {hidden}")));
            }
        };
        blob.end()?;
        Ok(Self {
            method,
            metric,
            old,
            new,
            new_dims,
            old_dims,
            matrix,
            bias,
            head,
            kept,
        })
    }
}
