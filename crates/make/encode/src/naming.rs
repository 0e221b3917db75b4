//! Ids of models that say how the model was loaded, so that an id that was kept loads the same model again:
//! `all-MiniLM-L6-v2@int8@context=2048@position=selfextend:g=5,w=128@temperature=0.8`.

use std::path::Path;

use crate::error::{Error, Result};
use crate::options::{LoadOptions, Precision};

/// What is written behind a model's name for everything in `options` that is not the default.
pub(crate) fn suffix(options: &LoadOptions) -> String {
    let mut parts = Vec::new();
    if options.precision != Precision::F32 {
        parts.push(format!("@{}", options.precision.name()));
    }
    parts.extend(options.context.map(|tokens| format!("@context={tokens}")));
    parts.extend(options.position.map(|method| format!("@position={method}")));
    parts.extend(options.temperature.map(|value| format!("@temperature={value}")));
    parts.concat()
}

/// The name without what [`suffix`] wrote behind it, and `options` with what that says; the id wins. A directory that is called so is
/// taken by its name.
pub(crate) fn split<'a>(id: &'a str, options: &LoadOptions) -> Result<(&'a str, LoadOptions)> {
    let (mut name, mut options) = (id, options.clone());
    while !Path::new(name).is_dir() {
        let Some((rest, part)) = name.rsplit_once('@') else {
            break;
        };
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let wrong = |what: &str| {
            Error::Request(format!(
                "the model id {id}: expected {what} behind {key}, found {value:?}"
            ))
        };
        if let Some(precision) = Precision::named(part).filter(|named| *named != Precision::F32) {
            (options.precision, name) = (precision, rest);
            continue;
        }
        match key {
            "context" => options.context = Some(value.parse().map_err(|_| wrong("a number of tokens"))?),
            "position" => options.position = Some(value.parse()?),
            "temperature" => options.temperature = Some(value.parse().map_err(|_| wrong("a number"))?),
            _ => break,
        }
        name = rest;
    }
    Ok((name, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_id_says_is_what_was_written() {
        let mut options = LoadOptions::default();
        assert_eq!(suffix(&options), "");
        options.precision = Precision::Int8;
        assert_eq!(suffix(&options), "@int8");
        options.context = Some(2048);
        options.position = Some("selfextend:g=5,w=128".parse().unwrap());
        options.temperature = Some(0.8);
        let id = format!("a/b{}", suffix(&options));
        assert_eq!(
            id,
            "a/b@int8@context=2048@position=selfextend:g=5,w=128@temperature=0.8"
        );
        assert_eq!(split(&id, &LoadOptions::default()).unwrap(), ("a/b", options));
        for precision in [Precision::Int8Weights, Precision::Int4Weights] {
            let options = LoadOptions {
                precision,
                ..LoadOptions::default()
            };
            let id = format!("a{}", suffix(&options));
            assert_eq!(id, format!("a@{}", precision.name()));
            assert_eq!(split(&id, &LoadOptions::default()).unwrap(), ("a", options));
        }
    }

    #[test]
    fn an_id_wins_over_options_and_other_words_are_part_of_the_name() {
        let options = LoadOptions {
            context: Some(7),
            temperature: Some(2.0),
            ..LoadOptions::default()
        };
        let (name, found) = split("a@home/b@v2@context=9", &options).unwrap();
        assert_eq!(
            (name, found.context, found.temperature),
            ("a@home/b@v2", Some(9), Some(2.0))
        );
        for id in ["a@context=x", "a@position=yarn", "a@temperature="] {
            assert!(split(id, &options).unwrap_err().to_string().contains("expected"));
        }
    }
}
