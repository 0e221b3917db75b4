//! A collection in memory that can be slow, locked, broken or panic at will: what a real one does only rarely.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::{Router, http};
use http_body_util::BodyExt;
use kokeshi_collection::{Hit, Info, Passage, SearchRequest, SearchResponse};
use kokeshi_core::Size;
use kokeshi_encode::Model;
use kokeshi_server::{App, Backend, Models, Problem, ServerConfig, Write, router};
use kokeshi_sources::Document;
use tower::ServiceExt;

/// The documents and the troubles of the collection.
pub struct Memory {
    documents: Mutex<BTreeMap<String, Document>>,
    pub generation: AtomicU64,
    /// Commits wait until this is false.
    pub held: AtomicBool,
    /// A commit has begun.
    pub committing: AtomicBool,
    /// Tidying goes on until this is false or it is told to stop.
    pub tidies_on: AtomicBool,
    /// Tidying has begun and not ended.
    pub tidying: AtomicBool,
    /// Another program writes.
    pub locked: AtomicBool,
    /// Commits fail.
    pub broken: AtomicBool,
}

impl Memory {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            documents: Mutex::default(),
            generation: AtomicU64::new(0),
            held: AtomicBool::new(false),
            committing: AtomicBool::new(false),
            tidies_on: AtomicBool::new(false),
            tidying: AtomicBool::new(false),
            locked: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        })
    }

    pub fn ids(&self) -> Vec<String> {
        self.documents.lock().unwrap().keys().cloned().collect()
    }
}

fn answer(documents: impl Iterator<Item = Document>) -> SearchResponse {
    let hits = documents.map(|document| Hit {
        id: document.id,
        title: document.title,
        score: 1.0,
        passage: Passage {
            of: 1,
            text: document.text,
            ..Passage::default()
        },
        attributes: document.attributes,
        why: None,
    });
    SearchResponse {
        hits: hits.collect(),
        ..SearchResponse::default()
    }
}

impl Backend for Memory {
    fn model(&self) -> Option<Model> {
        Some(Model::compiled_in())
    }

    fn size(&self) -> Size {
        Size::dims(64)
    }

    fn info(&self) -> Result<Info, Problem> {
        let documents = self.documents.lock().unwrap().len() as u64;
        Ok(Info {
            documents,
            rows: documents,
            generation: self.generation.load(Ordering::SeqCst),
            ..Info::default()
        })
    }

    /// Finds what holds the query; the query "panic" panics and "sleep" sleeps.
    fn search(&self, request: &SearchRequest) -> Result<SearchResponse, Problem> {
        match request.query.as_str() {
            "panic" => std::panic::panic_any("for the test"),
            "sleep" => std::thread::sleep(Duration::from_millis(300)),
            _ => {}
        }
        let documents = self.documents.lock().unwrap();
        let found = documents
            .values()
            .filter(|document| document.text.contains(&request.query));
        Ok(answer(found.skip(request.offset).take(request.k).cloned()))
    }

    fn similar(&self, id: &str, k: usize, _: Option<&str>) -> Result<Option<SearchResponse>, Problem> {
        let documents = self.documents.lock().unwrap();
        let others = documents.values().filter(|document| document.id != id).take(k);
        Ok(documents.get(id).map(|_| answer(others.cloned())))
    }

    fn document(&self, id: &str) -> Result<Option<Document>, Problem> {
        Ok(self.documents.lock().unwrap().get(id).cloned())
    }

    fn refresh(&self) -> Result<(), Problem> {
        Ok(())
    }

    fn writer(self: Arc<Self>) -> Result<Box<dyn Write>, Problem> {
        if self.locked.load(Ordering::SeqCst) {
            return Err(Problem::busy(
                "in_use",
                "Another program writes to this collection.",
                5,
            ));
        }
        let next = self.documents.lock().unwrap().clone();
        Ok(Box::new(MemoryWriter { memory: self, next }))
    }
}

struct MemoryWriter {
    memory: Arc<Memory>,
    next: BTreeMap<String, Document>,
}

impl Write for MemoryWriter {
    fn upsert(&mut self, documents: Vec<Document>) -> Result<(), Problem> {
        if documents
            .iter()
            .any(|document| document.attributes.contains_key("unknown"))
        {
            return Err(
                Problem::bad("unknown_attribute", "There is no attribute \"unknown\".").param("unknown"),
            );
        }
        if documents
            .iter()
            .any(|document| document.attributes.contains_key("full"))
        {
            self.next = self.memory.documents.lock().unwrap().clone();
            return Err(Problem::internal("The disk is full."));
        }
        self.next.extend(
            documents
                .into_iter()
                .map(|document| (document.id.clone(), document)),
        );
        Ok(())
    }

    fn delete_ids(&mut self, ids: &[String]) -> Result<u64, Problem> {
        Ok(ids.iter().filter(|id| self.next.remove(*id).is_some()).count() as u64)
    }

    fn delete_filter(&mut self, filter: &str) -> Result<u64, Problem> {
        if filter.contains('[') {
            return Err(Problem::bad("bad_filter", "The filter can't be read.").param("filter"));
        }
        let count = self.next.len() as u64;
        self.next.clear();
        Ok(count)
    }

    fn commit(&mut self) -> Result<u64, Problem> {
        self.memory.committing.store(true, Ordering::SeqCst);
        while self.memory.held.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if self.memory.broken.load(Ordering::SeqCst) {
            return Err(Problem::internal("The disk is full."));
        }
        *self.memory.documents.lock().unwrap() = self.next.clone();
        Ok(self.memory.generation.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn tidy(&mut self, stop: &(dyn Fn() -> bool + Sync)) -> Result<(), Problem> {
        self.memory.tidying.store(true, Ordering::SeqCst);
        while self.memory.tidies_on.load(Ordering::SeqCst) && !stop() {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.memory.tidying.store(false, Ordering::SeqCst);
        Ok(())
    }
}

/// A router over one collection called `notes`.
pub fn service(memory: &Arc<Memory>, config: ServerConfig) -> (Arc<App>, Router) {
    let app = App::new(config, vec![("notes".into(), memory.clone())], Models::default()).unwrap();
    (app.clone(), router(app).unwrap())
}

/// An answer: status, headers, body.
pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }
}

/// Sends one request through the router.
pub async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(bytes.into()).unwrap(),
    }
}

/// A request with a JSON body, or without one if `body` is empty.
pub fn request(method: &str, uri: &str, body: impl Into<String>) -> Request<Body> {
    let body = body.into();
    let mut request = Request::builder().method(method).uri(uri);
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    request.body(Body::from(body)).unwrap()
}
