//! A recipe from beginning to end on a small model: what it writes, that it goes on to the bit, and what it says when something is wrong.

use std::path::Path;

use kokeshi_core::Size;
use kokeshi_encode::{Model, Options};
use kokeshi_recipe::{
    AnyRecipe, Error, Event, Merge, Outcome, Recipe, Result, estimate, merge, merge_adapter, run,
};

const WORDS: [&str; 8] = ["dog", "cat", "fox", "quick", "lazy", "over", "the", "a"];

/// A folder with data and a recipe for the small BERT.
fn kitchen(change: impl Fn(String) -> String) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut pairs = String::from("anchor\tpositive\n");
    let mut scored = String::from("score\tsentence1\tsentence2\n");
    for at in 0..48_usize {
        let [one, two, three] = [at % 8, (at / 8) % 8, (at * 3 + 1) % 8].map(|word| WORDS[word]);
        pairs += &format!("{one} {two} {at}\t{two} {one} {three}\n");
        scored += &format!("{}\t{one} {two}\t{two} {three}\n", at % 6);
    }
    std::fs::write(folder.path().join("pairs.tsv"), pairs).unwrap();
    std::fs::write(folder.path().join("scored.tsv"), scored).unwrap();
    let base = kokeshi_testing::workspace().join("crates/make/encode/tests/fixtures/small/bases/bert");
    let text = format!(
        "base = \"{}\"\nout = \"new\"\nsizes = [\"1x16\", \"2x32\"]\nloss = \"starbucks(ranking)\"\n\n\
         [[data]]\npath = \"pairs.tsv\"\nkind = \"pairs\"\n\n\
         [[data]]\npath = \"scored.tsv\"\nkind = \"scored\"\nscale = 5.0\nloss = \"starbucks(cosent)\"\n\n\
         [train]\nbatch = 8\nrate = 1e-3\nsteps = 12\nema = 0.5\ncheckpoint = 3\n\n\
         [evaluation]\ndata = \"scored.tsv\"\nevery = 4\n",
        base.display()
    );
    std::fs::write(folder.path().join("recipe.toml"), change(text)).unwrap();
    folder
}

fn cook(folder: &Path, stop_at: u64) -> Result<Outcome> {
    let recipe = Recipe::read(&folder.join("recipe.toml"))?;
    run(
        &recipe,
        &mut |event| !matches!(event, Event::Step { step, .. } if step == stop_at),
    )
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("new/training.jsonl")).unwrap()
}

#[test]
fn a_recipe_makes_a_model_with_its_sizes_and_card() {
    let folder = kitchen(|text| text);
    let outcome = cook(folder.path(), 0).unwrap();
    assert_eq!((outcome.steps, outcome.early), (12, false));
    let (before, after) = (outcome.before.unwrap(), outcome.after.unwrap());
    assert_ne!(before, after);
    let out = folder.path().join("new");
    let model = Model::load(out.to_str().unwrap()).unwrap();
    assert_eq!(
        model.sizes(),
        [16, 32].map(|dims| Size {
            layers: Some(dims / 16),
            dims: Some(dims),
            bits: None
        })
    );
    let size = Size {
        layers: Some(1),
        dims: Some(16),
        bits: None,
    };
    let options = Options {
        size,
        ..Options::default()
    };
    assert_eq!(model.encode(&["the quick dog"], &options).unwrap().dims(), 16);
    let card = std::fs::read_to_string(out.join("README.md")).unwrap();
    assert!(
        card.contains("| 1x16 |") && card.contains("quality.svg"),
        "{card}"
    );
    assert!(out.join("quality.svg").is_file() && !out.join(".training").exists());
}

#[test]
fn a_pooling_with_weights_is_learnt_written_and_learnt_on() {
    for (pooling, other) in [
        ("latent_attention(latents=6, heads=2)", "lasttoken"),
        (
            "multi_layer(latents=4, heads=2, layer_pooling=lasttoken)",
            "latent_attention",
        ),
    ] {
        let named = |pooling: &str| format!("pooling = \"{pooling}\"\nout");
        let folder = kitchen(|text| text.replacen("out", &named(pooling), 1));
        let outcome = cook(folder.path(), 0).unwrap();
        assert_ne!(outcome.before, outcome.after);
        let out = folder.path().join("new");
        let weights = |folder: &Path| std::fs::read(folder.join("1_Pooling/model.safetensors")).unwrap();
        let size = |layers| Options {
            size: Size {
                layers: Some(layers),
                dims: None,
                bits: None,
            },
            ..Options::default()
        };
        let model = Model::load(out.to_str().unwrap()).unwrap();
        let one = |model: &Model, layers| model.encode(&["the quick dog"], &size(layers)).unwrap();
        assert_ne!(one(&model, 1).row(0), one(&model, 2).row(0));

        // As a base it keeps its pooling and its weights, which learn on; or it gets another pooling.
        let text = std::fs::read_to_string(folder.path().join("recipe.toml")).unwrap();
        let base = text.lines().next().unwrap();
        let on = text
            .replacen(base, &format!("base = \"{}\"", out.display()), 1)
            .replacen("\"new\"", "\"newer\"", 1);
        let newer = folder.path().join("newer");
        for (line, has_weights) in [(None, true), (Some(other), other.contains("attention"))] {
            let on = match line {
                None => on.replacen(&format!("pooling = \"{pooling}\"\n"), "", 1),
                Some(line) => on.replacen(pooling, line, 1),
            };
            std::fs::write(folder.path().join("recipe.toml"), on).unwrap();
            cook(folder.path(), 0).unwrap();
            Model::load(newer.to_str().unwrap()).unwrap();
            assert_eq!(newer.join("1_Pooling/model.safetensors").is_file(), has_weights);
            if has_weights {
                assert!(weights(&newer) != weights(&out));
            }
            std::fs::remove_dir_all(&newer).unwrap();
        }
    }
}

#[test]
fn heads_that_do_not_divide_the_width_are_named() {
    let folder = kitchen(|text| text.replacen("out", "pooling = \"latent_attention(heads=5)\"\nout", 1));
    let error = cook(folder.path(), 0).unwrap_err().to_string();
    for part in ["line 2", "pooling", "32 dims", "found 5"] {
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[test]
fn a_directory_is_written_by_one_run_at_a_time() {
    let folder = kitchen(|text| text);
    let recipe = Recipe::read(&folder.path().join("recipe.toml")).unwrap();
    let mut refused = Vec::new();
    let outcome = run(&recipe, &mut |event| {
        if matches!(event, Event::Step { step: 1, .. }) {
            refused.push(run(&recipe, &mut |_| true).unwrap_err());
        }
        true
    });
    assert_eq!(outcome.unwrap().steps, 12);
    let error = refused[0].to_string();
    assert!(matches!(refused[..], [Error::Busy { .. }]), "{error}");
    assert!(
        error.contains(&format!("process {}", std::process::id())),
        "{error}"
    );
    // It is let go of: the same recipe can be run anew.
    cook(folder.path(), 0).unwrap();
}

#[test]
fn a_recipe_that_can_not_be_leaves_no_folder() {
    let wrong = |text: String| text.replacen("2x32", "2x16", 1);
    let scratch = |text: String| {
        let (_, rest) = text.split_once('\n').unwrap();
        wrong(format!("base = {SCRATCH}\n{rest}"))
    };
    for folder in [kitchen(wrong), kitchen(scratch)] {
        cook(folder.path(), 0).unwrap_err();
        assert!(!folder.path().join("new").exists());
    }
}

#[test]
fn an_interrupted_run_goes_on_to_the_bit() {
    let [whole, parts] = [(); 2].map(|()| kitchen(|text| text));
    cook(whole.path(), 0).unwrap();
    for stop_at in [2, 5, 8, 11] {
        let error = cook(parts.path(), stop_at).unwrap_err();
        assert!(
            matches!(error, Error::Interrupted(step) if step == stop_at),
            "{error}"
        );
    }
    cook(parts.path(), 0).unwrap();
    assert_eq!(log(whole.path()), log(parts.path()));
    let weights = |folder: &Path| std::fs::read(folder.join("new/model.safetensors")).unwrap();
    assert!(weights(whole.path()) == weights(parts.path()), "the same weights");
}

#[test]
fn stages_are_learnt_one_after_the_other_and_go_on_to_the_bit() {
    let staged = |text: String| {
        text.replace("kind = \"scored\"", "kind = \"scored\"\nstage = 2")
            .replace("rate = 1e-3", "rate = 1e-3\nwarmup = 0.5")
    };
    let [whole, parts] = [(); 2].map(|()| kitchen(staged));
    cook(whole.path(), 0).unwrap();
    // Both data sets have 48 rows: six steps for each stage, with a warm-up of three of its own.
    let rates: Vec<f64> = log(whole.path())
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["rate"]
                .as_f64()
                .unwrap()
        })
        .collect();
    assert_eq!(rates.len(), 12);
    assert_eq!(rates[..6], rates[6..]);
    assert!(rates[0] < rates[2] && rates[5] < rates[3], "{rates:?}");
    for stop_at in [4, 7] {
        cook(parts.path(), stop_at).unwrap_err();
    }
    cook(parts.path(), 0).unwrap();
    assert_eq!(log(whole.path()), log(parts.path()));
}

/// A recipe for single texts under `loss`, then pairs; the base is `base`.
fn masked(base: &str, loss: &str) -> tempfile::TempDir {
    let folder = kitchen(|text| {
        let (_, rest) = text.split_once("out = ").unwrap();
        let (head, _) = rest.split_once("[[data]]\npath = \"scored.tsv\"").unwrap();
        let (head, pairs) = head.split_once("[[data]]").unwrap();
        format!(
            "base = {base}\nout = {head}[[data]]\npath = \"texts.tsv\"\nkind = \"texts\"\nloss = \"{loss}\"\nrepeat = 4\n\n\
             [[data]]{pairs}stage = 2\n\n[train]\nbatch = 8\nrate = 3e-3\nsteps = 30\ncheckpoint = 3\n"
        )
    });
    let mut texts = String::from("text\n");
    for at in 0..48_usize {
        let [one, two, three] = [at % 8, (at / 8) % 8, (at * 3 + 1) % 8].map(|word| WORDS[word]);
        texts += &format!("{one} {two} {three} {two} {one} {at}\n");
    }
    std::fs::write(folder.path().join("texts.tsv"), texts).unwrap();
    folder
}

fn losses(folder: &Path) -> Vec<f64> {
    let value = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64();
    log(folder).lines().map(|line| value(line).unwrap()).collect()
}

const SCRATCH: &str = "{ layers = 2, hidden = 32, heads = 4, longest = 24, vocabulary = 90 }";

#[test]
fn masked_tokens_are_learnt_and_an_interrupted_run_goes_on_to_the_bit() {
    let bert = kokeshi_testing::workspace().join("crates/make/encode/tests/fixtures/small/bases/bert");
    let bert = format!("\"{}\"", bert.display());
    for (base, loss) in [(bert.as_str(), "mlm"), (&bert, "smae"), (SCRATCH, "smae")] {
        let [whole, parts] = [(); 2].map(|()| masked(base, loss));
        cook(whole.path(), 0).unwrap();
        for stop_at in [4, 13, 26] {
            cook(parts.path(), stop_at).unwrap_err();
        }
        cook(parts.path(), 0).unwrap();
        assert_eq!(log(whole.path()), log(parts.path()), "{loss}");
        let weights = |folder: &Path| std::fs::read(folder.join("new/model.safetensors")).unwrap();
        assert!(weights(whole.path()) == weights(parts.path()), "the same weights");
        let losses = losses(whole.path());
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        // 24 steps of masked texts: eight words and some numbers out of about 100 tokens.
        let (first, last) = (mean(&losses[..3]), mean(&losses[18..24]));
        assert!(last < first - 0.5, "{loss}: {first} to {last}");
        let model = Model::load(whole.path().join("new").to_str().unwrap()).unwrap();
        assert_eq!((model.layers(), model.dims()), (2, 32));
    }
}

#[test]
fn a_base_of_random_weights_has_the_vocabulary_of_the_data_or_of_a_tokenizer() {
    let learned = masked(SCRATCH, "mlm(share=0.3)");
    cook(learned.path(), 0).unwrap();
    let out = learned.path().join("new");
    let model = Model::load(out.to_str().unwrap()).unwrap();
    let ids = model.token_ids(&["the quick dog"], &Options::default()).unwrap();
    assert_eq!(ids[0].len(), 5, "each word is a token: {ids:?}");
    let config = std::fs::read_to_string(out.join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert!(config["vocab_size"].as_u64().unwrap() <= 90, "{config}");
    let card = std::fs::read_to_string(out.join("README.md")).unwrap();
    assert!(card.contains("random weights (2x32)"), "{card}");
    let bert = kokeshi_testing::workspace().join("crates/make/encode/tests/fixtures/small/bases/bert");
    let table = format!(
        "{{ layers = 2, hidden = 32, heads = 2, pooling = \"first\", tokenizer = \"{}\" }}",
        bert.display()
    );
    let taken = masked(&table, "mlm");
    cook(taken.path(), 0).unwrap();
    let made = kokeshi_encode::Trainable::load(taken.path().join("new").to_str().unwrap()).unwrap();
    assert_eq!((made.shape.vocabulary, made.shape.heads), (114, 2));
    assert_eq!(made.pooling, kokeshi_encode::TrainPooling::First);
    let dry = estimate(&Recipe::read(&learned.path().join("recipe.toml")).unwrap()).unwrap();
    assert_eq!((dry.rows, dry.steps), (96, 30));
    let table = SCRATCH.replace("90", "32");
    let error = cook(masked(&table, "mlm").path(), 0).unwrap_err().to_string();
    assert!(
        error.contains("vocabulary") && error.contains("found 32"),
        "{error}"
    );
}

/// A base of random weights that makes its words of bytes.
const BYTES: &str = "{ layers = 2, hidden = 32, heads = 4, byte_heads = 2, longest = 24, input = \"bytes\" }";

fn of_bytes(change: impl Fn(String) -> String) -> tempfile::TempDir {
    kitchen(|text| {
        let (_, rest) = text.split_once('\n').unwrap();
        change(format!("base = {BYTES}\n{rest}"))
    })
}

#[test]
fn words_are_made_of_bytes_learnt_and_an_interrupted_run_goes_on_to_the_bit() {
    let long = |text: String| text.replace("1e-3", "1e-2").replace("steps = 12", "steps = 48");
    let [whole, parts] = [(); 2].map(|()| of_bytes(long));
    let outcome = cook(whole.path(), 0).unwrap();
    for stop_at in [2, 5, 25, 47] {
        cook(parts.path(), stop_at).unwrap_err();
    }
    cook(parts.path(), 0).unwrap();
    assert_eq!(log(whole.path()), log(parts.path()));
    let weights = |folder: &Path| std::fs::read(folder.join("new/model.safetensors")).unwrap();
    assert!(weights(whole.path()) == weights(parts.path()), "the same weights");
    assert_ne!(outcome.before, outcome.after);
    let losses = losses(whole.path());
    // Pairs and scored pairs take turns, and the former have the larger loss.
    let most = |losses: &[f64]| losses.iter().copied().fold(0.0, f64::max);
    assert!(most(&losses[42..]) < 0.8 * most(&losses[..6]), "{losses:?}");
    // Every tensor of the layer has moved, and the directory is that of an encoder without a vocabulary.
    let out = whole.path().join("new");
    let load = |path: &Path| kokeshi_encode::Trainable::load(path.to_str().unwrap()).unwrap();
    let trained = load(&out);
    let begun = {
        let folder = of_bytes(|text| {
            text.replace("rate = 1e-3", "rate = 1e-30")
                .replace("steps = 12", "steps = 1")
        });
        cook(folder.path(), 0).unwrap();
        load(&folder.path().join("new"))
    };
    let byte_words: Vec<_> = trained
        .tensors
        .iter()
        .filter(|place| place.name.contains("byte_words"))
        .collect();
    assert_eq!(byte_words.len(), 11);
    for place in byte_words {
        let range = place.start..place.start + place.len();
        assert!(
            trained.values[range.clone()] != begun.values[range],
            "{}",
            place.name
        );
    }
    assert!(!out.join("tokenizer.json").exists());
    let model = Model::load(out.to_str().unwrap()).unwrap();
    let found = model
        .encode(
            &["the quikc dog", "The QUIKC dog", "\u{1f9ff}"],
            &Options::default(),
        )
        .unwrap();
    assert_eq!(found.row(0), found.row(1));
    assert!(found.as_slice().iter().all(|value| value.is_finite()));
    let recipe = Recipe::read(&whole.path().join("recipe.toml")).unwrap();
    let dry = estimate(&recipe).unwrap();
    assert_eq!(
        (dry.parameters, dry.learning),
        (trained.values.len(), trained.values.len())
    );
    let card = std::fs::read_to_string(out.join("README.md")).unwrap();
    assert!(!card.contains("sentence-transformers"), "{card}");

    // It is a base like others, also for adapters, which leave the layer as it is.
    let text = recipe
        .text
        .replacen(BYTES, "\"new\"", 1)
        .replacen("out = \"new\"", "out = \"newer\"", 1);
    let lora = "[lora]\nrank = 4\ntargets = [\"query\", \"dense\"]\n\n[evaluation]";
    let text = text.replace("ema = 0.5\n", "").replace("[evaluation]", lora);
    std::fs::write(whole.path().join("recipe.toml"), text).unwrap();
    cook(whole.path(), 0).unwrap();
    let newer = load(&whole.path().join("newer"));
    for place in &trained.tensors {
        let range = place.start..place.start + place.len();
        let same = trained.values[range.clone()] == newer.values[range];
        let adapted = place.shape.len() == 2 && ["query", "dense"].iter().any(|end| place.name.contains(end));
        assert_eq!(
            same,
            !adapted || place.name.contains("byte_words"),
            "{}",
            place.name
        );
    }
}

#[test]
fn what_words_of_bytes_can_not_have_is_named() {
    for (from, to, parts) in [
        (
            "longest = 24",
            "vocabulary = 90",
            ["line 1", "vocabulary", "without input"],
        ),
        (
            "longest = 24",
            "tokenizer = \"x\"",
            ["line 1", "tokenizer", "without input"],
        ),
        (
            "byte_heads = 2",
            "byte_heads = 5",
            ["line 1", "byte_heads (5)", "found 32"],
        ),
        (
            "byte_heads = 2",
            "byte_heads = 0",
            ["line 1", "byte_heads", "found 0"],
        ),
        (", input = \"bytes\"", "", ["line 1", "byte_heads", "alone"]),
        ("\"bytes\"", "\"letters\"", ["line 1", "letters", "bytes"]),
    ] {
        let folder = of_bytes(|text| text.replacen(from, to, 1));
        let error = cook(folder.path(), 0).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
    let folder = masked(BYTES, "mlm");
    let error = cook(folder.path(), 0).unwrap_err().to_string();
    assert!(
        error.contains("loss") && error.contains("words of bytes"),
        "{error}"
    );
    assert!(
        !folder.path().join("new").exists(),
        "what was made is left behind"
    );
}

fn adapted(dropout: f32) -> tempfile::TempDir {
    kitchen(|text| {
        let lora = format!(
            "[lora]\nrank = 4\nalpha = 8\ntargets = [\"query\", \"dense\"]\ndropout = {dropout}\n\n[evaluation]"
        );
        text.replace("ema = 0.5\n", "").replace("[evaluation]", &lora)
    })
}

#[test]
fn an_adapter_learns_alone_goes_on_to_the_bit_and_is_merged_again() {
    let [whole, parts] = [(); 2].map(|()| adapted(0.25));
    cook(whole.path(), 0).unwrap();
    for stop_at in [2, 5, 11] {
        cook(parts.path(), stop_at).unwrap_err();
    }
    cook(parts.path(), 0).unwrap();
    assert_eq!(log(whole.path()), log(parts.path()));
    let files = ["new/model.safetensors", "new/adapter/adapter_model.safetensors"];
    for file in files {
        let bytes = |folder: &Path| std::fs::read(folder.join(file)).unwrap();
        assert!(bytes(whole.path()) == bytes(parts.path()), "{file}");
    }
    let plain = adapted(0.0);
    cook(plain.path(), 0).unwrap();
    assert_ne!(log(whole.path()), log(plain.path()));
    let recipe = Recipe::read(&whole.path().join("recipe.toml")).unwrap();
    let config = std::fs::read_to_string(recipe.out.join("adapter/adapter_config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["lora_dropout"], 0.25);
    let (base, out) = (recipe.base.to_string(), whole.path().join("merged"));
    merge_adapter(&base, &recipe.out.join("adapter"), &out).unwrap();
    let load = |path: &Path| kokeshi_encode::Trainable::load(path.to_str().unwrap()).unwrap();
    let (plain, trained, merged) = (load(Path::new(&base)), load(&recipe.out), load(&out));
    let mut moved = 0;
    for place in &plain.tensors {
        let range = place.start..place.start + place.len();
        let adapted = place.shape.len() == 2
            && place.name.contains("layer.")
            && (place.name.contains("query") || place.name.contains("dense"));
        let same = plain.values[range.clone()] == trained.values[range.clone()];
        assert_eq!(same, !adapted, "{}", place.name);
        moved += usize::from(!same);
        for at in range {
            let difference = (trained.values[at] - merged.values[at]).abs();
            assert!(difference <= 1e-6, "{}: {difference}", place.name);
        }
    }
    assert_eq!(moved, 8);
    let dry = estimate(&recipe).unwrap();
    // Rank 4: query 32 to 32, attention's output the same, 32 to 48 and back, in two layers.
    assert_eq!(dry.learning, 2 * 4 * (64 + 64 + 80 + 80));
    assert!(dry.learning < dry.parameters);
}

#[test]
fn an_adapter_that_does_not_fit_is_an_error_with_what_was_found() {
    let folder = adapted(0.0);
    cook(folder.path(), 0).unwrap();
    let recipe = Recipe::read(&folder.path().join("recipe.toml")).unwrap();
    let (base, adapter, out) = (
        recipe.base.to_string(),
        recipe.out.join("adapter"),
        folder.path().join("merged"),
    );
    let path = adapter.join("adapter_config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to, expected) in [
        (
            "\"use_dora\": false",
            "\"use_dora\": true",
            "use_dora: expected none",
        ),
        ("\"LORA\"", "\"IA3\"", "peft_type: expected \"LORA\""),
        ("\"r\": 4", "\"r\": 0", "r: expected a number above 0"),
        ("{", "", "not JSON"),
    ] {
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let error = merge_adapter(&base, &adapter, &out).unwrap_err().to_string();
        assert!(error.contains(expected), "{to}: {error}");
    }
    std::fs::write(&path, text).unwrap();
    let other = kokeshi_testing::workspace().join("crates/make/encode/tests/fixtures/small/bases/distilbert");
    let error = merge_adapter(other.to_str().unwrap(), &adapter, &out).unwrap_err();
    assert!(error.to_string().contains("adapter_model.safetensors"), "{error}");
}

#[test]
fn a_distillation_is_a_recipe_too() {
    let folder = kitchen(|text| {
        let base = text.lines().next().unwrap().to_string();
        format!(
            "{base}\nout = \"new\"\n\n[[data]]\npath = \"long.tsv\"\nkind = \"texts\"\ncolumns = [\"text\"]\n\n\
             [distill]\ndims = 16\nprefixes = [8, 16]\nepochs = 1\nbatch = 8\nbags = 20\n"
        )
    });
    let sentence = |at: usize| {
        let words: Vec<&str> = (0..9).map(|place| WORDS[(at + place * place) % 8]).collect();
        words.join(" ") + "\n"
    };
    let texts: String = (0..48).map(sentence).collect();
    std::fs::write(folder.path().join("long.tsv"), format!("text\n{texts}")).unwrap();
    let AnyRecipe::Distill(recipe) = AnyRecipe::read(&folder.path().join("recipe.toml")).unwrap() else {
        panic!("expected a distillation")
    };
    recipe.run(&kokeshi_core::Silent).unwrap();
    let model = Model::load(folder.path().join("new").to_str().unwrap()).unwrap();
    assert_eq!(model.dims(), 16);
    assert_eq!(model.sizes().len(), 2);
    assert_eq!(
        model
            .encode(&["the quick dog"], &Options::default())
            .unwrap()
            .rows(),
        1
    );
}

#[test]
fn a_checkpoint_of_another_recipe_is_refused() {
    let folder = kitchen(|text| text);
    cook(folder.path(), 5).unwrap_err();
    let path = folder.path().join("recipe.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("rate = 1e-3", "rate = 1e-4")).unwrap();
    let error = cook(folder.path(), 0).unwrap_err().to_string();
    assert!(
        error.contains("checkpoint.bin") && error.contains("another recipe"),
        "{error}"
    );
}

#[test]
fn a_bad_row_is_named_with_file_and_line_or_skipped_if_the_recipe_says_so() {
    let spoil = |folder: &tempfile::TempDir| {
        let path = folder.path().join("scored.tsv");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text.replacen("\n3\t", "\nthree\t", 1)).unwrap();
    };
    let folder = kitchen(|text| {
        text.replace("evaluation", "train_")
            .split("[train_]")
            .next()
            .unwrap()
            .into()
    });
    spoil(&folder);
    let error = cook(folder.path(), 0).unwrap_err().to_string();
    assert!(
        error.contains("scored.tsv:5") && error.contains("three"),
        "{error}"
    );
    let folder = kitchen(|text| {
        let text = text.replace("scale = 5.0", "scale = 5.0\nmost_bad = 1");
        text.split("[evaluation]").next().unwrap().into()
    });
    spoil(&folder);
    cook(folder.path(), 0).unwrap();
}

#[test]
fn a_loss_that_is_no_number_stops_with_the_batch_and_the_checkpoint_named() {
    let folder = kitchen(|text| text.split("[evaluation]").next().unwrap().into());
    // A base whose vector of one token overflows as soon as it is squared.
    let recipe = Recipe::read(&folder.path().join("recipe.toml")).unwrap();
    let name = recipe.base.to_string();
    let base = kokeshi_encode::Trainable::load(&name).unwrap();
    let model = Model::load(&name).unwrap();
    let token = model.token_ids(&["fox"], &Options::default()).unwrap()[0][1] as usize;
    let mut values = base.values.clone();
    values[token * 32..][..32].fill(3e38);
    values[token * 32] = -3e38;
    let broken = folder.path().join("broken");
    std::fs::create_dir(&broken).unwrap();
    for file in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(Path::new(&name).join(file), broken.join(file)).unwrap();
    }
    std::fs::write(
        broken.join("model.safetensors"),
        base.safetensors(&values).unwrap(),
    )
    .unwrap();
    let text = recipe
        .text
        .replace(&name, "broken")
        .replace("checkpoint = 3", "checkpoint = 1");
    std::fs::write(folder.path().join("recipe.toml"), text).unwrap();
    match cook(folder.path(), 0) {
        Err(Error::NotFinite { batch, .. }) => {
            assert!(batch.contains(".tsv:") && batch.contains("more rows"), "{batch}")
        }
        other => panic!("{other:?}"),
    }
}

/// The recipe with pairs under another loss, and nothing else.
fn with_loss(loss: &str) -> tempfile::TempDir {
    kitchen(|text| {
        let base = text
            .lines()
            .next()
            .unwrap()
            .replace("base = ", "")
            .replace('"', "");
        let (head, rest) = text.split_once("[[data]]\npath = \"scored.tsv\"").unwrap();
        let (_, train) = rest.split_once("[train]").unwrap();
        let loss = loss.replace("BASE", &base);
        format!("{head}[train]{train}").replace("starbucks(ranking)", &loss)
    })
}

#[test]
fn guides_and_teachers_are_models_that_are_read_once() {
    let mut found = Vec::new();
    for loss in [
        "ranking",
        "gist(guide=BASE, temperature=0.05)",
        "starbucks(gist(guide=BASE, relative_margin=0.05))",
        "matryoshka(embedding_mse(teacher=BASE))",
    ] {
        let folder = with_loss(loss);
        let outcome = cook(folder.path(), 0).unwrap();
        assert_eq!(outcome.steps, 12);
        found.push(log(folder.path()));
    }
    assert_ne!(found[0], found[1]);
    // The student begins as its own teacher: nothing to learn but what dropout does.
    let folder = with_loss("embedding_mse(teacher=BASE)");
    let recipe = folder.path().join("recipe.toml");
    let text = std::fs::read_to_string(&recipe).unwrap();
    std::fs::write(&recipe, text.replace("[train]", "[train]\ndropout = 0.0")).unwrap();
    cook(folder.path(), 0).unwrap();
    let first: serde_json::Value = serde_json::from_str(log(folder.path()).lines().next().unwrap()).unwrap();
    assert!(first["loss"].as_f64().unwrap() < 1e-9, "{first}");
}

#[test]
fn margins_of_a_teacher_are_learnt_from_triplets() {
    let folder = with_loss("margin_mse(teacher=BASE)");
    let error = cook(folder.path(), 0).unwrap_err().to_string();
    assert!(error.contains("takes triplets"), "{error}");
    let pairs = std::fs::read_to_string(folder.path().join("pairs.tsv")).unwrap();
    let triplets: String = pairs
        .lines()
        .enumerate()
        .map(|(at, line)| match at {
            0 => format!("{line}\tnegative\n"),
            at => format!("{line}\tthe lazy {}\n", WORDS[at % 8]),
        })
        .collect();
    std::fs::write(folder.path().join("pairs.tsv"), triplets).unwrap();
    let recipe = folder.path().join("recipe.toml");
    let text = std::fs::read_to_string(&recipe).unwrap();
    std::fs::write(&recipe, text.replace("kind = \"pairs\"", "kind = \"triplets\"")).unwrap();
    cook(folder.path(), 0).unwrap();
    let last: serde_json::Value = serde_json::from_str(log(folder.path()).lines().last().unwrap()).unwrap();
    assert!(last["loss"].as_f64().unwrap().is_finite());
}

#[test]
fn a_dry_run_counts_and_writes_nothing() {
    let folder = kitchen(|text| text);
    let recipe = Recipe::read(&folder.path().join("recipe.toml")).unwrap();
    let found = estimate(&recipe).unwrap();
    assert_eq!((found.rows, found.steps), (96, 12));
    assert!(found.bytes > 100_000 && found.seconds > 0.0);
    assert!(!folder.path().join("new").exists());
}

#[test]
fn merged_models_are_averages_and_load() {
    let folder = kitchen(|text| text);
    cook(folder.path(), 0).unwrap();
    let base = kokeshi_testing::workspace().join("crates/make/encode/tests/fixtures/small/bases/bert");
    let models = [
        base.display().to_string(),
        folder.path().join("new").display().to_string(),
    ];
    for (name, method) in [
        ("soup", Merge::Average(vec![1.0, 0.0])),
        ("arc", Merge::Slerp(0.0)),
    ] {
        let out = folder.path().join(name);
        merge(&models, &method, &out).unwrap();
        // All of it from the first: its vectors.
        let vectors = |path: &Path| {
            Model::load(path.to_str().unwrap())
                .unwrap()
                .encode(&["the fox"], &Options::default())
                .unwrap()
        };
        let (found, expected) = (vectors(&out), vectors(&base));
        for (found, expected) in found.row(0).iter().zip(expected.row(0)) {
            assert!((found - expected).abs() < 1e-5);
        }
    }
    let error = merge(&models, &Merge::Average(vec![1.0, -1.0]), folder.path())
        .unwrap_err()
        .to_string();
    assert!(error.contains("sum other than 0"), "{error}");
}
