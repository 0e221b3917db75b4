//! Reading what clients send: bodies within limits of size, memory and time, and JSON whose errors name the field.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use tokio::sync::OwnedSemaphorePermit;

use crate::Problem;
use crate::state::App;

/// Units of the semaphore that bounds the memory of bodies: it counts in 32 bits.
pub const MEMORY_UNIT: usize = 1024;

/// A body and its share of the memory for bodies.
pub struct Payload {
    /// The bytes.
    pub bytes: Bytes,
    /// The media type, without parameters, in lower case.
    pub media: String,
    /// Kept for as long as what was read from the bytes lives.
    pub memory: OwnedSemaphorePermit,
}

impl FromRequest<Arc<App>> for Payload {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let limit = app.config.max_body;
        let media = media_type(request.headers());
        let declared = match request.headers().get(header::CONTENT_LENGTH) {
            None => None,
            Some(length) => Some(
                length
                    .to_str()
                    .ok()
                    .and_then(|length| length.parse::<u64>().ok())
                    .ok_or_else(|| {
                        Problem::bad("bad_header", "Content-Length is not a number.").param("content-length")
                    })?,
            ),
        };
        if declared.is_some_and(|length| length > limit as u64) {
            return Err(too_large(limit));
        }
        let expected = declared.map_or(limit, |length| length as usize);
        let units = u32::try_from(expected.div_ceil(MEMORY_UNIT).max(1)).unwrap_or(u32::MAX);
        let wait = app.bodies.clone().acquire_many_owned(units);
        let Ok(Ok(mut memory)) = tokio::time::timeout(app.config.queue_timeout, wait).await else {
            return Err(
                Problem::busy("overloaded", "Too many large requests are under way.", 2)
                    .hint("Send smaller bodies, or try again after the time in Retry-After."),
            );
        };
        let bytes = read(request.into_body(), limit, app.config.read_timeouts[1]).await?;
        // A body without Content-Length reserved the limit; what it did not use goes back.
        let used = bytes.len().div_ceil(MEMORY_UNIT).max(1);
        drop(memory.split((units as usize).saturating_sub(used)));
        Ok(Self { bytes, media, memory })
    }
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media = value.unwrap_or_default().split(';').next().unwrap_or_default();
    media.trim().to_ascii_lowercase()
}

async fn read(body: Body, limit: usize, patience: Duration) -> Result<Bytes, Problem> {
    match tokio::time::timeout(patience, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limit)),
        Ok(Err(error)) => Err(Problem::bad(
            "bad_body",
            format!("The body could not be read: {error}."),
        )),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "slow_body",
            format!("The body did not arrive within {} s.", patience.as_secs()),
        )),
    }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("The body is larger than {limit} bytes."),
    )
    .hint("Send the documents in several requests.")
}

/// 415 unless the body is declared as one of `allowed`. A page of another site can only send a body that declares one of
/// three other types without the browser asking the server first, so this also keeps such pages out.
pub fn require_media(media: &str, allowed: &[&str]) -> Result<(), Problem> {
    if allowed.contains(&media) {
        return Ok(());
    }
    let found = if media.is_empty() { "none" } else { media };
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        format!("Content-Type must be {}; found {found}.", allowed.join(" or ")),
    )
    .hint("With curl: -H 'content-type: application/json'")
    .param("content-type"))
}

/// A JSON body.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let payload = Payload::from_request(request, app).await?;
        require_media(&payload.media, &["application/json"])?;
        parse::<Object<T>>(&payload.bytes).map(|object| Self(object.0))
    }
}

/// A value that is written as an object: serde by itself also takes an array of its fields in order.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }

        source.deserialize_map(Fields(PhantomData))
    }
}

/// Reads one JSON value.
///
/// # Errors
/// 400 that says where the JSON breaks, or which field is wrong.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut source).map_err(|error| {
        let path = error.path().to_string();
        describe(error.inner(), &path)
    })?;
    source.end().map_err(|error| describe(&error, ""))?;
    Ok(value)
}

/// A JSON error with the field it is about.
pub fn describe(error: &serde_json::Error, path: &str) -> Problem {
    let named = !path.is_empty() && path != "." && path != "?";
    if error.is_data() {
        // "missing field `query` at line 1 column 2": the place says nothing about a field that isn't there.
        let text = error.to_string();
        let text = plain(text.split(" at line ").next().unwrap_or(&text));
        return match (named, quoted(&text)) {
            (true, _) => Problem::bad("invalid_field", format!("{path}: {text}.")).param(path),
            (false, Some(field)) => Problem::bad("invalid_field", format!("{text}.")).param(field),
            (false, None) => Problem::bad("invalid_field", format!("{text}.")),
        };
    }
    Problem::bad("invalid_json", format!("The body is not JSON: {error}."))
}

/// `text` without the names that types have in Rust.
fn plain(text: &str) -> String {
    let Some((found, expected)) = text.rsplit_once(", expected ") else {
        return text.into();
    };
    let expected = match expected {
        "usize" | "u64" | "u32" => "a whole number from 0 on",
        "i64" => "a whole number",
        "f64" | "f32" => "a number",
        _ if expected.starts_with("struct ") => "an object",
        _ => expected,
    };
    format!("{found}, expected {expected}")
}

/// The first word in backticks.
fn quoted(text: &str) -> Option<&str> {
    text.split('`').nth(1)
}

/// Parameters of the path, decoded.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<App>> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, app).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::bad(
                "invalid_path",
                format!("{}.", rejection.body_text()),
            )),
        }
    }
}

/// The query string as pairs of decoded names and values, in order.
pub struct Query(pub Vec<(String, String)>);

impl FromRequestParts<Arc<App>> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        pairs(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let decode = |part: &str| {
        let spaced = part.replace('+', " ");
        let bytes = percent_encoding::percent_decode_str(&spaced).collect::<Vec<u8>>();
        String::from_utf8(bytes).map_err(|_| {
            Problem::bad("invalid_query_string", "The query string is not UTF-8.").param("query string")
        })
    };
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_string_is_decoded_strictly() {
        let found = pairs("q=caf%C3%A9+cr%C3%A8me&k=3&explain").unwrap();
        let expected = [("q", "café crème"), ("k", "3"), ("explain", "")];
        assert_eq!(
            found,
            expected.map(|(name, value)| (name.to_string(), value.to_string()))
        );
        assert_eq!(pairs("q=%FF").unwrap_err().status.as_u16(), 400);
    }

    #[test]
    fn an_object_is_no_array_and_numbers_have_no_rust_names() {
        #[derive(Debug, serde::Deserialize)]
        struct Hits {
            #[serde(rename = "k")]
            _k: usize,
        }
        let message = |json: &str| match parse::<Object<Hits>>(json.as_bytes()) {
            Ok(_) => String::new(),
            Err(problem) => problem.message,
        };
        assert_eq!(message(r#"{"k": 3}"#), "");
        assert_eq!(message("[3]"), "invalid type: sequence, expected an object.");
        assert_eq!(message("null"), "invalid type: null, expected an object.");
        let found = "k: invalid type: floating point `1.5`, expected a whole number from 0 on.";
        assert_eq!(message(r#"{"k": 1.5}"#), found);
    }

    #[test]
    fn a_json_error_names_its_field() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Inner {
            #[serde(rename = "year")]
            _year: u32,
        }
        #[derive(Debug, serde::Deserialize)]
        struct Outer {
            #[serde(rename = "inner")]
            _inner: Vec<Inner>,
        }
        let field = |json: &str| parse::<Outer>(json.as_bytes()).unwrap_err().param;
        assert_eq!(
            field(r#"{"inner": [{"year": 1}, {"year": "x"}]}"#).as_deref(),
            Some("inner[1].year")
        );
        assert_eq!(field("{}").as_deref(), Some("inner"));
        assert_eq!(parse::<Outer>(b"{").unwrap_err().code, "invalid_json");
        assert_eq!(
            parse::<Outer>(br#"{"inner": []} x"#).unwrap_err().code,
            "invalid_json"
        );
    }
}
