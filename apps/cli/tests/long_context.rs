//! A collection made with a longer context is opened, extended and searched with it, and with no other model.

use std::path::Path;
use std::process::Command;

/// Runs the program in `folder`: whether it went well, and what it printed.
fn kokeshi(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kokeshi"))
        .args(arguments)
        .current_dir(folder)
        .env("HF_HUB_OFFLINE", "1")
        .env_remove("KOKESHI_MODEL")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.success(), text.concat())
}

#[test]
fn a_collection_keeps_the_context_it_was_made_with() {
    let model = kokeshi_testing::workspace().join("crates/make/encode/tests/fixtures/families/xlm-roberta");
    let model = model.to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("a.txt"),
        "the boat sails over the sea ".repeat(60),
    )
    .unwrap();
    std::fs::write(folder.path().join("b.txt"), "cats sleep most of the day").unwrap();
    let with = |name: &str, more: &[&str]| {
        let arguments = [
            "index",
            name,
            "--to",
            "c",
            "--passage-tokens",
            "0",
            "--model",
            model,
        ];
        let arguments = if more.is_empty() {
            &arguments[..4]
        } else {
            &arguments[..]
        };
        kokeshi(folder.path(), &[arguments, more].concat())
    };
    let long = ["--context", "512", "--position", "pi"];
    let (good, text) = with("a.txt", &long);
    assert!(good, "{text}");
    let (good, text) = with("b.txt", &[]);
    assert!(good, "{text}");
    let (_, text) = kokeshi(folder.path(), &["info", "c"]);
    assert!(text.contains("@context=512@position=pi"), "{text}");
    let (good, text) = kokeshi(
        folder.path(),
        &["search", "a boat at sea", "--in", "c", "--mode", "dense"],
    );
    assert!(good, "{text}");

    let other = [
        "index",
        "b.txt",
        "--to",
        "c",
        "--model",
        model,
        "--context",
        "512",
        "--position",
        "rp",
    ];
    let (good, text) = kokeshi(folder.path(), &other);
    assert!(
        !good && text.contains("@position=rp") && text.contains("reindex"),
        "{text}"
    );
    let (good, text) = kokeshi(
        folder.path(),
        &[
            "reindex",
            "c",
            "--model",
            model,
            "--context",
            "300",
            "--position",
            "rp",
        ],
    );
    assert!(good && text.contains("@context=300@position=rp"), "{text}");
}
