//! `kokeshi train` that is killed at random instants goes on as if nothing had been.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use kokeshi_core::Seed;

/// A recipe with many short steps.
fn kitchen() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let words = ["dog", "cat", "fox", "quick", "lazy", "over", "the", "a"];
    let mut pairs = String::from("anchor\tpositive\n");
    for at in 0..64_usize {
        let [one, two, three] = [at % 8, (at / 8) % 8, (at * 3 + 1) % 8].map(|word| words[word]);
        pairs += &format!("{one} {two} {at}\t{two} {one} {three}\n");
    }
    std::fs::write(folder.path().join("pairs.tsv"), pairs).unwrap();
    let base = kokeshi_testing::workspace().join("crates/make/encode/tests/fixtures/small/bases/bert");
    let recipe = format!(
        "base = \"{}\"\nout = \"new\"\nsizes = [\"1x16\", \"2x32\"]\nloss = \"starbucks(ranking)\"\n\n\
         [[data]]\npath = \"pairs.tsv\"\nkind = \"pairs\"\n\n[train]\nbatch = 8\nrate = 1e-3\nsteps = 400\ncheckpoint = 3\n",
        base.display()
    );
    std::fs::write(folder.path().join("recipe.toml"), recipe).unwrap();
    folder
}

fn train(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kokeshi"));
    command
        .args(["train", "recipe.toml", "--threads", "2", "--quiet"])
        .current_dir(folder);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn results(folder: &Path) -> (String, Vec<u8>) {
    let read = |name: &str| std::fs::read(folder.join("new").join(name)).unwrap();
    (
        String::from_utf8(read("training.jsonl")).unwrap(),
        read("model.safetensors"),
    )
}

#[test]
fn a_killed_run_goes_on_to_the_bit() {
    let kills: usize = std::env::var("KOKESHI_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(8);
    let whole = kitchen();
    assert!(train(whole.path()).output().unwrap().status.success());
    let expected = results(whole.path());
    let (mut seed, mut killed) = (Seed(11), 0);
    while killed < kills {
        let parts = kitchen();
        loop {
            let mut child = train(parts.path()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(5 + seed.below(200) as u64));
            if killed < kills && child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                child.wait().unwrap();
                killed += 1;
                continue;
            }
            let output = child.wait_with_output().unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            break;
        }
        let found = results(parts.path());
        assert_eq!(found.0, expected.0, "the same losses, to the bit");
        assert!(found.1 == expected.1, "the same weights");
    }
}

/// A file that can't grow is what a full disk looks like to a program.
#[cfg(unix)]
#[test]
fn a_full_disk_keeps_the_checkpoint_that_was_there() {
    let [whole, parts] = [(); 2].map(|()| kitchen());
    assert!(train(whole.path()).output().unwrap().status.success());
    let checkpoint = parts.path().join("new/.training/checkpoint.bin");
    let mut child = train(parts.path()).spawn().unwrap();
    while !checkpoint.is_file() {
        assert!(
            child.try_wait().unwrap().is_none(),
            "it ended before its first checkpoint"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = std::fs::read(&checkpoint).unwrap();
    // At most 64 KiB a file: less than a checkpoint, and the signal that tells of it is ignored.
    let output = Command::new("bash")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 64; exec \"$0\" train recipe.toml --threads 2 --quiet",
        ])
        .arg(env!("CARGO_BIN_EXE_kokeshi"))
        .current_dir(parts.path())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("checkpoint.bin"), "{error}");
    assert!(
        std::fs::read(&checkpoint).unwrap() == before,
        "the checkpoint that was there"
    );
    let left: Vec<_> = std::fs::read_dir(parts.path().join("new/.training"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["checkpoint.bin"], "nothing half-written is left");
    assert!(train(parts.path()).output().unwrap().status.success());
    assert!(
        results(parts.path()) == results(whole.path()),
        "it goes on to the bit"
    );
}

#[test]
fn a_recipe_with_a_wrong_key_is_bad_usage_that_names_it() {
    let folder = kitchen();
    let path = folder.path().join("recipe.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("batch = 8", "bacth = 8")).unwrap();
    let output = train(folder.path()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(
        error.contains("line 11") && error.contains("bacth") && error.contains("batch"),
        "{error}"
    );
}
