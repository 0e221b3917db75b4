//! Embeddings at sizes, reranking and sparse vectors over HTTP give what the library gives.

use axum::Router;
use kokeshi_encode::{Model, Options, Reranker, SparseModel};
use kokeshi_server::{App, Models, ServerConfig, router};
use kokeshi_testing::small_model;
use serde_json::{Value, json};

use crate::memory::{Memory, request, send};

const TEXTS: [&str; 3] = ["a red apple", "the boat on the sea", "how small can a vector be?"];

fn path(name: &str) -> String {
    small_model(name).to_string_lossy().into_owned()
}

/// A server with the small models.
fn service() -> Router {
    let models = Models {
        embedders: vec![Model::load(&path("mpnet")).unwrap()],
        reranker: Some(Reranker::load(&path("rerank-bert")).unwrap()),
        sparse: Some(SparseModel::load(&path("sparse-bert")).unwrap()),
    };
    let collections: Vec<(String, std::sync::Arc<dyn kokeshi_server::Backend>)> =
        vec![("notes".into(), Memory::new())];
    router(App::new(ServerConfig::default(), collections, models).unwrap()).unwrap()
}

async fn post(router: &Router, uri: &str, body: Value) -> Value {
    let answer = send(router, request("POST", uri, body.to_string())).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

fn floats(value: &Value) -> Vec<f32> {
    serde_json::from_value(value.clone()).unwrap()
}

#[tokio::test]
async fn embeddings_have_the_layers_and_dimensions_that_are_asked_for() {
    let router = service();
    let model = Model::load(&path("mpnet")).unwrap();
    for (layers, dims) in [(1, 8), (2, 32), (1, 32)] {
        let body = json!({"input": TEXTS, "model": model.id(), "layers": layers, "dimensions": dims});
        let answer = post(&router, "/v1/embeddings", body).await;
        let size = kokeshi_core::Size {
            layers: Some(layers),
            dims: Some(dims),
            bits: None,
        };
        let options = Options {
            size,
            ..Options::default()
        };
        let expected = model.encode(&TEXTS, &options).unwrap();
        assert_eq!(expected.dims(), dims);
        for (at, row) in expected.iter().enumerate() {
            assert_eq!(floats(&answer["data"][at]["embedding"]), row, "{layers}x{dims}");
        }
    }
}

#[tokio::test]
async fn a_collections_size_is_the_default_of_embeddings_for_it() {
    let router = service();
    for (more, dims) in [(json!({}), 64), (json!({"dimensions": 7}), 7)] {
        let mut body = json!({"input": TEXTS, "collection": "notes"});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let answer = post(&router, "/v1/embeddings", body).await;
        let expected = Model::compiled_in()
            .encode(
                &TEXTS,
                &Options {
                    size: kokeshi_core::Size::dims(dims),
                    ..Options::default()
                },
            )
            .unwrap();
        assert_eq!(floats(&answer["data"][1]["embedding"]), expected.row(1));
        assert_eq!(answer["model"], "kokeshi-static");
    }
    for (name, model, status) in [("other", "kokeshi-static", 404), ("notes", "other", 400)] {
        let body = json!({"input": "x", "collection": name, "model": model});
        let answer = send(&router, request("POST", "/v1/embeddings", body.to_string())).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
}

#[tokio::test]
async fn models_are_listed_with_what_they_can_do() {
    let answer = send(&service(), request("GET", "/v1/models", "")).await.json();
    let find = |id: &str| {
        let models = answer["data"].as_array().unwrap();
        models
            .iter()
            .find(|model| model["id"] == id)
            .unwrap_or_else(|| panic!("{id} is not in {answer}"))
    };
    let usual = find("kokeshi-static");
    assert_eq!(usual["capability"], "embeddings");
    assert_eq!(usual["sizes"], json!(["*x32", "*x64", "*x128", "*x256"]));
    let mpnet = find(&path("mpnet"));
    assert_eq!(
        (&mpnet["layers"], &mpnet["dimensions"], &mpnet["max_tokens"]),
        (&json!(2), &json!(64), &json!(128))
    );
    assert_eq!(find(&path("rerank-bert"))["capability"], "rerank");
    assert_eq!(find(&path("sparse-bert"))["capability"], "embed_sparse");
}

#[tokio::test]
async fn rerank_sorts_documents_by_the_librarys_scores_in_either_form() {
    let router = service();
    let query = "small vectors";
    let scores = Reranker::load(&path("rerank-bert"))
        .unwrap()
        .score(query, &TEXTS)
        .unwrap();
    let mut order: Vec<usize> = (0..TEXTS.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let objects = TEXTS.map(|text| json!({"text": text}));
    for documents in [json!(TEXTS), json!(objects)] {
        let body = json!({"query": query, "documents": documents, "top_n": 2, "return_documents": true});
        let answer = post(&router, "/v1/rerank", body).await;
        let results = answer["results"].as_array().unwrap();
        assert_eq!(results.len(), 2);
        for (result, at) in results.iter().zip(&order) {
            assert_eq!(result["index"], *at);
            assert_eq!(result["relevance_score"].as_f64().unwrap() as f32, scores[*at]);
            assert_eq!(result["document"]["text"], TEXTS[*at]);
        }
    }
    let all = post(&router, "/v1/rerank", json!({"query": query, "texts": TEXTS})).await;
    assert_eq!(all["results"].as_array().unwrap().len(), 3);
    assert!(all["results"][0].get("document").is_none());
}

#[tokio::test]
async fn rerank_refuses_what_it_cannot_compare() {
    let router = service();
    for (body, param) in [
        (json!({"query": "x", "documents": []}), "documents"),
        (json!({"query": "x", "documents": [1]}), "documents"),
        (json!({"query": "x", "documents": [{"title": "y"}]}), "documents"),
        (json!({"query": "x", "documents": vec!["y"; 1001]}), "documents"),
        (json!({"query": "x", "documents": ["y"], "top_n": 0}), "top_n"),
        (json!({"documents": ["y"]}), "query"),
    ] {
        let answer = send(&router, request("POST", "/v1/rerank", body.to_string())).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
        assert_eq!(answer.json()["error"]["param"], param, "{}", answer.text);
    }
    let body = json!({"query": "x", "documents": ["y"], "model": "other"});
    let answer = send(&router, request("POST", "/v1/rerank", body.to_string())).await;
    assert_eq!(answer.status, 404, "{}", answer.text);
}

#[tokio::test]
async fn a_search_with_rerank_comes_in_the_order_of_the_reranker() {
    let router = service();
    let documents: Vec<Value> = TEXTS
        .iter()
        .enumerate()
        .map(|(id, text)| json!({"id": id.to_string(), "text": text}))
        .collect();
    post(&router, "/collections/notes/documents", json!(documents)).await;
    let query = "a";
    let scores = Reranker::load(&path("rerank-bert"))
        .unwrap()
        .score(query, &TEXTS)
        .unwrap();
    let mut order: Vec<usize> = (0..TEXTS.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let uri = "/collections/notes/search";
    let all = post(&router, uri, json!({"query": query, "rerank": 3, "k": 3})).await;
    let ids: Vec<&str> = all["hits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hit| hit["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, order.iter().map(usize::to_string).collect::<Vec<_>>());
    let body = json!({"query": query, "rerank": 3, "k": 1, "offset": 1});
    let second = post(&router, uri, body).await;
    assert_eq!(second["hits"].as_array().unwrap().len(), 1);
    assert_eq!(second["hits"][0]["id"], ids[1]);
}

#[tokio::test]
async fn sparse_vectors_are_the_librarys() {
    let router = service();
    let expected = SparseModel::load(&path("sparse-bert"))
        .unwrap()
        .encode(&TEXTS)
        .unwrap();
    let answer = post(&router, "/v1/embed_sparse", json!({"inputs": TEXTS})).await;
    for (found, expected) in answer.as_array().unwrap().iter().zip(&expected) {
        let found: Vec<(u32, f32)> = found
            .as_array()
            .unwrap()
            .iter()
            .map(|value| {
                (
                    value["index"].as_u64().unwrap() as u32,
                    value["value"].as_f64().unwrap() as f32,
                )
            })
            .collect();
        assert_eq!(&found, expected);
    }
    assert_eq!(answer.as_array().unwrap().len(), 3);
}
