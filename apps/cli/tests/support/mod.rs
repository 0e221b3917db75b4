//! A working directory of its own for each case, and the program run in it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kokeshi_collection::{Collection, CreateOptions};
use kokeshi_sources::{Attribute, Document, Field, Kind, Schema};

/// What a command or request gave back.
pub struct Printed {
    /// Exit code or HTTP status; -1 if the program was killed.
    pub code: i32,
    /// Standard error and output, or the answer's body.
    pub text: String,
}

/// A temporary working directory.
pub struct Place {
    folder: tempfile::TempDir,
}

/// Cuts a file to a share of its length.
pub fn truncate(file: &Path, share: f64) {
    let bytes = fs::read(file).unwrap();
    fs::write(file, &bytes[..(bytes.len() as f64 * share) as usize]).unwrap();
}

/// Flips one bit at a share of a file's length.
pub fn flip_byte(file: &Path, at: f64) {
    let mut bytes = fs::read(file).unwrap();
    let at = (bytes.len() as f64 * at) as usize;
    bytes[at] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

impl Place {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        self.write_bytes(name, text.as_bytes());
    }

    pub fn write_bytes(&self, name: &str, bytes: &[u8]) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), bytes).unwrap();
    }

    pub fn write_gzip(&self, name: &str, text: &str) {
        let mut gzip = Command::new("gzip")
            .arg("-c")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = gzip.stdin.take().unwrap();
        let text = text.to_string();
        let feed = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
        let packed = gzip.wait_with_output().unwrap().stdout;
        feed.join().unwrap();
        self.write_bytes(name, &packed);
    }

    /// The first file of `folder` whose name starts with `start`.
    pub fn find(&self, folder: &str, start: &str) -> PathBuf {
        self.find_by(folder, |name| name.starts_with(start))
    }

    /// The first file of `folder` whose name ends with `end`.
    pub fn find_suffix(&self, folder: &str, end: &str) -> PathBuf {
        self.find_by(folder, |name| name.ends_with(end))
    }

    fn find_by(&self, folder: &str, wanted: impl Fn(&str) -> bool) -> PathBuf {
        let mut files: Vec<PathBuf> = fs::read_dir(self.path(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files
            .into_iter()
            .find(|file| wanted(&file.file_name().unwrap().to_string_lossy()))
            .unwrap()
    }

    /// The collection `c` of four documents with a year.
    pub fn collection(&self) -> Collection {
        let mut options = CreateOptions::compiled_in().unwrap();
        options.schema = Schema {
            fields: vec![Field {
                name: "year".into(),
                kind: Kind::Integer,
                list: false,
            }],
        };
        let collection = Collection::create(self.path("c"), options).unwrap();
        let mut writer = collection.writer().unwrap();
        let document = |id: &str, text: &str, year| Document {
            id: id.into(),
            title: id.to_uppercase(),
            text: text.into(),
            attributes: [("year".to_string(), Attribute::Integer(year))].into(),
            ..Document::default()
        };
        let documents = [
            document("a", "an apple a day keeps the doctor away", 1990),
            document("b", "the boat sails over the blue sea", 2000),
            document("c", "cats sleep most of the day", 2010),
            document("d", "dogs bark at the postman", 2020),
        ];
        writer.upsert(&documents).unwrap();
        writer.commit().unwrap();
        collection
    }

    /// A manifest as a later version could write it, its checksum right.
    pub fn newer_format(&self, name: &str) {
        let json = "{\"format\": 99}";
        let checksum = kokeshi_core::file::checksum(json.as_bytes());
        self.write(
            name,
            &format!("{{\"format\": 99,\"checksum\":\"{checksum:016x}\"}}"),
        );
    }

    /// A static model of three words.
    pub fn static_model(&self, name: &str) {
        self.write(
            &format!("{name}/modules.json"),
            r#"[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.StaticEmbedding"}]"#,
        );
        self.write(
            &format!("{name}/tokenizer.json"),
            &tokenizer(&["[UNK]", "one", "two"]),
        );
        let header = r#"{"embedding.weight":{"dtype":"F32","shape":[3,4],"data_offsets":[0,48]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        for value in 0..12u8 {
            bytes.extend_from_slice(&f32::from(value).to_le_bytes());
        }
        self.write_bytes(&format!("{name}/model.safetensors"), &bytes);
    }

    /// The small BERT of the training tests, with another configuration of its pooling.
    pub fn pooled_model(&self, name: &str, pooling: &str) {
        let bert = kokeshi_testing::workspace().join("crates/make/encode/tests/fixtures/small/bases/bert");
        for file in ["config.json", "model.safetensors", "tokenizer.json"] {
            self.write_bytes(&format!("{name}/{file}"), &fs::read(bert.join(file)).unwrap());
        }
        self.write(
            &format!("{name}/modules.json"),
            r#"[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]"#,
        );
        self.write(&format!("{name}/1_Pooling/config.json"), pooling);
    }

    /// A directory of words made of bytes that has a configuration and nothing else.
    pub fn byte_words(&self, name: &str, config: &str) {
        self.write(
            &format!("{name}/modules.json"),
            r#"[{"idx": 0, "name": "0", "path": "0_BytesToWords", "type": "kokeshi.BytesToWords"}]"#,
        );
        self.write(&format!("{name}/0_BytesToWords/config.json"), config);
    }

    /// Replaces a model's tokenizer by one with more ids than it has rows.
    pub fn larger_tokenizer(&self, name: &str) {
        self.write(
            &format!("{name}/tokenizer.json"),
            &tokenizer(&["[UNK]", "one", "two", "three", "four"]),
        );
    }

    /// A data set of two documents and one query.
    pub fn beir(&self, name: &str) {
        self.write(
            &format!("{name}/corpus.jsonl"),
            "{\"_id\":\"1\",\"text\":\"one\"}\n{\"_id\":\"2\",\"text\":\"two\"}\n",
        );
        self.write(
            &format!("{name}/queries.jsonl"),
            "{\"_id\":\"q\",\"text\":\"one\"}\n",
        );
        self.write(
            &format!("{name}/qrels/test.tsv"),
            "query-id\tcorpus-id\tscore\nq\t1\t1\n",
        );
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kokeshi"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("HF_HUB_OFFLINE", "1");
        command
            .env("HF_HOME", self.path("hub"))
            .env_remove("KOKESHI_MODEL")
            .env_remove("KOKESHI_RERANKER")
            .env_remove("KOKESHI_API_KEY");
        command
    }

    pub fn kokeshi(&self, arguments: &[&str]) -> Printed {
        self.kokeshi_with("", arguments)
    }

    pub fn kokeshi_with(&self, input: &str, arguments: &[&str]) -> Printed {
        let mut command = self.command(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The program may end without reading its input; then the pipe is closed and that is fine.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = [output.stderr, output.stdout]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .concat();
        Printed {
            code: output.status.code().unwrap_or(-1),
            text,
        }
    }

    /// Runs it where no file can grow beyond 500 or 1,000 KiB, as shells count: what a full disk does, without root's rights.
    pub fn kokeshi_on_small_disk(&self, arguments: &[&str]) -> Printed {
        let program = self.command(arguments);
        let output = Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 1000; exec \"$0\" \"$@\""])
            .arg(program.get_program())
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Printed {
            code: output.status.code().unwrap_or(-1),
            text: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub fn kokeshi_to_full_disk(&self, arguments: &[&str]) -> Printed {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = self
            .command(arguments)
            .stdin(Stdio::null())
            .stdout(full)
            .output()
            .unwrap();
        Printed {
            code: output.status.code().unwrap_or(-1),
            text: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// One request to a server of the collection `c`.
    pub fn http(&self, method: &str, path: &str, body: &str) -> Printed {
        self.collection();
        let server = Server::start(self, &[]);
        server.request(method, path, body)
    }

    /// One request without a key to a server that wants one.
    pub fn http_keyed(&self, method: &str, path: &str) -> Printed {
        self.collection();
        let server = Server::start(self, &["--api-key", "secret-key"]);
        server.request(method, path, "")
    }

    /// The line that says what is wrong, and its hint, without names that change from run to run.
    pub fn message(&self, printed: &Printed) -> String {
        let folder = self.folder.path().to_string_lossy().into_owned();
        let models = kokeshi_testing::small_model("").to_string_lossy().into_owned();
        let bases = kokeshi_testing::workspace().join("crates/make/encode/tests/fixtures/small/bases");
        let bases = format!("{}/", bases.display());
        let text = printed
            .text
            .replace(&folder, "DIR")
            .replace(&models, "")
            .replace(&bases, "");
        let marks = ["error: ", "skipped: ", "note: "];
        let mut lines = text
            .lines()
            .filter(|line| marks.iter().any(|mark| line.starts_with(mark)));
        let fatal = text.lines().find(|line| line.starts_with("error: "));
        let line = fatal.or_else(|| lines.next()).unwrap_or_else(|| text.trim());
        let hint = text.lines().find_map(|line| line.strip_prefix("  hint: "));
        let mut message = match hint {
            Some(hint) => format!("{line} (hint: {hint})"),
            None => line.to_string(),
        };
        for start in ["process ", "torn.jsonl.gz:"] {
            message = without_number(&message, start);
        }
        without_hashes(&message)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// Replaces the number after `start` by `N`, since it differs from run to run or from machine to machine.
fn without_number(text: &str, start: &str) -> String {
    let Some(at) = text.find(start) else {
        return text.to_string();
    };
    let (before, after) = text.split_at(at + start.len());
    match after.trim_start_matches(|c: char| c.is_ascii_digit()) {
        rest if rest.len() < after.len() => format!("{before}N{rest}"),
        _ => text.to_string(),
    }
}

/// Replaces checksums and random file names (16 hexadecimal digits or more) by `N`.
fn without_hashes(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        if digits >= 16 {
            out.push('N');
            rest = &rest[digits..];
        } else {
            let taken = digits.max(first.len_utf8());
            out.push_str(&rest[..taken]);
            rest = &rest[taken..];
        }
    }
    out
}

fn tokenizer(words: &[&str]) -> String {
    let vocabulary: Vec<String> = words
        .iter()
        .enumerate()
        .map(|(id, word)| format!("\"{word}\": {id}"))
        .collect();
    format!(
        r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
           "pre_tokenizer": {{"type": "Whitespace"}}, "post_processor": null, "decoder": null,
           "model": {{"type": "WordLevel", "vocab": {{{}}}, "unk_token": "[UNK]"}}}}"#,
        vocabulary.join(", ")
    )
}

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(place: &Place, more: &[&str]) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let address = format!("127.0.0.1:{port}");
        let mut arguments = vec!["serve", "c", "--listen", &address];
        arguments.extend_from_slice(more);
        let child = place
            .command(&arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, address };
        let started = Instant::now();
        while TcpStream::connect(&server.address).is_err() {
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "the server did not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Printed {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        // The server may answer and close before it has read a body that is too large.
        let _ = stream.write_all(body.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let code = answer
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or(-1);
        let text = answer
            .split_once("\r\n\r\n")
            .map_or(String::new(), |(_, body)| body.to_string());
        Printed { code, text }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is going away either way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
