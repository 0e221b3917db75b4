//! Documents: add, fetch, delete. A write is answered when it is durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kokeshi_sources::{Attribute, Document};

use crate::Problem;
use crate::body::{Object, Path, Payload, parse, require_media};
use crate::problem::ErrorBody;
use crate::state::App;
use crate::writes::{Change, Committed};

/// Bytes of an id at most: it travels in URLs.
const LONGEST_ID: usize = 1024;
const LINES: [&str; 3] = [
    "application/x-ndjson",
    "application/jsonl",
    "application/x-jsonlines",
];
const MEDIA: [&str; 4] = ["application/json", LINES[0], LINES[1], LINES[2]];

/// A document as clients send it.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDocument {
    /// Unique within the collection; a document with the same id is replaced.
    id: String,
    /// May be left out.
    #[serde(default)]
    title: String,
    /// What is searched, without the title.
    #[serde(default)]
    text: String,
    /// By name, as the collection's schema has them; null is the same as leaving one out.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, Attribute>)]
    attributes: BTreeMap<String, Option<Attribute>>,
}

/// One document or several.
#[derive(utoipa::ToSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "only the OpenAPI document uses it: the body is read in three forms"
)]
pub enum NewDocuments {
    /// One.
    One(NewDocument),
    /// Several.
    Many(Vec<NewDocument>),
}

/// What a durable write did.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Written {
    /// Documents added, replaced or deleted.
    pub documents: u64,
    /// The number of the commit that holds them.
    pub generation: u64,
}

/// Which documents to delete: `ids` or `filter`, not both.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Deletion {
    /// These.
    #[serde(default)]
    pub ids: Option<Vec<String>>,
    /// Those whose attributes match, in tantivy's query syntax.
    #[serde(default)]
    pub filter: Option<String>,
}

impl From<Committed> for Written {
    fn from(committed: Committed) -> Self {
        Self {
            documents: committed.documents,
            generation: committed.generation,
        }
    }
}

/// Adds or replaces documents: all of the request's or none; answers when they are durable and can be found
#[utoipa::path(post, path = "/collections/{name}/documents", tag = "documents",
    params(("name" = String, Path, description = "The collection")),
    request_body(content((NewDocuments = "application/json", example = json!([{"id": "first-note", "title": "A note", "text": "Kokeshi are wooden dolls.", "attributes": {}}])), (String = "application/x-ndjson")),
        description = "A document, an array of documents, or one document a line"),
    responses((status = 200, body = Written), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 413, body = ErrorBody),
        (status = 415, body = ErrorBody), (status = 429, body = ErrorBody, description = "Too much waits for a commit"),
        (status = 503, body = ErrorBody, description = "Another program writes, or the server stops")))]
pub async fn add(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    payload: Payload,
) -> Result<Json<Written>, Problem> {
    let served = app.collection(&name)?;
    require_media(&payload.media, &MEDIA)?;
    let Payload { bytes, media, memory } = payload;
    let lines = LINES.contains(&media.as_str());
    let documents = app
        .light
        .run(move || {
            if lines {
                from_lines(&bytes)
            } else {
                from_json(&bytes)
            }
        })
        .await?;
    let written = served
        .writes
        .submit(Change::Upsert(documents), Some(memory))
        .await?;
    Ok(Json(written.into()))
}

/// A document
#[utoipa::path(get, path = "/collections/{name}/documents/{id}", tag = "documents",
    params(("name" = String, Path, description = "The collection"), ("id" = String, Path, description = "The document")),
    responses((status = 200, body = Document), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub async fn fetch(
    State(app): State<Arc<App>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<Document>, Problem> {
    let backend = app.collection(&name)?.backend.clone();
    let found = {
        let id = id.clone();
        app.light.run(move || backend.document(&id)).await?
    };
    found.map(Json).ok_or_else(|| unknown(&id))
}

/// Deletes a document; answers when that is durable
#[utoipa::path(delete, path = "/collections/{name}/documents/{id}", tag = "documents",
    params(("name" = String, Path, description = "The collection"), ("id" = String, Path, description = "The document")),
    responses((status = 200, body = Written), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub async fn delete(
    State(app): State<Arc<App>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<Written>, Problem> {
    let served = app.collection(&name)?;
    let done = served.writes.submit(Change::Ids(vec![id.clone()]), None).await?;
    if done.documents == 0 {
        return Err(unknown(&id));
    }
    Ok(Json(done.into()))
}

/// Deletes documents by id or filter; answers when that is durable
#[utoipa::path(post, path = "/collections/{name}/documents/delete", tag = "documents",
    params(("name" = String, Path, description = "The collection")), request_body(content = Deletion, example = json!({"ids": ["first-note"]})),
    responses((status = 200, body = Written), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 413, body = ErrorBody),
        (status = 415, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub async fn delete_many(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    crate::body::Json(deletion): crate::body::Json<Deletion>,
) -> Result<Json<Written>, Problem> {
    let served = app.collection(&name)?;
    let change = match (deletion.ids, deletion.filter) {
        (Some(ids), None) => Change::Ids(ids),
        (None, Some(filter)) if !filter.trim().is_empty() => Change::Filter(filter),
        (None, Some(_)) => {
            return Err(Problem::bad("invalid_field", "filter is empty.")
                .param("filter")
                .hint("To delete everything say `*`."));
        }
        _ => return Err(Problem::bad("invalid_field", "Give either ids or filter.").param("ids")),
    };
    Ok(Json(served.writes.submit(change, None).await?.into()))
}

/// 404 for a document.
pub fn unknown(id: &str) -> Problem {
    let shown: String = id.chars().take(80).collect();
    Problem::missing("unknown_document", format!("There is no document {shown:?}.")).param("id")
}

fn from_json(bytes: &[u8]) -> Result<Vec<Document>, Problem> {
    match bytes.trim_ascii_start().first() {
        Some(b'[') => {
            let documents: Vec<Object<NewDocument>> = parse(bytes).map_err(explain)?;
            let numbered = documents.into_iter().enumerate();
            numbered
                .map(|(number, new)| document(new.0, &format!("[{number}].")))
                .collect()
        }
        Some(_) => {
            let new: Object<NewDocument> = parse(bytes).map_err(explain)?;
            Ok(vec![document(new.0, "")?])
        }
        None => Err(Problem::bad(
            "invalid_json",
            "The body is empty: a document or an array of documents is needed.",
        )),
    }
}

fn from_lines(bytes: &[u8]) -> Result<Vec<Document>, Problem> {
    let mut documents = Vec::new();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let at = format!("line {}: ", number + 1);
        let new: Object<NewDocument> = parse(line).map_err(explain).map_err(|problem| Problem {
            message: format!("{at}{}", problem.message),
            ..problem
        })?;
        documents.push(document(new.0, &at)?);
    }
    Ok(documents)
}

/// Most wrong documents have their attributes at the top level.
fn explain(problem: Problem) -> Problem {
    if problem.message.contains("unknown field") {
        return problem
            .hint("A document has id, title, text and attributes; everything else belongs into attributes.");
    }
    problem
}

fn document(new: NewDocument, at: &str) -> Result<Document, Problem> {
    let wrong = |field: &str, message: &str| {
        Err(Problem::bad("invalid_field", format!("{at}{field} {message}.")).param(format!("{at}{field}")))
    };
    if new.id.is_empty() {
        return wrong("id", "is empty");
    }
    if new.id.len() > LONGEST_ID {
        return wrong(
            "id",
            &format!("has {} bytes; at most {LONGEST_ID} are possible", new.id.len()),
        );
    }
    if new.id.chars().any(char::is_control) {
        return wrong("id", "holds a control character");
    }
    let given = new.attributes.into_iter();
    Ok(Document {
        id: new.id,
        title: new.title,
        text: new.text,
        attributes: given.filter_map(|(name, value)| Some((name, value?))).collect(),
        ..Document::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_of_a_body_give_the_same_documents() {
        let one = br#"{"id": "a", "attributes": {"year": 2020, "gone": null}}"#;
        let many = br#"[{"id": "a", "attributes": {"year": 2020}}]"#;
        let lines = b"{\"id\": \"a\", \"attributes\": {\"year\": 2020}}\n\n";
        let expected = from_json(one).unwrap();
        assert_eq!(expected[0].attributes["year"], Attribute::Integer(2020));
        assert_eq!(expected[0].attributes.len(), 1);
        assert_eq!(from_json(many).unwrap(), expected);
        assert_eq!(from_lines(lines).unwrap(), expected);
    }

    #[test]
    fn a_wrong_document_is_named() {
        let problem = from_json(br#"[{"id": "a"}, {"id": "b", "year": 3}]"#).unwrap_err();
        assert!(
            problem.message.starts_with("[1].year: unknown field"),
            "{problem}"
        );
        assert!(problem.hint.is_some());
        let problem = from_lines(b"{\"id\": \"a\"}\n{\"id\": \"\"}").unwrap_err();
        assert_eq!(problem.message, "line 2: id is empty.");
    }
}
