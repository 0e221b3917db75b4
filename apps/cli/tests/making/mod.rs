//! Rows of docs/bad-input.md about training, merging, mining and sizes.

use kokeshi_core::Lock;

use super::support::{Place, Printed};
use super::{Case, case};

/// The small BERT that training's tests begin with.
fn base() -> String {
    let folder = kokeshi_testing::workspace().join("crates/make/encode/tests/fixtures/small/bases/bert");
    folder.to_string_lossy().into_owned()
}

/// A recipe over two files of data, with some of it changed.
fn train(place: &Place, from: &str, to: &str) -> Printed {
    place.write("pairs.tsv", "anchor\tpositive\na dog\tthe dog\na fox\tthe fox\n");
    place.write(
        "scored.tsv",
        "score\tsentence1\tsentence2\n5\ta dog\tthe dog\n0\ta dog\tthe fox\n",
    );
    let recipe = format!(
        "base = \"{}\"\nout = \"new\"\nsizes = [\"1x16\", \"2x32\"]\nloss = \"starbucks(ranking)\"\n\n\
         [[data]]\npath = \"pairs.tsv\"\nkind = \"pairs\"\n\n\
         [[data]]\npath = \"scored.tsv\"\nkind = \"scored\"\nloss = \"cosent\"\n\n[train]\nbatch = 2\nsteps = 2\n",
        base()
    );
    assert!(recipe.contains(from), "{from}");
    place.write("recipe.toml", &recipe.replacen(from, to, 1));
    place.kokeshi(&["train", "recipe.toml"])
}

/// `kokeshi mine` over three pairs.
fn mine(place: &Place, more: &[&str]) -> Printed {
    place.write(
        "p.jsonl",
        "{\"anchor\":\"a\",\"positive\":\"b\"}\n{\"anchor\":\"c\",\"positive\":\"d\"}\n",
    );
    place.kokeshi(&[&["mine", "p.jsonl"], more].concat())
}

/// `kokeshi sizes` over two pairs.
fn sizes(place: &Place, more: &[&str]) -> Printed {
    place.write(
        "pairs.tsv",
        "score\tsentence1\tsentence2\n5\ta dog\tthe dog\n0\ta dog\tthe fox\n",
    );
    place.kokeshi(&[&["sizes", &base(), "--eval", "pairs.tsv"], more].concat())
}

/// All rows.
pub fn cases() -> Vec<Case> {
    [recipes(), tools()].into_iter().flatten().collect()
}

fn recipes() -> Vec<Case> {
    vec![
        case("a recipe that is not there", 2, &["none.toml"], |p| {
            p.kokeshi(&["train", "none.toml"])
        }),
        case(
            "a recipe with an unknown key",
            2,
            &["line 16", "bacth", "batch"],
            |p| train(p, "batch = 2", "bacth = 2"),
        ),
        case(
            "a batch of one row",
            2,
            &["line 16", "train.batch", "found 1"],
            |p| train(p, "batch = 2", "batch = 1"),
        ),
        case(
            "a base width below 0",
            2,
            &["line 18", "base_width = -64", "integer `-64`"],
            |p| train(p, "steps = 2\n", "steps = 2\nbase_width = -64\n"),
        ),
        case(
            "a pooling that is none",
            2,
            &["line 2", "pooling", "\"max\"", "latent_attention"],
            |p| train(p, "out = ", "pooling = \"max\"\nout = "),
        ),
        case(
            "a pooling whose heads don't divide the base's width",
            2,
            &["line 2", "pooling", "32 dims", "found 5"],
            |p| train(p, "out = ", "pooling = \"latent_attention(heads=5)\"\nout = "),
        ),
        case(
            "a directory that another run writes",
            2,
            &["new: it is being trained by process"],
            |p| {
                p.write("new/.training/lock", "");
                let held = Lock::take(&p.path("new/.training/lock")).unwrap();
                let printed = train(p, "steps = 2", "steps = 2");
                drop(held);
                printed
            },
        ),
        case(
            "sizes that don't end with the base's",
            2,
            &["sizes", "2x32"],
            |p| train(p, "\"1x16\", \"2x32\"", "\"1x16\""),
        ),
        case(
            "a loss that is not one",
            2,
            &["line 4", "starbuck", "starbucks"],
            |p| train(p, "starbucks(ranking)", "starbuck(ranking)"),
        ),
        case(
            "a loss with an option that it has not",
            2,
            &["line 4", "focus", "focal"],
            |p| train(p, "ranking", "ranking(focus=1)"),
        ),
        case(
            "a guided loss without a guide",
            2,
            &["line 4", "gist(guide=DIR)"],
            |p| train(p, "ranking", "gist"),
        ),
        case("a guide that is not there", 2, &["nowhere"], |p| {
            train(p, "ranking", "gist(guide=./nowhere)")
        }),
        case(
            "a loss for scores over pairs",
            2,
            &["line 8", "without scores"],
            |p| train(p, "ranking", "cosent"),
        ),
        case(
            "margins of a teacher over pairs",
            2,
            &["line 8", "triplets"],
            |p| train(p, "ranking", "margin_mse(teacher=x)"),
        ),
        case("data that are not there", 2, &["line 7", "none.tsv"], |p| {
            train(p, "pairs.tsv", "none.tsv")
        }),
        case(
            "a column that the data have not",
            2,
            &["pairs.tsv", "query"],
            |p| {
                train(
                    p,
                    "kind = \"pairs\"",
                    "kind = \"pairs\"\ncolumns = [\"query\", \"positive\"]",
                )
            },
        ),
        case("a row without a positive", 2, &["more.tsv:3", "positive"], |p| {
            p.write("more.tsv", "anchor\tpositive\na dog\tthe dog\na fox\t\n");
            train(p, "pairs.tsv", "more.tsv")
        }),
        case("a score that is not a number", 2, &["odd.tsv:2", "high"], |p| {
            p.write("odd.tsv", "score\tsentence1\tsentence2\nhigh\ta dog\tthe dog\n");
            train(p, "scored.tsv", "odd.tsv")
        }),
        case(
            "a base of a kind that training does not know",
            2,
            &["training knows"],
            |p| {
                let other = kokeshi_testing::small_model("qwen2");
                train(p, &base(), &other.to_string_lossy())
            },
        ),
        case(
            "a new base whose width its heads don't divide",
            2,
            &["line 1", "base", "multiple of heads (4)", "30"],
            |p| {
                let from = format!("base = \"{}\"", base());
                train(p, &from, "base = { layers = 2, hidden = 30, heads = 4 }")
            },
        ),
        case(
            "masked tokens over pairs",
            2,
            &["line 8", "mlm", "kind = \"texts\""],
            |p| train(p, "starbucks(ranking)", "mlm"),
        ),
        case(
            "an adapter on layers that the base has not",
            2,
            &["line 19", "q_proj", "query"],
            |p| train(p, "steps = 2\n", "steps = 2\n[lora]\ntargets = [\"q_proj\"]\n"),
        ),
        case(
            "an adapter that is not there",
            2,
            &["nowhere", "adapter_config.json"],
            |p| p.kokeshi(&["merge", &base(), "--adapter", "nowhere", "--to", "m"]),
        ),
        case("a distillation of pairs", 2, &["line 6", "kind", "texts"], |p| {
            p.write("pairs.tsv", "anchor\tpositive\na dog\tthe dog\n");
            let recipe = "base = \"x\"\nout = \"new\"\n\n[[data]]\npath = \"pairs.tsv\"\nkind = \"pairs\"\n\n[distill]\n";
            p.write("recipe.toml", recipe);
            p.kokeshi(&["train", "recipe.toml"])
        }),
        case("merging models of different shapes", 2, &["architecture"], |p| {
            let folder = kokeshi_testing::workspace().join("crates/make/encode/tests/fixtures/small/bases");
            let other = folder.join("bert-odd-cased");
            p.kokeshi(&["merge", &base(), &other.to_string_lossy(), "--to", "m"])
        }),
        case("an arc that is none", 2, &["'nan'", "--slerp", "0 to 1"], |p| {
            p.kokeshi(&["merge", &base(), &base(), "--slerp", "nan", "--to", "m"])
        }),
    ]
}

fn tools() -> Vec<Case> {
    vec![
        case("mining without pairs", 2, &["empty.tsv"], |p| {
            p.write("empty.tsv", "anchor\tpositive\n");
            p.kokeshi(&["mine", "empty.tsv"])
        }),
        case("mining a column that is not there", 2, &["query"], |p| {
            mine(p, &["--columns", "query,positive"])
        }),
        case(
            "mining pairs of which one is empty",
            2,
            &["one.jsonl:2", "positive"],
            |p| {
                p.write(
                    "one.jsonl",
                    "{\"anchor\":\"a\",\"positive\":\"b\"}\n{\"anchor\":\"c\",\"positive\":\" \"}\n",
                );
                p.kokeshi(&["mine", "one.jsonl"])
            },
        ),
        case("ranks that are none", 2, &["50-10", "two ranks"], |p| {
            mine(p, &["--ranks", "50-10"])
        }),
        case("more negatives than ranks", 2, &["room for 5", "1-3"], |p| {
            mine(p, &["--ranks", "1-3", "--negatives", "5"])
        }),
        case(
            "a relative margin above one",
            2,
            &["relative margin", "1.5"],
            |p| mine(p, &["--relative-margin", "1.5"]),
        ),
        case(
            "more layers than the model has",
            2,
            &["--layers", "1 to 2", "7"],
            |p| sizes(p, &["--layers", "1,7"]),
        ),
        case(
            "more dims than the model has",
            2,
            &["--dims", "1 to 32", "64"],
            |p| sizes(p, &["--dims", "16,64"]),
        ),
        case("bits that no code has", 2, &["--bits", "12"], |p| {
            sizes(p, &["--bits", "12"])
        }),
        case(
            "a grid that is neither SVG nor PNG",
            2,
            &["grid.pdf", ".svg or .png"],
            |p| sizes(p, &["--plot", "grid.pdf"]),
        ),
        case("sizes over data that are not there", 2, &["nowhere"], |p| {
            p.kokeshi(&["sizes", &base(), "--eval", "nowhere"])
        }),
    ]
}
