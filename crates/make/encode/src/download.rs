//! Downloads a model from the Hugging Face hub into the cache that its own tools share.
//!
//! One request lists a model's files with their sizes and checksums; these name the blobs, as in `huggingface_hub`'s cache:
//! `blobs/CHECKSUM`, `snapshots/COMMIT/FILE` (a link to a blob) and `refs/main`, which holds the commit and is written last, so that a
//! download that was cut off is never taken for a model.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body};

use crate::directory::{self, Kind, SINGLE, is_inside, is_plain_name};

/// The most bytes of a list of files that are read; 10,000 files take about 2 MB.
const LIST_LIMIT: u64 = 64 << 20;
/// How long the hub may take to accept a connection, and to begin an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a file is asked for when the hub hangs up before it answers.
const TRIES: usize = 3;

/// Where to download from.
pub(crate) struct Hub {
    /// Such as `https://huggingface.co`, without a slash at the end.
    pub(crate) endpoint: String,
    /// Needed for private and gated models.
    pub(crate) token: Option<String>,
}

/// A file that the hub lists.
struct Remote {
    name: String,
    bytes: u64,
    /// The SHA-256 of a large file, git's object id of a small one.
    checksum: String,
}

/// Downloads what loading reads of the model `id` into `folder`, the model's own in the cache. The error is one line.
pub(crate) fn download(hub: &Hub, id: &str, folder: &Path) -> Result<(), String> {
    let job = Job {
        hub,
        id,
        folder,
        agent: Agent::new_with_config(
            Agent::config_builder()
                .http_status_as_error(false)
                .timeout_connect(Some(PATIENCE))
                .timeout_recv_response(Some(PATIENCE))
                .user_agent(concat!("kokeshi/", env!("CARGO_PKG_VERSION")))
                .build(),
        ),
    };
    let (commit, files) = job.list()?;
    let snapshot = folder.join("snapshots").join(&commit);
    // Which folders hold modules is known when this file is there.
    for file in files.iter().filter(|file| file.name == "modules.json") {
        job.file(&commit, file, &snapshot)?;
    }
    let modules = directory::modules(&snapshot).map_err(|error| error.to_string())?;
    // And which folders its routes have, when this one is there.
    for module in modules.iter().filter(|module| module.kind == Kind::Router) {
        let names = [crate::router::NAME, "config.json"].map(|name| module.folder.join(name));
        for file in &files {
            if names.contains(&snapshot.join(&file.name)) {
                job.file(&commit, file, &snapshot)?;
            }
        }
    }
    let modules = crate::router::flat(modules).map_err(|error| error.to_string())?;
    let mut folders = BTreeSet::from([PathBuf::new()]);
    for module in &modules {
        folders.extend(module.folder.strip_prefix(&snapshot).map(Path::to_path_buf));
    }
    let has = |name: &Path| files.iter().any(|file| Path::new(&file.name) == name);
    let mut weights = false;
    for file in &files {
        let path = Path::new(&file.name);
        let (parent, name) = (path.parent().unwrap_or(path), path.file_name());
        let single = has(&parent.join(SINGLE));
        let read = name
            .and_then(|name| name.to_str())
            .is_some_and(|name| directory::is_read(name, single));
        if read && folders.contains(parent) {
            job.file(&commit, file, &snapshot)?;
            weights |= path.extension().is_some_and(|kind| kind == "safetensors");
        }
    }
    if !weights {
        return Err("the hub has the model, but no weights of it in safetensors files".into());
    }
    let refs = folder.join("refs");
    std::fs::create_dir_all(&refs).map_err(at(&refs))?;
    replace(&refs.join("main"), |path| std::fs::write(path, &commit))
}

/// What every request needs.
struct Job<'a> {
    hub: &'a Hub,
    id: &'a str,
    folder: &'a Path,
    agent: Agent,
}

impl Job<'_> {
    /// The commit of the model's main branch, and its files.
    fn list(&self) -> Result<(String, Vec<Remote>), String> {
        let url = format!(
            "{}/api/models/{}/revision/main?blobs=true",
            self.hub.endpoint, self.id
        );
        let mut answer = self.get(&url)?;
        let bytes = answer.body_mut().with_config().limit(LIST_LIMIT).read_to_vec();
        let bytes = bytes.map_err(|error| format!("{url}: {error}"))?;
        let list: Value =
            serde_json::from_slice(&bytes).map_err(|error| format!("{url}: not JSON: {error}"))?;
        let commit = list.get("sha").and_then(Value::as_str);
        let siblings = list.get("siblings").and_then(Value::as_array);
        let (Some(commit), Some(siblings)) = (commit.filter(|commit| is_plain_name(commit)), siblings) else {
            return Err(format!("{url}: expected sha and siblings, found neither or one"));
        };
        let remote = |file: &Value| {
            let large = file.get("lfs").and_then(|large| large.get("sha256"));
            let checksum = large.or_else(|| file.get("blobId"))?.as_str()?;
            let name = file.get("rfilename")?.as_str()?;
            (is_inside(name) && is_plain_name(checksum)).then_some(Remote {
                name: name.into(),
                bytes: file.get("size")?.as_u64()?,
                checksum: checksum.into(),
            })
        };
        Ok((commit.into(), siblings.iter().filter_map(remote).collect()))
    }

    /// Puts a file into the snapshot, downloading it unless the cache has it already.
    fn file(&self, commit: &str, file: &Remote, snapshot: &Path) -> Result<(), String> {
        let pointer = snapshot.join(&file.name);
        if pointer.is_file() {
            return Ok(());
        }
        let blob = self.folder.join("blobs").join(&file.checksum);
        for path in [&pointer, &blob] {
            let parent = path.parent().unwrap_or(path);
            std::fs::create_dir_all(parent).map_err(at(parent))?;
        }
        if !blob.is_file() {
            tracing::info!(
                model = self.id,
                file = file.name,
                bytes = file.bytes,
                "downloading"
            );
            let url = format!(
                "{}/{}/resolve/{commit}/{}",
                self.hub.endpoint,
                self.id,
                escaped(&file.name)
            );
            let answer = self.get(&url)?;
            let mut body = answer
                .into_body()
                .into_reader()
                .take(file.bytes.saturating_add(1));
            replace(&blob, |path| {
                let got = std::io::copy(&mut body, &mut std::fs::File::create(path)?)?;
                if got == file.bytes {
                    return Ok(());
                }
                Err(std::io::Error::other(format!(
                    "expected {} bytes from {url}, found {got}{}",
                    file.bytes,
                    if got > file.bytes { " or more" } else { "" }
                )))
            })?;
        }
        let up = "../".repeat(2 + Path::new(&file.name).components().count() - 1);
        replace(&pointer, |path| {
            link(&blob, &format!("{up}blobs/{}", file.checksum), path)
        })
    }

    fn get(&self, url: &str) -> Result<Response<Body>, String> {
        let call = || {
            let mut request = self.agent.get(url);
            if let Some(token) = &self.hub.token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            request.call()
        };
        let mut answer = call();
        for _ in 1..TRIES {
            match answer {
                Err(ureq::Error::Io(error)) if hung_up(&error) => answer = call(),
                _ => break,
            }
        }
        let answer = answer.map_err(|error| format!("{url}: {error}"))?;
        match answer.status().as_u16() {
            200 => Ok(answer),
            // The hub says 401 of models that don't exist too, so that private names can't be guessed.
            401 | 403 => Err(format!(
                "{url}: {}: no such model, or it is private or gated and needs a token in HF_TOKEN",
                answer.status()
            )),
            _ => Err(format!("{url}: {}", answer.status())),
        }
    }
}

/// Whether the other side closed the connection, which is worth another try.
fn hung_up(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}

/// Makes a file under another name beside `path`, then gives it its name: nobody sees half a file.
fn replace(path: &Path, make: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<(), String> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.incomplete", std::process::id()));
    let temporary = path.with_file_name(name);
    let made = make(&temporary).and_then(|()| std::fs::rename(&temporary, path));
    if made.is_err() {
        // What is left of it is of no use; that it can't be removed matters less than why it was not made.
        let _ = std::fs::remove_file(&temporary);
    }
    made.map_err(at(path))
}

#[cfg(unix)]
fn link(_blob: &Path, relative: &str, path: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(relative, path)
}

/// Links need a privilege on other systems.
#[cfg(not(unix))]
fn link(blob: &Path, _relative: &str, path: &Path) -> std::io::Result<()> {
    std::fs::copy(blob, path).map(drop)
}

/// Names the file in an error of the operating system.
fn at(path: &Path) -> impl FnOnce(std::io::Error) -> String {
    move |error| format!("{}: {error}", path.display())
}

/// A file's path as part of a URL.
fn escaped(name: &str) -> String {
    let mut url = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::hub::find_in;
    use crate::{Model, Options};

    const FILES: [&str; 6] = [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "model.safetensors",
        "vocab.txt",
        "onnx/config.json",
    ];

    /// A small model's folder, with files that loading does not read.
    fn small() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/small/bases/bert")
    }

    fn content(name: &str) -> Vec<u8> {
        std::fs::read(small().join(name)).unwrap_or_else(|_| b"not read".to_vec())
    }

    /// Serves the small model as `org/tiny` in the layout of the hub's URLs, weights behind a redirect; `cut` sends too little of them.
    fn serve(cut: bool) -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let first = lines.next().unwrap().unwrap();
                let headers: Vec<String> = lines
                    .map(Result::unwrap)
                    .take_while(|line| !line.is_empty())
                    .collect();
                let (status, more, body) = answer(first.split(' ').nth(1).unwrap(), &headers, cut);
                let mut sent = format!(
                    "HTTP/1.1 {status}\r\n{more}content-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                )
                .into_bytes();
                sent.extend_from_slice(&body);
                // A client that has seen where a redirect leads may hang up before the end of the head.
                let _ = stream.write_all(&sent);
            }
        });
        Hub {
            endpoint,
            token: None,
        }
    }

    fn answer(path: &str, headers: &[String], cut: bool) -> (&'static str, String, Vec<u8>) {
        let found = |body| ("200 OK", String::new(), body);
        if path == "/api/models/org/tiny/revision/main?blobs=true" {
            let files = FILES.iter().enumerate().map(|(at, name)| {
                let mut file = serde_json::json!({"rfilename": name, "size": content(name).len(), "blobId": format!("b{at}")});
                if name.ends_with("safetensors") {
                    file["lfs"] = serde_json::json!({"sha256": "abcdef"});
                }
                file
            });
            let list = serde_json::json!({"sha": "c0ffee", "siblings": files.collect::<Vec<_>>()});
            return found(list.to_string().into_bytes());
        }
        if let Some(name) = path.strip_prefix("/org/tiny/resolve/c0ffee/") {
            if name.ends_with("safetensors") {
                return ("302 Found", "location: /elsewhere\r\n".into(), Vec::new());
            }
            return found(content(name));
        }
        let has_token = headers
            .iter()
            .any(|line| line.eq_ignore_ascii_case("authorization: Bearer secret"));
        match path {
            "/elsewhere" if cut => found(content("model.safetensors")[..100].to_vec()),
            "/elsewhere" => found(content("model.safetensors")),
            "/api/models/org/private/revision/main?blobs=true" if !has_token => {
                ("401 Unauthorized", String::new(), Vec::new())
            }
            _ => ("404 Not Found", String::new(), Vec::new()),
        }
    }

    #[test]
    fn a_model_is_downloaded_once_into_the_layout_of_the_hubs_tools() {
        let cache = tempfile::tempdir().unwrap();
        let found = find_in("org/tiny", Some(cache.path()), Some(&serve(false))).unwrap();
        let folder = cache.path().join("models--org--tiny");
        assert_eq!(found, folder.join("snapshots/c0ffee"));
        assert_eq!(
            std::fs::read_to_string(folder.join("refs/main")).unwrap(),
            "c0ffee"
        );
        assert_eq!(
            std::fs::read(folder.join("blobs/abcdef")).unwrap(),
            content("model.safetensors")
        );
        assert!(!found.join("vocab.txt").exists() && !found.join("onnx").exists());
        #[cfg(unix)]
        assert_eq!(
            std::fs::read_link(found.join("model.safetensors")).unwrap(),
            Path::new("../../blobs/abcdef")
        );

        let (downloaded, original) = (
            Model::load(found.to_str().unwrap()).unwrap(),
            Model::load(small().to_str().unwrap()).unwrap(),
        );
        assert_eq!(downloaded.fingerprint(), original.fingerprint());
        let encode = |model: &Model| model.encode(&["one text"], &Options::default()).unwrap();
        assert_eq!(encode(&downloaded).row(0), encode(&original).row(0));

        let gone = Hub {
            endpoint: "http://127.0.0.1:9".into(),
            token: None,
        };
        assert_eq!(
            find_in("org/tiny", Some(cache.path()), Some(&gone)).unwrap(),
            found
        );
    }

    #[test]
    fn a_download_that_was_cut_off_is_not_taken_for_a_model_and_is_done_again() {
        let cache = tempfile::tempdir().unwrap();
        let problem = find_in("org/tiny", Some(cache.path()), Some(&serve(true))).unwrap_err();
        assert!(problem.to_string().contains("bytes from http"), "{problem}");
        let offline = find_in("org/tiny", Some(cache.path()), None).unwrap_err();
        assert!(offline.to_string().contains("not whole"), "{offline}");
        find_in("org/tiny", Some(cache.path()), Some(&serve(false))).unwrap();
    }

    #[test]
    fn what_the_hub_refuses_and_a_hub_out_of_reach_are_one_clear_line() {
        let cache = tempfile::tempdir().unwrap();
        let problem = |id: &str, hub: &Hub| {
            let problem = find_in(id, Some(cache.path()), Some(hub))
                .unwrap_err()
                .to_string();
            assert!(
                !problem.contains('\n') && problem.contains("models--org--"),
                "{problem}"
            );
            problem
        };
        let mut hub = serve(false);
        assert!(problem("org/absent", &hub).contains("404 Not Found"));
        assert!(problem("org/private", &hub).contains("needs a token in HF_TOKEN"));
        hub.token = Some("secret".into());
        assert!(problem("org/private", &hub).contains("404 Not Found"));
        hub.endpoint = "http://127.0.0.1:9".into();
        let problem = problem("org/tiny", &hub);
        assert!(
            problem.contains("http://127.0.0.1:9/api/models/org/tiny"),
            "{problem}"
        );
    }
}
