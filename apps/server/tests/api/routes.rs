//! Every route and every refusal: method, path, body, then status and what the answer says.

use kokeshi_server::ServerConfig;

use crate::memory::{Memory, request, send, service};

const DOCUMENTS: &str =
    r#"[{"id": "a", "text": "red apples"}, {"id": "b/c d", "title": "T", "text": "green apples"}]"#;

#[tokio::test]
async fn every_request_gets_its_status_and_says_why() {
    let memory = Memory::new();
    let (_, router) = service(&memory, ServerConfig::default());
    let posted = send(
        &router,
        request("POST", "/collections/notes/documents", DOCUMENTS),
    )
    .await;
    assert_eq!(posted.status, 200, "{}", posted.text);
    let long = format!("/collections/notes/search?q={}", "x".repeat(17 << 10));
    let many = format!(r#"{{"input": [{}"x"]}}"#, r#""x","#.repeat(2048));
    let deep = "[".repeat(100_000);
    let search = "/collections/notes/search";
    let documents = "/collections/notes/documents";
    // Method, URI, body, status, what the answer holds.
    #[rustfmt::skip] // One row a line.
    let table: &[(&str, &str, &str, u16, &str)] = &[
        // What works.
        ("GET", "/", "", 200, "<!doctype html>"),
        ("GET", "/app.js", "", 200, ""),
        ("GET", "/style.css", "", 200, ""),
        ("GET", "/docs", "", 200, "<!doctype html>"),
        ("GET", "/docs.js", "", 200, ""),
        ("GET", "/health", "", 200, r#""status":"ready""#),
        ("HEAD", "/health", "", 200, ""),
        ("GET", "/metrics", "", 200, "kokeshi_documents{collection=\"notes\"} 2"),
        ("GET", "/metrics", "", 200, "kokeshi_rows{collection=\"notes\"} 2"),
        ("GET", "/metrics", "", 200, "kokeshi_code_bytes{collection=\"notes\"} 0"),
        ("GET", "/openapi.json", "", 200, "/collections/{name}/search"),
        ("GET", "/collections", "", 200, r#""name":"notes""#),
        ("GET", "/collections/notes", "", 200, r#""documents":2"#),
        ("POST", search, r#"{"query": "red"}"#, 200, r#""id":"a""#),
        ("POST", search, r#"{"query": "apples", "k": 1, "offset": 1}"#, 200, "b/c d"),
        ("GET", "/collections/notes/search?q=green+apples&mode=lexical&k=3&explain", "", 200, "b/c d"),
        ("GET", "/collections/notes/search?query=red&alpha=0.5&effort=exact&no_cut=1&facets=x,y", "", 200, "red"),
        ("HEAD", "/collections/notes/search?q=red", "", 200, ""),
        ("GET", "/collections/notes/documents/a", "", 200, "red apples"),
        ("GET", "/collections/notes/documents/b%2Fc%20d", "", 200, "green apples"),
        ("GET", "/collections/notes/documents/a/similar?k=5", "", 200, "b/c d"),
        ("GET", "/collections/notes/documents/b%2Fc%20d/similar", "", 200, "red apples"),
        ("POST", "/collections/notes/documents/delete", r#"{"ids": ["none"]}"#, 200, r#""documents":0"#),
        ("GET", "/v1/models", "", 200, r#""object":"model""#),
        ("POST", "/v1/embeddings", r#"{"input": "x", "model": "kokeshi-static"}"#, 200, r#""embedding":["#),
        ("POST", "/v1/embeddings", r#"{"input": ["x", "y"], "encoding_format": "base64"}"#, 200, r#""index":1"#),
        // What is not there.
        ("GET", "/nothing", "", 404, "unknown_route"),
        ("GET", "/../../etc/passwd", "", 404, "unknown_route"),
        ("GET", "/collections/..%2F..%2Fetc", "", 404, "unknown_collection"),
        ("GET", "/collections/other", "", 404, "Collections here: notes."),
        ("GET", "/collections/other/search?q=x", "", 404, "unknown_collection"),
        ("POST", "/collections/other/documents", "[]", 404, "unknown_collection"),
        ("GET", "/collections/notes/documents/none", "", 404, "unknown_document"),
        ("GET", "/collections/notes/documents/..%2Fmanifest.json", "", 404, "unknown_document"),
        ("GET", "/collections/notes/documents/none/similar", "", 404, "unknown_document"),
        ("DELETE", "/collections/notes/documents/none", "", 404, "unknown_document"),
        ("POST", "/v1/embeddings", r#"{"input": "x", "model": "gpt"}"#, 404, "model_not_found"),
        // Wrong methods.
        ("PUT", "/collections/notes", "", 405, "method_not_allowed"),
        ("OPTIONS", search, "", 405, "method_not_allowed"),
        ("TRACE", "/", "", 405, "method_not_allowed"),
        ("DELETE", "/collections/notes", "", 405, "method_not_allowed"),
        // Bodies that can't be read.
        ("POST", search, r#"{"query": "x""#, 400, "invalid_json"),
        ("POST", search, "{} trailing", 400, "invalid_json"),
        ("POST", search, "[]]", 400, ""),
        ("POST", search, &deep, 400, ""),
        ("POST", documents, &deep, 400, "invalid_field"),
        ("POST", documents, " ", 400, "The body is empty"),
        // Fields that are wrong.
        ("POST", search, r#"{"query": 3}"#, 400, r#""param":"query""#),
        ("POST", search, r#"{"query": "x", "k": -1}"#, 400, r#""param":"k""#),
        ("POST", search, r#"{"query": "x", "k": 1e9}"#, 400, r#""param":"k""#),
        ("POST", search, r#"{"query": "x", "k": 0}"#, 400, "k must be at least 1"),
        ("POST", search, r#"{"query": "x", "k": 10001}"#, 400, "at most 10000"),
        ("POST", search, r#"{"query": "x", "offset": 18446744073709551615}"#, 400, "at most 10000"),
        ("POST", search, r#"{"query": "x", "mode": "fast"}"#, 400, r#""param":"mode""#),
        ("POST", search, r#"{"query": "x", "limit": 3}"#, 400, r#""param":"limit""#),
        ("POST", search, r#"{"query": "x", "fusion": {"convex": {"alpha": 2}}}"#, 400, r#""param":"fusion""#),
        ("GET", "/collections/notes/search?q=%FF%FE", "", 400, "not UTF-8"),
        ("GET", "/collections/notes/search?k=ten", "", 400, r#""param":"k""#),
        ("GET", "/collections/notes/search?explain=maybe", "", 400, r#""param":"explain""#),
        ("GET", "/collections/notes/search?limit=3", "", 400, "Known: q, mode"),
        ("GET", "/collections/%FF", "", 400, "invalid_path"),
        ("POST", documents, r#"[{"title": "no id"}]"#, 400, "missing field `id`"),
        ("POST", documents, r#"{"id": ""}"#, 400, "id is empty"),
        ("POST", documents, r#"{"id": "a\u0000b"}"#, 400, "control character"),
        ("POST", documents, r#"{"id": 7}"#, 400, r#""param":"id""#),
        ("POST", documents, r#"[{"id": "a", "year": 1}]"#, 400, "belongs into attributes"),
        ("POST", documents, r#"{"id": "a", "attributes": {"x": {"y": 1}}}"#, 400, "attributes.x"),
        ("POST", documents, r#"{"id": "a", "attributes": {"unknown": 1}}"#, 400, "unknown_attribute"),
        ("POST", "/collections/notes/documents/delete", "{}", 400, "either ids or filter"),
        ("POST", "/collections/notes/documents/delete", r#"{"ids": [], "filter": "x"}"#, 400, "either ids or filter"),
        ("POST", "/collections/notes/documents/delete", r#"{"filter": " "}"#, 400, "filter is empty"),
        ("POST", "/collections/notes/documents/delete", r#"{"filter": "year:["}"#, 400, "bad_filter"),
        ("POST", "/v1/embeddings", r#"{"model": "kokeshi-static"}"#, 400, r#""param":"input""#),
        ("POST", "/v1/embeddings", r#"{"input": []}"#, 400, "input is empty"),
        ("POST", "/v1/embeddings", r#"{"input": [1, 2, 3]}"#, 400, "token numbers are not taken"),
        ("POST", "/v1/embeddings", r#"{"input": [[1, 2]]}"#, 400, "token numbers are not taken"),
        ("POST", "/v1/embeddings", r#"{"input": {"text": "x"}}"#, 400, r#""param":"input""#),
        ("POST", "/v1/embeddings", &many, 400, "at most 2048"),
        ("POST", "/v1/embeddings", r#"{"input": "x", "dimensions": 100000}"#, 400, r#""param":"dimensions""#),
        ("POST", "/v1/embeddings", r#"{"input": "x", "dimensions": 0}"#, 400, r#""param":"dimensions""#),
        ("POST", "/v1/embeddings", r#"{"input": "x", "layers": 3}"#, 400, r#""param":"layers""#),
        ("POST", "/v1/embeddings", r#"{"input": "x", "encoding_format": "hex"}"#, 400, r#""param":"encoding_format""#),
        ("POST", "/v1/rerank", r#"{"query": "x", "documents": ["y"]}"#, 404, "--reranker"),
        ("POST", "/v1/embed_sparse", r#"{"inputs": "x"}"#, 404, "--sparse"),
        ("POST", search, r#"{"query": "x", "rerank": 20}"#, 404, "--reranker"),
        ("POST", search, r#"{"query": "x", "rerank": 0}"#, 400, r#""param":"rerank""#),
        ("GET", "/collections/notes/search?q=x&rerank=many", "", 400, r#""param":"rerank""#),
        // Sizes and failures.
        ("GET", &long, "", 414, "uri_too_long"),
        ("POST", search, r#"{"query": "panic"}"#, 500, "internal"),
    ];
    for (method, uri, body, status, holds) in table {
        let answer = send(&router, request(method, uri, *body)).await;
        let what = format!(
            "{method} {} {}",
            &uri[..uri.len().min(80)],
            &body[..body.len().min(80)]
        );
        assert_eq!(answer.status.as_u16(), *status, "{what}: {}", answer.text);
        assert!(
            answer.text.contains(holds),
            "{what}: {:?} is not in {}",
            holds,
            answer.text
        );
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{what}");
        if *status >= 400 {
            let error = &answer.json()["error"];
            for name in ["type", "code", "message"] {
                assert!(
                    error[name].as_str().is_some_and(|text| !text.is_empty()),
                    "{what}: {}",
                    answer.text
                );
            }
            assert!(error.get("param").is_some(), "{what}: {}", answer.text);
        }
        if *status == 405 {
            assert!(answer.headers.contains_key("allow"), "{what}");
        }
    }
}

#[tokio::test]
async fn the_openapi_document_names_every_route_and_resolves_every_reference() {
    let (_, router) = service(&Memory::new(), ServerConfig::default());
    let answer = send(&router, request("GET", "/openapi.json", "")).await;
    let document = answer.json();
    assert_eq!(document["paths"].as_object().unwrap().len(), 13);
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect(value: &serde_json::Value, references: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value.as_str()) {
                    ("$ref", Some(reference)) => references.push(reference.into()),
                    _ => collect(value, references),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}
