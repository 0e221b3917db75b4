//! `kokeshi serve`.

use kokeshi_server::{Models, ServerConfig, serve};

use crate::args::Serve;
use crate::output::Output;
use crate::stop::{Result, Stop};

use super::info::open;

/// Serves until it is told to stop.
///
/// # Errors
/// Bad usage for collections or settings that are not right, a failure if the address is taken.
pub fn run(args: Serve, output: &Output) -> Result<()> {
    let collections = args
        .collections
        .iter()
        .map(|folder| open(folder))
        .collect::<Result<Vec<_>>>()?;
    let mut names: Vec<String> = collections.iter().map(|collection| collection.name()).collect();
    names.sort();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Stop::usage(format!("two collections are called {:?}", pair[0]))
            .hint("a collection is served under its directory's name: rename one"));
    }
    let reranker = |name: &String| super::model::reranker(name, &args.load);
    let sparse = |name: &String| super::model::sparse(name, &args.load);
    let models = Models {
        embedders: vec![super::model::load(args.model.as_deref(), &args.load)?],
        reranker: args.reranker.as_ref().map(reranker).transpose()?,
        sparse: args.sparse.as_ref().map(sparse).transpose()?,
    };
    let usual = ServerConfig::default();
    let config = ServerConfig {
        address: args.listen,
        api_keys: args.api_key.into_iter().collect(),
        read_keys: args.read_key.into_iter().collect(),
        insecure: args.insecure,
        cors: args.cors,
        hosts: args.hosts,
        max_body: (args.max_body as usize) << 20,
        concurrency: args.concurrency.unwrap_or(usual.concurrency),
        queue: args.queue.unwrap_or(usual.queue),
        ..usual
    };
    serve(config, collections, models, |address| {
        output.note(format!(
            "serving {} at http://{address}/  (API at /docs, Ctrl-C stops)",
            names.join(", ")
        ));
    })
    .map_err(|error| match error {
        kokeshi_server::Error::Config(_) => Stop::usage(error),
        other => Stop::failed(other),
    })
}
