//! Keys, hosts, limits, and what happens when too much is asked for at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Request;
use kokeshi_server::{App, Backend, Models, ServerConfig, router};

use crate::memory::{Memory, request, send, service};

#[tokio::test]
async fn a_body_that_is_not_json_by_its_type_is_415() {
    let (_, router) = service(&Memory::new(), ServerConfig::default());
    for uri in [
        "/collections/notes/search",
        "/collections/notes/documents",
        "/v1/embeddings",
    ] {
        for media in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("multipart/form-data"),
        ] {
            let mut request = Request::post(uri);
            if let Some(media) = media {
                request = request.header("content-type", media);
            }
            let answer = send(&router, request.body(Body::from("{}")).unwrap()).await;
            assert_eq!(answer.status, 415, "{uri} {media:?}");
            assert_eq!(answer.json()["error"]["code"], "unsupported_media_type");
        }
    }
    let request =
        Request::post("/collections/notes/documents").header("content-type", "application/x-ndjson");
    let answer = send(
        &router,
        request
            .body(Body::from("{\"id\": \"x\"}\n{\"id\": \"y\"}\n"))
            .unwrap(),
    )
    .await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["documents"]),
        (200, &2.into())
    );
    let request =
        Request::post("/collections/notes/search").header("content-type", "Application/JSON; charset=utf-8");
    let answer = send(&router, request.body(Body::from("{}")).unwrap()).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn fifty_megabytes_are_413_and_are_not_read() {
    let (_, router) = service(&Memory::new(), ServerConfig::default());
    // Declared: refused before the first byte.
    let request = Request::post("/collections/notes/documents")
        .header("content-type", "application/json")
        .header("content-length", 50 << 20);
    let unread = fifty_megabytes(Arc::new(AtomicUsize::new(0)));
    let answer = send(&router, request.body(unread).unwrap()).await;
    assert_eq!(answer.status, 413);
    // Not declared: refused as soon as the limit is passed.
    let pulled = Arc::new(AtomicUsize::new(0));
    let request = Request::post("/collections/notes/documents").header("content-type", "application/json");
    let answer = send(&router, request.body(fifty_megabytes(pulled.clone())).unwrap()).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.json()["error"]["code"], "body_too_large");
    assert!(pulled.load(Ordering::SeqCst) <= 33, "{pulled:?} MiB were read");
}

/// A body of 50 chunks of 1 MiB that counts how many were asked for.
fn fifty_megabytes(pulled: Arc<AtomicUsize>) -> Body {
    struct Chunks(Arc<AtomicUsize>);
    impl http_body::Body for Chunks {
        type Data = Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            let more = self.0.fetch_add(1, Ordering::SeqCst) < 50;
            std::task::Poll::Ready(more.then(|| Ok(http_body::Frame::data(Bytes::from(vec![b' '; 1 << 20])))))
        }
    }
    Body::new(Chunks(pulled))
}

#[tokio::test]
async fn keys_separate_reading_from_writing() {
    let config = ServerConfig {
        api_keys: vec!["write-key-1".into()],
        read_keys: vec!["read-key-1".into()],
        ..ServerConfig::default()
    };
    let (_, router) = service(&Memory::new(), config);
    let search = ("POST", "/collections/notes/search", r#"{"query": "x"}"#);
    let add = ("POST", "/collections/notes/documents", r#"{"id": "x"}"#);
    let delete = ("DELETE", "/collections/notes/documents/x", "");
    let health = ("GET", "/health", "");
    let metrics = ("GET", "/metrics", "");
    let page = ("GET", "/", "");
    let bearer = |key: &str| ("authorization", format!("Bearer {key}"));
    let x = |key: &str| ("x-api-key", key.to_string());
    let table = [
        (health, None, 200),
        (page, None, 200),
        (("GET", "/nothing", ""), None, 404),
        (search, None, 401),
        (metrics, None, 401),
        (add, None, 401),
        (("PUT", "/collections/notes", ""), None, 401),
        (search, Some(bearer("wrong-key-1")), 401),
        (search, Some(bearer("")), 401),
        (
            search,
            Some(("authorization", "Basic d3JpdGUta2V5LTE=".into())),
            401,
        ),
        (search, Some(("authorization", "bearer read-key-1".into())), 200),
        (search, Some(x("read-key-1")), 200),
        (search, Some(bearer("write-key-1")), 200),
        (metrics, Some(bearer("read-key-1")), 200),
        (add, Some(bearer("read-key-1")), 403),
        (delete, Some(x("read-key-1")), 403),
        (add, Some(bearer("write-key-1")), 200),
        (delete, Some(x("write-key-1")), 200),
    ];
    for ((method, uri, body), header, status) in table {
        let mut request = request(method, uri, body);
        if let Some((name, value)) = &header {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let answer = send(&router, request).await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{method} {uri} {header:?}: {}",
            answer.text
        );
        assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401);
        assert!(!answer.text.contains("-key-1"), "a key leaked: {}", answer.text);
    }
}

#[tokio::test]
async fn without_a_key_only_local_host_names_are_served() {
    let config = ServerConfig {
        hosts: vec!["search.example".into()],
        ..ServerConfig::default()
    };
    let (_, router) = service(&Memory::new(), config);
    let table = [
        ("localhost:7700", 200),
        ("127.0.0.1", 200),
        ("[::1]:7700", 200),
        ("search.example", 200),
        ("evil.example:7700", 403),
        ("127.0.0.1.evil.example", 403),
    ];
    for (host, status) in table {
        let mut request = request("GET", "/collections", "");
        request.headers_mut().insert("host", host.parse().unwrap());
        assert_eq!(send(&router, request).await.status.as_u16(), status, "{host}");
    }
}

#[tokio::test]
async fn other_origins_are_answered_only_if_allowed() {
    let preflight = || {
        Request::options("/collections/notes/search")
            .header("origin", "https://page.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type")
            .body(Body::empty())
            .unwrap()
    };
    let (_, router) = service(&Memory::new(), ServerConfig::default());
    let answer = send(&router, preflight()).await;
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    let config = ServerConfig {
        cors: vec!["https://page.example".into()],
        ..ServerConfig::default()
    };
    let (_, router) = service(&Memory::new(), config);
    let answer = send(&router, preflight()).await;
    assert_eq!(
        answer.headers["access-control-allow-origin"],
        "https://page.example"
    );
}

#[test]
fn dangerous_or_contradictory_settings_are_refused() {
    let public = "0.0.0.0:7700".parse().unwrap();
    let key = || vec!["long-enough".to_string()];
    let check = |config: ServerConfig| config.check().err().map(|error| error.to_string());
    let refused = check(ServerConfig {
        address: public,
        ..ServerConfig::default()
    });
    assert!(refused.is_some_and(|text| text.contains("--api-key")));
    assert_eq!(
        check(ServerConfig {
            address: public,
            insecure: true,
            ..ServerConfig::default()
        }),
        None
    );
    assert_eq!(
        check(ServerConfig {
            address: public,
            api_keys: key(),
            ..ServerConfig::default()
        }),
        None
    );
    assert!(
        check(ServerConfig {
            api_keys: vec!["short".into()],
            ..ServerConfig::default()
        })
        .is_some()
    );
    assert!(
        check(ServerConfig {
            api_keys: key(),
            read_keys: key(),
            ..ServerConfig::default()
        })
        .is_some()
    );
    assert!(
        check(ServerConfig {
            concurrency: 0,
            ..ServerConfig::default()
        })
        .is_some()
    );
    let twice = |name: &str| (name.to_string(), Memory::new() as Arc<dyn Backend>);
    assert!(
        App::new(
            ServerConfig::default(),
            vec![twice("a"), twice("a")],
            Models::default()
        )
        .is_err()
    );
    let cors = ServerConfig {
        cors: vec!["page.example".into()],
        ..ServerConfig::default()
    };
    assert!(router(App::new(cors, vec![twice("a")], Models::default()).unwrap()).is_err());
}

/// Posts the bodies so that all but the first are waiting when the first is committed; their ids and statuses.
async fn post_together(memory: &Arc<Memory>, bodies: Vec<String>) -> Vec<u16> {
    let (app, router) = service(memory, ServerConfig::default());
    memory.held.store(true, Ordering::SeqCst);
    let mut posts = Vec::new();
    for (number, body) in bodies.into_iter().enumerate() {
        let router = router.clone();
        posts.push(tokio::spawn(async move {
            let answer = send(&router, request("POST", "/collections/notes/documents", body)).await;
            answer.status.as_u16()
        }));
        wait(&app, number + 1).await;
        // The first must be on its way alone.
        while !memory.committing.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    memory.held.store(false, Ordering::SeqCst);
    let mut statuses = Vec::new();
    for post in posts {
        statuses.push(post.await.unwrap());
    }
    statuses
}

/// Waits until so many documents wait for a commit.
async fn wait(app: &App, documents: usize) {
    while app.collection("notes").unwrap().writes.waiting() < documents {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_come_together_are_committed_together() {
    let memory = Memory::new();
    let mut bodies: Vec<_> = (0..50).map(|number| format!(r#"{{"id": "{number}"}}"#)).collect();
    bodies[7] = r#"{"id": "7", "attributes": {"unknown": 1}}"#.into();
    let statuses = post_together(&memory, bodies).await;
    // One refused write leaves the others of its group alone.
    let refused: Vec<_> = (0..50).filter(|number| statuses[*number] != 200).collect();
    assert_eq!((refused, statuses[7]), (vec![7], 400));
    assert_eq!(memory.ids().len(), 49);
    assert_eq!(memory.generation.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_a_failure_undid_is_not_acknowledged() {
    let memory = Memory::new();
    let mut bodies: Vec<_> = (0..9).map(|number| format!(r#"{{"id": "{number}"}}"#)).collect();
    bodies[5] = r#"{"id": "5", "attributes": {"full": 1}}"#.into();
    let statuses = post_together(&memory, bodies).await;
    assert_eq!(statuses, [200, 500, 500, 500, 500, 500, 500, 500, 500]);
    assert_eq!(memory.ids(), ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_with_writing_is_told_and_passes() {
    let memory = Memory::new();
    let config = ServerConfig {
        write_queue: 3,
        ..ServerConfig::default()
    };
    let (app, router) = service(&memory, config);
    let add = || {
        send(
            &router,
            request(
                "POST",
                "/collections/notes/documents",
                r#"[{"id": "x"}, {"id": "y"}]"#,
            ),
        )
    };
    memory.locked.store(true, Ordering::SeqCst);
    let answer = add().await;
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.headers["retry-after"].to_str().unwrap()
        ),
        (503, "5")
    );
    memory.locked.store(false, Ordering::SeqCst);
    memory.broken.store(true, Ordering::SeqCst);
    assert_eq!(add().await.status, 500);
    memory.broken.store(false, Ordering::SeqCst);
    assert_eq!(memory.ids().len(), 0);
    memory.held.store(true, Ordering::SeqCst);
    let first = tokio::spawn({
        let router = router.clone();
        async move {
            send(
                &router,
                request(
                    "POST",
                    "/collections/notes/documents",
                    r#"[{"id": "x"}, {"id": "y"}]"#,
                ),
            )
            .await
        }
    });
    wait(&app, 2).await;
    let answer = add().await;
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.headers["retry-after"].to_str().unwrap()
        ),
        (429, "2")
    );
    memory.held.store(false, Ordering::SeqCst);
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(add().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_searches_than_the_queue_holds_are_503_with_retry_after() {
    let config = ServerConfig {
        concurrency: 1,
        queue: 2,
        ..ServerConfig::default()
    };
    let (_, router) = service(&Memory::new(), config);
    let searches: Vec<_> = (0..10)
        .map(|_| {
            let router = router.clone();
            tokio::spawn(async move {
                send(
                    &router,
                    request("POST", "/collections/notes/search", r#"{"query": "sleep"}"#),
                )
                .await
            })
        })
        .collect();
    let mut statuses = Vec::new();
    for search in searches {
        let answer = search.await.unwrap();
        assert_eq!(answer.headers.contains_key("retry-after"), answer.status == 503);
        statuses.push(answer.status.as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 503, 503, 503, 503, 503, 503, 503]);
    // Look-ups have a gate of their own, and the server recovers.
    assert_eq!(
        send(&router, request("GET", "/collections/notes", ""))
            .await
            .status,
        200
    );
    assert_eq!(
        send(&router, request("GET", "/collections/notes/search?q=x", ""))
            .await
            .status,
        200
    );
}
