//! The catalogue is complete, and a state can only be earned.

use std::collections::BTreeSet;

use kokeshi_reproduce::{Bar, Claim, Context, Error, Record, State, paper, papers, reproduce, reproductions};

const COMMANDS: [&str; 18] = [
    "index",
    "search",
    "embed",
    "serve",
    "eval",
    "train",
    "distill",
    "shrink",
    "bridge",
    "plan",
    "probe",
    "vocab",
    "graph",
    "table",
    "papers",
    "reproduce",
    "daily",
    "info",
];

const CLAIMS: &[Claim] = &[
    Claim {
        name: "quality",
        claim: "as good at half the size",
        bar: Bar::AtLeast(0.5),
    },
    Claim {
        name: "loss",
        claim: "loses little",
        bar: Bar::Between(0.0, 0.1),
    },
];

fn record(quality: f64, loss: f64) -> Record {
    Record::new("mrl", vec![CLAIMS[0].measured(quality), CLAIMS[1].measured(loss)])
}

#[test]
fn there_are_76_papers_each_with_its_own_id_and_a_command() {
    let papers = papers();
    assert_eq!(papers.len(), 76);
    let distinct =
        |of: &dyn Fn(usize) -> &'static str| (0..papers.len()).map(of).collect::<BTreeSet<_>>().len();
    assert_eq!(distinct(&|at| papers[at].id), 76);
    assert_eq!(distinct(&|at| papers[at].title), 76);
    assert_eq!(distinct(&|at| papers[at].arxiv.unwrap_or(papers[at].id)), 76);
    for paper in papers {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        assert!(paper.id.bytes().all(plain), "{}", paper.id);
        let command = paper.command.strip_prefix("kokeshi ").unwrap();
        assert!(COMMANDS.contains(&command), "{command}");
        if let Some(arxiv) = paper.arxiv {
            let (month, number) = arxiv.split_once('.').unwrap();
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            assert!(
                month.len() == 4 && digits(month) && (1..=12).contains(&month[2..].parse::<u32>().unwrap()),
                "{arxiv}"
            );
            // Five digits since 2015.
            assert!(
                digits(number) && number.len() == if month < "1501" { 4 } else { 5 },
                "{arxiv}"
            );
        }
    }
}

#[test]
fn a_paper_serialises_as_an_object_of_six_fields() {
    let json = serde_json::to_value(paper("starbucks").unwrap()).unwrap();
    let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["arxiv", "command", "id", "state", "title", "verb"]);
    assert_eq!(
        (json["arxiv"].as_str(), json["verb"].as_str()),
        (Some("2410.13230"), Some("make"))
    );
    assert!(["works", "partly", "not yet"].contains(&json["state"].as_str().unwrap()));
}

#[test]
fn every_reproduction_is_of_a_paper_and_has_distinct_claims() {
    for reproduction in reproductions() {
        assert!(paper(reproduction.id()).is_some(), "{}", reproduction.id());
        let names: BTreeSet<&str> = reproduction.claims().iter().map(|claim| claim.name).collect();
        assert!(
            !names.is_empty() && names.len() == reproduction.claims().len(),
            "{}",
            reproduction.id()
        );
    }
}

#[test]
fn a_paper_without_reproduction_is_not_yet_reproduced() {
    for paper in papers() {
        if reproductions()
            .iter()
            .all(|reproduction| reproduction.id() != paper.id)
        {
            assert_eq!(paper.state, State::NotYet, "{}", paper.id);
        }
    }
}

#[test]
fn a_state_follows_from_the_figures() {
    assert_eq!(record(0.5, 0.1).state("mrl", CLAIMS), State::Works);
    assert_eq!(record(0.6, 0.2).state("mrl", CLAIMS), State::Partly);
    assert_eq!(record(0.4, 0.2).state("mrl", CLAIMS), State::NotYet);
    assert_eq!(
        record(f64::NAN, f64::INFINITY).state("mrl", CLAIMS),
        State::NotYet
    );
}

#[test]
fn a_record_that_was_typed_in_earns_nothing() {
    let good = record(0.6, 0.05);
    let mut claimed = record(0.4, 0.05);
    claimed.checks[0].pass = true;
    let mut lowered = record(0.4, 0.05);
    lowered.checks[0].bar = Bar::AtLeast(0.3);
    lowered.checks[0].pass = true;
    let mut renamed = good.clone();
    renamed.checks[1].name = "other".into();
    let mut shorter = good.clone();
    shorter.checks.pop();
    for wrong in [claimed, lowered, renamed, shorter] {
        assert_eq!(wrong.state("mrl", CLAIMS), State::NotYet, "{wrong:?}");
    }
    assert_eq!(good.state("2dmse", CLAIMS), State::NotYet);
    assert_eq!(good.state("mrl", &[]), State::NotYet);
}

#[test]
fn a_record_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let record = record(0.6, f64::NAN);
    let path = record.write(folder.path()).unwrap();
    assert_eq!(path, folder.path().join("mrl.json"));
    let read: Record = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(read, record);
}

#[test]
fn what_can_not_be_reproduced_says_why() {
    let context = Context {
        data: "data".into(),
        models: "models".into(),
        seed: 1,
    };
    assert!(matches!(
        reproduce("no-such-paper", &context),
        Err(Error::Unknown(_))
    ));
    for paper in papers() {
        if reproductions()
            .iter()
            .all(|reproduction| reproduction.id() != paper.id)
        {
            assert!(matches!(reproduce(paper.id, &context), Err(Error::NotYet(_))));
        }
    }
}

#[test]
#[ignore = "needs ../shared/data, and the paper notes beside it"]
fn every_paper_of_the_notes_is_in_the_catalogue() {
    let known: BTreeSet<&str> = papers().iter().filter_map(|paper| paper.arxiv).collect();
    let notes = kokeshi_testing::data("stsb").join("../../papers");
    let mut found = BTreeSet::new();
    for file in std::fs::read_dir(notes).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        // After this heading come methods that every paper uses, not papers of the list.
        let papers = text.split("\n# Building blocks").next().unwrap();
        for section in papers
            .split("\n## ")
            .skip(1)
            .filter(|section| !section.contains("Not in the paper list"))
        {
            // The paper's own id comes first, a companion's after it.
            let heading = section.lines().next().unwrap();
            let ids = heading.split(|c: char| !(c.is_ascii_digit() || c == '.'));
            found.extend(
                ids.filter(|id| id.len() == 10 && id.as_bytes()[4] == b'.')
                    .take(1)
                    .map(str::to_owned),
            );
        }
    }
    let known: BTreeSet<String> = known.into_iter().map(str::to_owned).collect();
    assert_eq!(found, known);
}
