//! What a file holds, from its name and its first bytes.

use crate::formats::Format;
use crate::input::Packing;

/// How many bytes of a file are looked at.
pub(crate) const HEAD: usize = 16 << 10;

/// Endings of files that are read as source code: titled by their path, their text untouched.
const CODE: &[&str] = &[
    "ada",
    "asm",
    "bash",
    "bat",
    "c",
    "cc",
    "cfg",
    "clj",
    "cmake",
    "conf",
    "cpp",
    "cs",
    "css",
    "cu",
    "cxx",
    "d",
    "dart",
    "el",
    "elm",
    "erl",
    "ex",
    "exs",
    "f90",
    "fs",
    "go",
    "gradle",
    "graphql",
    "groovy",
    "h",
    "hcl",
    "hh",
    "hpp",
    "hs",
    "hxx",
    "ini",
    "java",
    "jl",
    "js",
    "jsx",
    "json5",
    "kt",
    "kts",
    "less",
    "lisp",
    "lua",
    "m",
    "mjs",
    "ml",
    "mli",
    "nim",
    "nix",
    "pas",
    "php",
    "pl",
    "pm",
    "properties",
    "proto",
    "ps1",
    "py",
    "pyi",
    "r",
    "rb",
    "rs",
    "sass",
    "scala",
    "scm",
    "scss",
    "sh",
    "sol",
    "sql",
    "svelte",
    "swift",
    "tcl",
    "tf",
    "thrift",
    "toml",
    "ts",
    "tsx",
    "v",
    "vb",
    "vhd",
    "vim",
    "vue",
    "xml",
    "yaml",
    "yml",
    "zig",
    "zsh",
];

/// Names without an ending that are source code.
const CODE_NAMES: &[&str] = &[
    "makefile",
    "dockerfile",
    "rakefile",
    "gemfile",
    "cmakelists.txt",
    "justfile",
    "vagrantfile",
    "jenkinsfile",
];

/// The format of a file, or why it is left alone.
pub(crate) fn format(name: &str, head: &[u8]) -> Result<Format, &'static str> {
    let file = name.rsplit('/').next().unwrap_or(name);
    let (_, file) = Packing::of(file);
    let lower = file.to_ascii_lowercase();
    let ending = lower
        .rfind('.')
        .filter(|at| *at > 0)
        .map_or("", |at| &lower[at + 1..]);
    if head.starts_with(b"PAR1") || matches!(ending, "parquet" | "pq") {
        return Ok(Format::Parquet);
    }
    if is_binary(head) {
        return Err("binary data");
    }
    let start = head
        .strip_prefix(b"\xEF\xBB\xBF")
        .unwrap_or(head)
        .trim_ascii_start();
    Ok(match ending {
        "jsonl" | "ndjson" | "jsonlines" => Format::Jsonl,
        "csv" => Format::Csv,
        "tsv" | "tab" => Format::Tsv,
        "md" | "markdown" | "mdown" | "mdx" => Format::Markdown,
        "html" | "htm" | "xhtml" => Format::Html,
        _ if CODE.contains(&ending) || CODE_NAMES.contains(&lower.as_str()) => Format::Code,
        // Also one long object on one line, and objects line by line in a file that is only called `.json`.
        _ if starts_with_json_object_line(head) => Format::Jsonl,
        "json" if is_array_of_objects(start) => Format::Json,
        // Settings and the like: the words in it can be found.
        "json" => Format::Code,
        _ if looks_like_html(start) => Format::Html,
        "" | "txt" | "text" | "eml" if is_paper_list(head) => Format::PaperList,
        _ => Format::Text,
    })
}

/// `[` and `{`, or an empty array, with only white space between.
fn is_array_of_objects(start: &[u8]) -> bool {
    let inside = start.strip_prefix(b"[").map(<[u8]>::trim_ascii_start);
    inside.is_some_and(|inside| inside.starts_with(b"{") || inside.starts_with(b"]"))
}

fn looks_like_html(start: &[u8]) -> bool {
    [&b"<!doctype html"[..], b"<html"].iter().any(|sign| {
        start
            .get(..sign.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(sign))
    })
}

fn is_paper_list(head: &[u8]) -> bool {
    // A character that the end of the head cuts through is nothing to worry about.
    crate::formats::paper_list::looks_like_one(&String::from_utf8_lossy(head), head.len() < HEAD)
}

/// What is said of UTF-16 where lines are read.
pub(crate) const UTF16: &str = "UTF-16 (convert it with iconv -f utf-16 -t utf-8)";

/// UTF-16, by its byte order mark.
pub(crate) fn is_utf16(head: &[u8]) -> bool {
    head.starts_with(&[0xFF, 0xFE]) || head.starts_with(&[0xFE, 0xFF])
}

/// Text holds no NUL, except as UTF-16 with a byte order mark.
pub(crate) fn is_binary(head: &[u8]) -> bool {
    !is_utf16(head) && memchr::memchr(0, head).is_some()
}

/// Whether the first line that is not blank is a JSON object, or the part of it that was read could be the start of one.
pub(crate) fn starts_with_json_object_line(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    let start = head.trim_ascii_start();
    if !start.starts_with(b"{") {
        return false;
    }
    match memchr::memchr(b'\n', start) {
        Some(end) => serde_json::from_slice::<serde::de::IgnoredAny>(&start[..end]).is_ok(),
        // One long line: an object that starts with a name.
        None if head.len() >= HEAD => start[1..].trim_ascii_start().starts_with(b"\""),
        None => serde_json::from_slice::<serde::de::IgnoredAny>(start).is_ok(),
    }
}
