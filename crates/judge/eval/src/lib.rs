//! Ranking, similarity and task metrics; BEIR and STS layouts; TREC runs.
