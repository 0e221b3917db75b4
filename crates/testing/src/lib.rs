//! Where tests and benchmarks find the things that are not in the repository. Only ever a dev-dependency.
//!
//! A test that needs one of them is marked `#[ignore = "needs ..."]`, so that `cargo test` on a fresh machine says which tests were
//! left out and why; CI runs them with `--include-ignored`, and there a missing file is a failure.

use std::path::PathBuf;

/// The root of the workspace: of the package that cargo runs, since this crate may have been built in another checkout that shares the target
/// directory.
pub fn workspace() -> PathBuf {
    let built = || PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(built, PathBuf::from);
    let root = here
        .ancestors()
        .find(|folder| folder.join("Cargo.lock").is_file());
    root.unwrap_or(&here).to_path_buf()
}

/// The directory of a small model with random weights: one of the encoder's fixtures, such as `rerank-bert`.
pub fn small_model(name: &str) -> PathBuf {
    workspace()
        .join("crates/make/encode/tests/fixtures/families")
        .join(name)
}

/// The folder of shared data set `name`: under `$KOKESHI_DATA`, or `shared/data` beside the checkout.
///
/// # Panics
/// If it is not there: the test that asks for it needs it.
pub fn data(name: &str) -> PathBuf {
    let root =
        std::env::var_os("KOKESHI_DATA").map_or_else(|| workspace().join("../shared/data"), PathBuf::from);
    let folder = root.join(name);
    assert!(
        folder.is_dir(),
        "this test needs the data set {name} at {}; set KOKESHI_DATA",
        folder.display()
    );
    folder
}

/// The directory of the real all-MiniLM-L6-v2.
///
/// # Panics
/// If it is not there: run `scripts/fetch-model.sh`.
pub fn minilm() -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let models =
        std::env::var_os("KOKESHI_MODELS").map_or_else(|| home.join(".cache/kokeshi/models"), PathBuf::from);
    let folder = models.join("all-MiniLM-L6-v2");
    assert!(
        folder.join("model.safetensors").is_file(),
        "this test needs the real model at {}; run scripts/fetch-model.sh",
        folder.display()
    );
    folder
}
