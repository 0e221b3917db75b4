//! Files, folders and packing.

use kokeshi_sources::SourceOptions;

use super::{Case, MOST, gzip, parquet, plain, write};

pub(crate) const CASES: &[Case] = &[
    Case {
        input: "a path that is not there",
        make: |folder| vec![folder.join("nothing.jsonl")],
        options: plain,
        refused: "DIR/nothing.jsonl: no such file or folder",
        documents: 0,
        said: &[],
    },
    Case {
        input: "an empty folder",
        make: |folder| vec![folder.into()],
        options: plain,
        refused: "nothing to read in DIR: no files there (hidden files and those in .gitignore are left out)",
        documents: 0,
        said: &[],
    },
    Case {
        input: "a folder with binary files only",
        make: |folder| {
            write(folder, "a.bin", [0, 1, 2, 3]);
            write(folder, "b.png", b"\x89PNG\r\n\x1a\n\0\0\0");
            vec![folder.into()]
        },
        options: plain,
        refused: "nothing to read in DIR: skipped 2 files, the first is DIR/a.bin: binary data",
        documents: 0,
        said: &[],
    },
    Case {
        input: "a binary file by name",
        make: |folder| write(folder, "a.bin", [0, 1, 2, 3]),
        options: plain,
        refused: "DIR/a.bin: expected text or a known format, found binary data",
        documents: 0,
        said: &[],
    },
    Case {
        input: "an empty JSONL file",
        make: |folder| write(folder, "a.jsonl", ""),
        options: plain,
        refused: "",
        documents: 0,
        said: &[],
    },
    Case {
        input: "an empty text file",
        make: |folder| write(folder, "a.txt", " \n\n"),
        options: plain,
        refused: "",
        documents: 0,
        said: &[],
    },
    Case {
        input: "a CSV file with a header only",
        make: |folder| write(folder, "a.csv", "id,text\n"),
        options: plain,
        refused: "",
        documents: 0,
        said: &[],
    },
    Case {
        input: "bad UTF-8 in JSONL",
        make: |folder| {
            write(
                folder,
                "a.jsonl",
                b"{\"id\": \"a\", \"text\": \"caf\xE9\"}\n{\"id\": \"b\", \"text\": \"y\"}\n",
            )
        },
        options: plain,
        refused: "",
        documents: 1,
        said: &[
            "DIR/a.jsonl:1: expected UTF-8, found the byte 0xE9 at byte 25 of the line (convert the file with iconv)",
            "1 rows skipped",
        ],
    },
    Case {
        input: "bad UTF-8 in a text file",
        make: |folder| write(folder, "a.txt", b"caf\xE9 and more"),
        options: plain,
        refused: "",
        documents: 1,
        said: &["1 files are not valid UTF-8: 1 sequences became U+FFFD; the first is DIR/a.txt"],
    },
    Case {
        input: "a truncated gzip file",
        make: |folder| {
            let rows: String = (0..4000)
                .map(|row| {
                    format!(
                        "{{\"id\": \"d{row}\", \"text\": \"text {}\"}}\n",
                        row * 7919 % 4001
                    )
                })
                .collect();
            let packed = gzip(rows.as_bytes());
            write(folder, "a.jsonl.gz", &packed[..packed.len() - 3000])
        },
        options: plain,
        refused: "",
        documents: MOST,
        said: &[
            "DIR/a.jsonl.gz:LINE: expected the end of the gzip stream, found the end of the file: it is truncated; what was read before is kept",
            "1 files could not be read to their end",
        ],
    },
    Case {
        input: "a file called .gz that is not gzip",
        make: |folder| write(folder, "a.jsonl.gz", "{\"id\": \"a\"}\n"),
        options: plain,
        refused: "",
        documents: 0,
        said: &[
            "DIR/a.jsonl.gz:1: expected gzip data because of the name, found something else (invalid gzip header)",
            "1 files could not be read to their end",
        ],
    },
    Case {
        input: "a truncated Parquet file",
        make: |folder| {
            let bytes = parquet(folder);
            write(folder, "a.parquet", &bytes[..bytes.len() / 2])
        },
        options: plain,
        refused: "",
        documents: 0,
        said: &[
            "DIR/a.parquet: expected a Parquet file, found a damaged or truncated one (Invalid Parquet file. Corrupt footer)",
            "1 files could not be read to their end",
        ],
    },
    Case {
        input: "a Parquet file with damaged pages",
        make: |folder| {
            let mut bytes = parquet(folder);
            for byte in &mut bytes[4..40] {
                *byte = 0xFF;
            }
            write(folder, "a.parquet", bytes)
        },
        options: plain,
        refused: "",
        documents: 0,
        said: &[
            "DIR/a.parquet:1: expected row 1 of 2, found damaged data (*)",
            "1 files could not be read to their end",
        ],
    },
    Case {
        input: "a text file called .parquet",
        make: |folder| write(folder, "a.parquet", "hello"),
        options: plain,
        refused: "",
        documents: 0,
        said: &[
            "DIR/a.parquet: expected a Parquet file, found a damaged or truncated one (*)",
            "1 files could not be read to their end",
        ],
    },
    Case {
        input: "Parquet on stdin or packed",
        make: |folder| {
            let bytes = parquet(folder);
            write(folder, "a.parquet.gz", gzip(&bytes))
        },
        options: plain,
        refused: "",
        documents: 0,
        said: &[
            "DIR/a.parquet.gz: expected a stream of text, found Parquet, which is read from files that are not packed (unpack it first)",
            "1 files could not be read to their end",
        ],
    },
    Case {
        input: "a file larger than the limit in a folder",
        make: |folder| {
            write(folder, "small.txt", "x");
            write(folder, "large.txt", "y".repeat(2000));
            vec![folder.into()]
        },
        options: || SourceOptions {
            max_file_bytes: 1000,
            ..plain()
        },
        refused: "",
        documents: 1,
        said: &[
            "skipped DIR/large.txt: plain text of 2000 bytes, which is read whole and may have at most 1000",
        ],
    },
    Case {
        input: "a broken link",
        make: |folder| {
            write(folder, "a.txt", "x");
            std::os::unix::fs::symlink("nowhere", folder.join("b.txt")).unwrap();
            vec![folder.into()]
        },
        options: plain,
        refused: "",
        documents: 1,
        said: &["skipped DIR/b.txt: a broken link: No such file or directory (os error 2)"],
    },
    Case {
        input: "a loop of links",
        make: |folder| {
            write(folder, "a.txt", "x");
            std::os::unix::fs::symlink(".", folder.join("loop")).unwrap();
            vec![folder.into()]
        },
        options: plain,
        refused: "",
        documents: 1,
        said: &["skipped DIR/loop: a link to a folder; name it on the command line to read it"],
    },
    Case {
        input: "folders 200 deep",
        make: |folder| {
            write(folder, &format!("{}a.txt", "d/".repeat(200)), "x");
            vec![folder.into()]
        },
        options: plain,
        refused: "",
        documents: 1,
        said: &[],
    },
];
