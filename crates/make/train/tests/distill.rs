//! A whole distillation, small: what comes out is a model that loads, is the same for the same seed, and has learnt something.

use kokeshi_core::{Progress, progress::Silent};
use kokeshi_encode::{Model, Options};
use kokeshi_train::{DistillConfig, Error, Text, distill};

const SUBJECTS: [&str; 8] = [
    "protein",
    "galaxy",
    "parliament",
    "violin",
    "wheat",
    "neuron",
    "glacier",
    "compiler",
];
const DEEDS: [&str; 8] = [
    "grows",
    "collapses",
    "surprises everyone",
    "is measured",
    "changes colour",
    "moves slowly",
    "wins a prize",
    "needs repair",
];

fn texts() -> impl Iterator<Item = Text> {
    (0..256).map(|at| {
        let (subject, deed) = (SUBJECTS[at % 8], DEEDS[at / 8 % 8]);
        Text {
            title: format!("The {subject} {deed}"),
            body: format!(
                "Report {at} tells how a {subject} {deed}. Nobody had seen that a {subject} {deed} before."
            ),
        }
    })
}

fn config() -> DistillConfig {
    DistillConfig {
        dims: 64,
        prefixes: vec![16, 64],
        epochs: 2,
        batch: 32,
        spans: 400,
        bags: 200,
        ..DistillConfig::default()
    }
}

fn teacher() -> Model {
    Model::load(&kokeshi_testing::minilm().display().to_string()).unwrap()
}

#[test]
#[ignore = "needs the real model (scripts/fetch-model.sh)"]
fn a_student_is_a_model_directory_whose_vectors_tell_subjects_apart_at_every_prefix() {
    let student = distill(&teacher(), &mut texts(), &config(), &Silent).unwrap();
    let folder = tempfile::tempdir().unwrap();
    student.save(folder.path(), None).unwrap();
    let model = Model::load(&folder.path().display().to_string()).unwrap();
    assert_eq!(model.dims(), 64);
    for dims in [16, 64] {
        let options = Options {
            size: kokeshi_core::Size {
                dims: Some(dims),
                ..Default::default()
            },
            ..Options::default()
        };
        let vectors = model
            .encode(
                &["a galaxy collapses", "the galaxy moves", "wheat needs repair", ""],
                &options,
            )
            .unwrap();
        let cosine = |i: usize, j: usize| kokeshi_core::distance::dot(vectors.row(i), vectors.row(j));
        assert!((cosine(0, 0) - 1.0).abs() < 1e-5);
        assert!(
            cosine(0, 1) > cosine(0, 2) + 0.1,
            "at {dims} dims: {} {}",
            cosine(0, 1),
            cosine(0, 2)
        );
        assert_eq!(cosine(3, 3), 0.0);
    }
    let about = std::fs::read_to_string(folder.path().join("kokeshi.json")).unwrap();
    assert!(about.contains("\"prefixes\""), "{about}");
    assert!(student.compact().unwrap().len() < 30_000 * (64 + 4) + 300_000);
}

#[test]
#[ignore = "needs the real model (scripts/fetch-model.sh)"]
fn the_same_seed_gives_the_same_student() {
    let teacher = teacher();
    let config = DistillConfig {
        epochs: 1,
        ..config()
    };
    let run = || distill(&teacher, &mut texts(), &config, &Silent).unwrap();
    assert!(run().vectors() == run().vectors());
}

#[test]
#[ignore = "needs the real model (scripts/fetch-model.sh)"]
fn too_little_text_and_an_interruption_are_said() {
    struct Stop;
    impl Progress for Stop {
        fn start(&self, _: &str, _: Option<u64>, _: &str) {}
        fn advance(&self, _: u64) {}
        fn finish(&self) {}
        fn interrupted(&self) -> bool {
            true
        }
    }
    let teacher = teacher();
    let error = distill(&teacher, &mut texts().take(3), &config(), &Silent).unwrap_err();
    assert!(
        matches!(error, Error::TooLittleText { expected: 32, .. }),
        "{error}"
    );
    let error = distill(&teacher, &mut texts(), &config(), &Stop).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
}

#[test]
fn the_compiled_in_model_is_no_teacher() {
    let error = distill(&Model::compiled_in(), &mut texts(), &config(), &Silent).unwrap_err();
    assert!(error.to_string().contains("expected a transformer"), "{error}");
}
