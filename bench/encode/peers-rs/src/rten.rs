//! rten on the ONNX files that ONNX Runtime reads, too; weights are packed when the file is read.

use std::path::Path;
use std::sync::Arc;

use rten::{ModelOptions, RunOptions, ThreadPool};
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;

use crate::{Failure, Run};

/// The model in an ONNX file with inputs `input_ids` and `attention_mask` and one output, the vectors.
pub fn load(file: &Path, threads: usize) -> Result<Run, Failure> {
    let model = ModelOptions::with_all_ops()
        .prepack_weights(true)
        .load_file(file)?;
    let (ids, mask) = (model.node_id("input_ids")?, model.node_id("attention_mask")?);
    let output = *model.output_ids().first().ok_or("a model without outputs")?;
    let pool = Arc::new(ThreadPool::with_num_threads(threads));
    Ok(Box::new(move |batch| {
        let tensor = |values: &[u32]| {
            let values = values.iter().map(|&value| value as i32).collect::<Vec<_>>();
            NdTensor::from_data([batch.texts, batch.longest], values)
        };
        let inputs = vec![
            (ids, tensor(&batch.ids).into()),
            (mask, tensor(&batch.mask).into()),
        ];
        let options = RunOptions::default().with_thread_pool(Some(pool.clone()));
        let [vectors] = model.run_n(inputs, [output], Some(options))?;
        let vectors: NdTensor<f32, 2> = vectors.try_into()?;
        Ok(vectors.to_vec())
    }))
}
