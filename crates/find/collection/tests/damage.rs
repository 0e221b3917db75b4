//! Torn, changed and missing files are named, and nothing panics.

mod common;

use std::path::{Path, PathBuf};

use common::{collection, documents, ids, open, request};
use kokeshi_core::Seed;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else if !entry.file_name().to_string_lossy().ends_with(".lock") {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// A collection with several segments and deletions, closed.
fn prepared() -> (tempfile::TempDir, PathBuf) {
    let (folder, collection) = collection(120);
    let mut writer = collection.writer().unwrap();
    for round in 1..4 {
        writer.delete_ids(&[format!("doc-{round:04}")]).unwrap();
        writer.upsert(&documents(round * 200..round * 200 + 30)).unwrap();
        writer.commit().unwrap();
    }
    writer.close().unwrap();
    let directory = collection.directory().to_path_buf();
    (folder, directory)
}

/// Opens what was damaged; either the error names the file, or nothing that is found is different.
fn judge(directory: &Path, file: &Path, what: &str) -> bool {
    match open(directory) {
        Err(error) => {
            let name = file.file_name().unwrap().to_string_lossy();
            assert!(
                error.to_string().contains(&*name),
                "{what} of {name} is not named: {error}"
            );
            true
        }
        Ok(collection) => {
            assert_eq!(collection.info().documents, 207, "{what} of {}", file.display());
            let found = ids(&collection, &request("report number42 about violins"));
            assert_eq!(found[0], "doc-0042");
            for number in [0, 50, 210, 620] {
                let id = format!("doc-{number:04}");
                assert_eq!(
                    collection.document(&id).unwrap().unwrap(),
                    common::document(number)
                );
            }
            false
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_noticed_and_its_file_named() {
    let (folder, directory) = prepared();
    let mut seed = Seed(11);
    let (mut noticed, mut tried) = (0, 0);
    for file in files(&directory) {
        let bytes = std::fs::read(&file).unwrap();
        for round in 0..6 {
            let target = folder.path().join("flipped");
            let _ = std::fs::remove_dir_all(&target);
            copy(&directory, &target);
            let place = target.join(file.strip_prefix(&directory).unwrap());
            let mut flipped = bytes.clone();
            let at = seed.below(bytes.len() * 8);
            flipped[at / 8] ^= 1 << (at % 8);
            std::fs::write(&place, flipped).unwrap();
            noticed += usize::from(judge(&target, &place, &format!("flip {round} of bit {at}")));
            tried += 1;
        }
    }
    // What may go unnoticed is harmless: the version numbers in the footers of tantivy's files.
    assert!(noticed * 100 >= tried * 95, "{noticed} of {tried} were noticed");
}

#[test]
fn a_file_of_another_version_of_tantivy_is_named() {
    let (folder, directory) = prepared();
    let target = folder.path().join("old");
    let version = b"\"index_format_version\":";
    let mut tried = 0;
    for file in files(&directory) {
        let mut bytes = std::fs::read(&file).unwrap();
        let mut places = bytes.windows(version.len());
        let Some(at) = places.rposition(|found| found == version) else {
            continue;
        };
        let _ = std::fs::remove_dir_all(&target);
        copy(&directory, &target);
        bytes[at + version.len()] = b'3';
        let place = target.join(file.strip_prefix(&directory).unwrap());
        std::fs::write(&place, bytes).unwrap();
        assert!(judge(&target, &place, "version 3"));
        tried += 1;
    }
    // Those of one segment; how many more there are depends on when segments are merged.
    assert!(tried >= 6, "{tried} files have a version");
}

#[test]
fn a_torn_or_missing_file_is_named() {
    let (folder, directory) = prepared();
    let mut seed = Seed(12);
    for file in files(&directory) {
        let bytes = std::fs::read(&file).unwrap();
        for keep in [
            Some(0),
            Some(bytes.len() / 2),
            Some(bytes.len() - 1),
            Some(seed.below(bytes.len())),
            None,
        ] {
            let target = folder.path().join("torn");
            let _ = std::fs::remove_dir_all(&target);
            copy(&directory, &target);
            let place = target.join(file.strip_prefix(&directory).unwrap());
            match keep {
                Some(keep) => std::fs::write(&place, &bytes[..keep]).unwrap(),
                None => std::fs::remove_file(&place).unwrap(),
            }
            assert!(
                judge(&target, &place, &format!("cut to {keep:?}"))
                    || keep == Some(bytes.len() - 1) && place.extension().is_some_and(|end| end == "json"),
                "{} cut to {keep:?} went unnoticed",
                place.display()
            );
        }
    }
}

#[test]
fn files_of_a_commit_that_never_was_are_ignored_and_then_removed() {
    let (_folder, directory) = prepared();
    let stranger = directory.join("vectors-000099-000.npy");
    std::fs::write(&stranger, "half a file").unwrap();
    let collection = open(&directory).unwrap();
    assert!(stranger.exists(), "a reader touches nothing");
    drop(collection.writer().unwrap());
    assert!(!stranger.exists());
}
