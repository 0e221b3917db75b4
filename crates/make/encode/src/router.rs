//! sentence-transformers' Router (Asym before release 5): queries and documents go through modules of their own.
//!
//! `router_config.json` lists the modules of each route. Which route a text takes depends on its task: the mapping for (task, text), the task
//! alone, text alone or anything; else the route of that name; without a task, the default route. Routes for images and sound are never taken.

use std::path::Path;

use serde_json::Value;

use crate::directory::{Fields, Kind, Listed, is_plain_name};
use crate::error::{Error, Result};
use crate::options::Task;

/// The file that lists the routes; Asym calls it `config.json`.
pub(crate) const NAME: &str = "router_config.json";

/// Names of the route for documents, as for prompts; Asym's users chose their own.
const DOCUMENT: [&str; 4] = ["document", "doc", "passage", "corpus"];

/// The whole pipeline of each task that the model has one for: what stands before the router, the route, what stands behind it. Empty if there
/// is no router.
pub(crate) fn pipelines(modules: &[Listed]) -> Result<Vec<(Task, Vec<Listed>)>> {
    let mut routers = modules
        .iter()
        .enumerate()
        .filter(|(_, module)| module.kind == Kind::Router);
    let Some((at, router)) = routers.next() else {
        return Ok(Vec::new());
    };
    if routers.next().is_some() {
        return Err(Error::model(
            &router.folder,
            "expected one Router, found another behind it",
        ));
    }
    let config = read(&router.folder)?;
    let routes = Routes::read(&config)?;
    let mut pipelines = Vec::new();
    for task in [Task::Document, Task::Query, Task::Plain] {
        if let Some(name) = routes.resolve(task) {
            let mut pipeline = modules[..at].to_vec();
            pipeline.extend(routes.modules(name, &router.folder)?);
            pipeline.extend_from_slice(&modules[at + 1..]);
            pipelines.push((task, pipeline));
        }
    }
    if pipelines.is_empty() {
        let found: Vec<&str> = routes.structure.iter().map(|(name, _)| name.as_str()).collect();
        return Err(config.wrong(
            "structure",
            format!(
                "expected a route for query, document or text, found {}",
                found.join(", ")
            ),
        ));
    }
    Ok(pipelines)
}

/// The modules of all routes and those around them, without the router itself; the router's folder stays, for its configuration.
pub(crate) fn flat(modules: Vec<Listed>) -> Result<Vec<Listed>> {
    let more = pipelines(&modules)?
        .into_iter()
        .flat_map(|(_, pipeline)| pipeline);
    let more: Vec<Listed> = more.collect();
    Ok(modules.into_iter().chain(more).collect())
}

fn read(folder: &Path) -> Result<Fields> {
    let path = folder.join(NAME);
    match path.is_file() {
        true => Fields::read(&path),
        false => Fields::read(&folder.join("config.json")),
    }
}

/// What the file says.
struct Routes<'a> {
    config: &'a Fields,
    /// Each route's modules, by their ids.
    structure: Vec<(String, Vec<String>)>,
    types: Fields,
    /// Each mapping's task, modality and route; `None`: any.
    mappings: Vec<(Option<String>, Option<String>, String)>,
    default: Option<String>,
}

impl<'a> Routes<'a> {
    fn read(config: &'a Fields) -> Result<Self> {
        let wrong = |field: &str, expected: &str| config.wrong(field, format!("expected {expected}"));
        let listed = config.get("structure").and_then(Value::as_object);
        let listed = listed.ok_or_else(|| wrong("structure", "an object of routes"))?;
        let mut structure = Vec::new();
        for (name, ids) in listed {
            let texts = ids.as_array().and_then(|ids| {
                let texts = ids.iter().map(|id| id.as_str().map(String::from));
                texts.collect::<Option<Vec<_>>>()
            });
            let ids = texts.filter(|ids| ids.iter().all(|id| is_plain_name(id)));
            let ids = ids.ok_or_else(|| wrong("structure", "lists of the names of modules"))?;
            structure.push((name.clone(), ids));
        }
        let types = config.object("types")?;
        let parameters = config.object("parameters")?;
        let mut routes = Self {
            config,
            structure,
            types: types.ok_or_else(|| wrong("types", "an object of modules"))?,
            mappings: Vec::new(),
            default: None,
        };
        let Some(parameters) = parameters else {
            return Ok(routes);
        };
        routes.default = parameters.text("default_route")?.map(String::from);
        let known = |name: &str| routes.structure.iter().any(|(known, _)| known == name);
        if let Some(name) = routes.default.as_deref().filter(|name| !known(name)) {
            return Err(parameters.wrong(
                "default_route",
                format!("expected one of the routes, found {name}"),
            ));
        }
        if let Some(mappings) = parameters.object("route_mappings")? {
            for (key, route) in mappings.entries() {
                let route = route.as_str().filter(|name| known(name));
                let route = route.ok_or_else(|| mappings.wrong(key, "expected one of the routes"))?;
                if let Some((task, modality)) = pair(key) {
                    routes.mappings.push((task, modality, route.into()));
                }
            }
        }
        Ok(routes)
    }

    /// The route of texts with this task.
    fn resolve(&self, task: Task) -> Option<&str> {
        let names: &[&str] = match task {
            Task::Plain => &[],
            Task::Query => &["query"],
            Task::Document => &DOCUMENT,
        };
        let mapped = |task: Option<&str>, modality: Option<&str>| {
            let found = self
                .mappings
                .iter()
                .find(|(known, kind, _)| known.as_deref() == task && kind.as_deref() == modality);
            found.map(|(_, _, route)| route.as_str())
        };
        let named = |name: &str| {
            let found = self.structure.iter().find(|(known, _)| known == name);
            found.map(|(name, _)| name.as_str())
        };
        let own = names.first().copied();
        mapped(own, Some("text"))
            .or_else(|| mapped(own, None))
            .or_else(|| mapped(None, Some("text")))
            .or_else(|| mapped(None, None))
            .or_else(|| names.iter().find_map(|name| named(name)))
            .or_else(|| named("text"))
            .or_else(|| self.default.as_deref().filter(|_| task == Task::Plain))
    }

    /// The modules of a route, whose folders are in that of the router.
    fn modules(&self, route: &str, folder: &Path) -> Result<Vec<Listed>> {
        let ids = self.structure.iter().find(|(name, _)| name == route);
        let ids = ids.map_or(&[][..], |(_, ids)| ids);
        let module = |id: &String| {
            let name = self.types.text(id)?.unwrap_or("no type");
            let kind = Kind::parse(name).filter(|kind| *kind != Kind::Router);
            let kind = kind.ok_or_else(|| {
                self.config.wrong(
                    "types",
                    format!(
                        "{id}: type {name} is not supported in a route; supported are {}",
                        Kind::KNOWN
                    ),
                )
            })?;
            Ok(Listed {
                kind,
                folder: folder.join(id),
            })
        };
        ids.iter().map(module).collect()
    }
}

/// Task and modality of a mapping's key, which is a pair as Python writes it: `('query', None)`. `None` for several modalities at once.
fn pair(key: &str) -> Option<(Option<String>, Option<String>)> {
    let (task, modality) = key.trim().strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
    let part = |text: &str| {
        let text = text.trim();
        match text
            .strip_prefix(['\'', '"'])
            .and_then(|text| text.strip_suffix(['\'', '"']))
        {
            Some(name) if !name.contains(['\'', '"', ',']) => Some(Some(name.to_string())),
            None if text == "None" => Some(None),
            _ => None,
        }
    };
    Some((part(task)?, part(modality)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_mappings_are_read_as_python_writes_them() {
        let text = |text: &str| Some(text.to_string());
        assert_eq!(pair("('query', 'text')"), Some((text("query"), text("text"))));
        assert_eq!(pair("(None, \"text\")"), Some((None, text("text"))));
        assert_eq!(pair("(None, None)"), Some((None, None)));
        assert_eq!(pair("(None, ('image', 'text'))"), None);
        assert_eq!(pair("query"), None);
    }

    #[test]
    fn the_nearest_mapping_wins_over_names_and_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let resolve = |text: &str| {
            std::fs::write(folder.path().join(NAME), text).unwrap();
            let config = read(folder.path()).unwrap();
            let routes = Routes::read(&config).unwrap();
            [Task::Plain, Task::Query, Task::Document].map(|task| routes.resolve(task).map(String::from))
        };
        let some = |names: [&str; 3]| names.map(|name| (name != "-").then(|| name.to_string()));
        let file = |mappings: &str, default: &str| {
            format!(
                r#"{{"types": {{}}, "structure": {{"query": [], "doc": [], "x": []}},
                "parameters": {{"default_route": {default}, "route_mappings": {mappings}}}}}"#
            )
        };
        assert_eq!(resolve(&file("{}", "null")), some(["-", "query", "doc"]));
        assert_eq!(resolve(&file("{}", "\"x\"")), some(["x", "query", "doc"]));
        let mapped = r#"{"('query', None)": "x", "(None, 'text')": "doc", "(None, 'image')": "query"}"#;
        assert_eq!(resolve(&file(mapped, "null")), some(["doc", "x", "doc"]));
    }
}
