//! candle: BERT of candle-transformers and the mean of its last layer. Threads are those of rayon (RAYON_NUM_THREADS).

use std::path::Path;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};

use crate::{Failure, Run};

/// The model in a directory with config.json and model.safetensors.
pub fn load(directory: &Path) -> Result<Run, Failure> {
    let config: Config = serde_json::from_slice(&std::fs::read(directory.join("config.json"))?)?;
    let weights = candle_core::safetensors::load(directory.join("model.safetensors"), &Device::Cpu)?;
    let model = BertModel::load(
        VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu),
        &config,
    )?;
    Ok(Box::new(move |batch| {
        let shape = (batch.texts, batch.longest);
        let ids = Tensor::from_slice(&batch.ids, shape, &Device::Cpu)?;
        let mask = Tensor::from_slice(&batch.mask, shape, &Device::Cpu)?;
        let hidden = model.forward(&ids, &ids.zeros_like()?, Some(&mask))?;
        let mask = mask.to_dtype(DType::F32)?.unsqueeze(2)?;
        // Dividing by the number of tokens changes nothing, since the length becomes one.
        let sums = hidden.broadcast_mul(&mask)?.sum(1)?;
        let vectors = sums.broadcast_div(&sums.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?)?;
        Ok(vectors.flatten_all()?.to_vec1()?)
    }))
}
