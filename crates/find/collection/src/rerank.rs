//! The second stage of a search: a cross-encoder reads the query with each of the best passages and sorts them anew.

use std::time::Instant;

use kokeshi_encode::Reranker;

use crate::{Collection, Result, SearchRequest, SearchResponse};

impl Collection {
    /// Searches as [`Collection::search`] does; then `reranker` sorts the best hits, as many as the request's `rerank` says.
    ///
    /// # Errors
    /// As [`Collection::search`], or what the reranker reports.
    pub fn search_reranked(&self, request: &SearchRequest, reranker: &Reranker) -> Result<SearchResponse> {
        self.search(&request.first_stage())?.reranked(request, reranker)
    }
}

impl SearchRequest {
    /// What the first stage is asked for: the hits to sort anew, none of them skipped, and no second stage.
    pub fn first_stage(&self) -> Self {
        let wanted = self.k.saturating_add(self.offset);
        match self.rerank {
            None => self.clone(),
            Some(depth) => Self {
                k: wanted.max(depth),
                offset: 0,
                rerank: None,
                ..self.clone()
            },
        }
    }
}

impl SearchResponse {
    /// The answer to `request` from the answer to its [`SearchRequest::first_stage`]: the first `rerank` hits by the reranker's scores, the
    /// others behind them as they were, then cut to `offset` and `k`.
    ///
    /// # Errors
    /// What the reranker reports.
    pub fn reranked(mut self, request: &SearchRequest, reranker: &Reranker) -> Result<Self> {
        let Some(depth) = request.rerank else {
            return Ok(self);
        };
        let start = Instant::now();
        let depth = depth.min(self.hits.len());
        let texts: Vec<String> = self.hits[..depth]
            .iter()
            .map(|hit| match hit.title.is_empty() {
                true => hit.passage.text.clone(),
                false => format!("{}\n\n{}", hit.title, hit.passage.text),
            })
            .collect();
        // Without a query there is nothing to be relevant to, and the order is that of the ids.
        if !request.query.trim().is_empty() {
            let scores = reranker.score(request.query.trim(), &texts)?;
            for (hit, score) in self.hits.iter_mut().zip(scores) {
                if let Some(why) = &mut hit.why {
                    why.reranked = Some(score);
                    why.first_stage = Some(hit.score);
                }
                hit.score = score;
            }
            self.hits[..depth].sort_by(|a, b| b.score.total_cmp(&a.score));
        }
        let skipped = request.offset.min(self.hits.len());
        self.hits.drain(..skipped);
        self.hits.truncate(request.k);
        let took = start.elapsed().as_secs_f64() * 1e3;
        self.took_ms += took;
        if let Some(explain) = &mut self.explain {
            explain.stages.push(("rerank".into(), took));
        }
        Ok(self)
    }
}
