//! Prompts: which text is put before a text to encode.

use std::collections::BTreeMap;

use kokeshi_core::Metric;
use serde_json::Value;

use crate::directory::Fields;
use crate::error::{Error, Result};
use crate::options::{Options, Task};

/// What `config_sentence_transformers.json` says.
#[derive(Debug, Default, Clone)]
pub(crate) struct Prompts {
    named: BTreeMap<String, String>,
    default: Option<String>,
}

impl Prompts {
    /// Reads the prompts.
    pub(crate) fn load(config: &Fields) -> Result<Self> {
        let mut named = BTreeMap::new();
        match config.get("prompts") {
            None => {}
            Some(Value::Object(prompts)) => {
                for (name, prompt) in prompts {
                    match prompt {
                        Value::String(prompt) => named.insert(name.clone(), prompt.clone()),
                        Value::Null => named.insert(name.clone(), String::new()),
                        other => {
                            return Err(
                                config.wrong("prompts", format!("{name}: expected a text, found {other}"))
                            );
                        }
                    };
                }
            }
            Some(other) => return Err(config.wrong("prompts", format!("expected an object, found {other}"))),
        }
        let default = config.text("default_prompt_name")?.map(String::from);
        let prompts = Self { named, default };
        match &prompts.default {
            Some(name) if prompts.find(name).is_none() => Err(config.wrong(
                "default_prompt_name",
                format!(
                    "expected one of the prompts {:?}, found {name:?}",
                    prompts.names()
                ),
            )),
            _ => Ok(prompts),
        }
    }

    /// The prompt for a request: as text, by name, by task, or the default one, in this order.
    pub(crate) fn resolve<'a>(&'a self, options: &'a Options) -> Result<&'a str> {
        if let Some(prompt) = &options.prompt {
            return Ok(prompt);
        }
        if let Some(name) = &options.prompt_name {
            return self.find(name).ok_or_else(|| {
                Error::Request(format!(
                    "the model has no prompt {name:?}; it has {:?}",
                    self.names()
                ))
            });
        }
        let named: &[&str] = match options.task {
            Task::Plain => &[],
            Task::Query => &["query"],
            Task::Document => &["document", "passage", "corpus"],
        };
        if let Some(prompt) = named.iter().find_map(|name| self.named.get(*name)) {
            return Ok(prompt);
        }
        // "query" and "document" are always there, empty if the model says nothing: the default prompt is not for them.
        match &self.default {
            Some(name) if options.task == Task::Plain => Ok(self.find(name).unwrap_or("")),
            _ => Ok(""),
        }
    }

    fn find(&self, name: &str) -> Option<&str> {
        let built_in = matches!(name, "query" | "document").then_some("");
        self.named.get(name).map(String::as_str).or(built_in)
    }

    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.named.keys().map(String::as_str).collect();
        names.extend(
            ["query", "document"]
                .into_iter()
                .filter(|name| !self.named.contains_key(*name)),
        );
        names
    }
}

/// How the model's vectors are compared.
pub(crate) fn metric(config: &Fields) -> Result<Metric> {
    match config.text("similarity_fn_name")? {
        None | Some("cosine") => Ok(Metric::Cosine),
        Some("dot") => Ok(Metric::Dot),
        Some("euclidean") => Ok(Metric::L2),
        Some(other) => Err(config.wrong(
            "similarity_fn_name",
            format!("expected cosine, dot or euclidean, found {other}"),
        )),
    }
}
