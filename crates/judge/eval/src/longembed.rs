//! Retrieval of long documents as LongEmbed (arXiv 2404.12096) measures it: a fact hidden in filler (passkey) or in other text (needle),
//! and real long documents. The generated tasks have no data: the same seed gives the same texts.

use kokeshi_core::{Embeddings, Seed, distance};

use crate::beir::{Beir, Document};
use crate::error::Result;
use crate::evaluation::{Missing, evaluate};
use crate::measure::Measure;
use crate::ranking::{Qrels, Run};

/// What stands around a passkey, over and over: the five sentences of the passkey test (arXiv 2305.16300).
const FILLER: [&str; 5] = [
    "The grass is green.",
    "The sky is blue.",
    "The sun is yellow.",
    "Here we go.",
    "There and back again.",
];
/// The hundred most frequent first names and surnames of the United States (Social Security Administration, 1924 to 2023; census of 2010).
const FIRST_NAMES: [&str; 100] = [
    "James",
    "Mary",
    "Robert",
    "Patricia",
    "John",
    "Jennifer",
    "Michael",
    "Linda",
    "David",
    "Elizabeth",
    "William",
    "Barbara",
    "Richard",
    "Susan",
    "Joseph",
    "Jessica",
    "Thomas",
    "Karen",
    "Christopher",
    "Sarah",
    "Charles",
    "Lisa",
    "Daniel",
    "Nancy",
    "Matthew",
    "Sandra",
    "Anthony",
    "Betty",
    "Mark",
    "Ashley",
    "Donald",
    "Emily",
    "Steven",
    "Kimberly",
    "Andrew",
    "Margaret",
    "Paul",
    "Donna",
    "Joshua",
    "Michelle",
    "Kenneth",
    "Carol",
    "Kevin",
    "Amanda",
    "Brian",
    "Melissa",
    "Timothy",
    "Deborah",
    "Ronald",
    "Stephanie",
    "George",
    "Rebecca",
    "Jason",
    "Sharon",
    "Edward",
    "Laura",
    "Jeffrey",
    "Cynthia",
    "Ryan",
    "Dorothy",
    "Jacob",
    "Amy",
    "Nicholas",
    "Kathleen",
    "Gary",
    "Angela",
    "Eric",
    "Shirley",
    "Jonathan",
    "Emma",
    "Stephen",
    "Brenda",
    "Larry",
    "Pamela",
    "Justin",
    "Nicole",
    "Scott",
    "Anna",
    "Brandon",
    "Samantha",
    "Benjamin",
    "Katherine",
    "Samuel",
    "Christine",
    "Gregory",
    "Debra",
    "Alexander",
    "Rachel",
    "Patrick",
    "Carolyn",
    "Frank",
    "Janet",
    "Raymond",
    "Maria",
    "Jack",
    "Olivia",
    "Dennis",
    "Heather",
    "Jerry",
    "Helen",
];
/// Surnames; see [`FIRST_NAMES`].
const LAST_NAMES: [&str; 100] = [
    "Smith",
    "Johnson",
    "Williams",
    "Brown",
    "Jones",
    "Garcia",
    "Miller",
    "Davis",
    "Rodriguez",
    "Martinez",
    "Hernandez",
    "Lopez",
    "Gonzalez",
    "Wilson",
    "Anderson",
    "Thomas",
    "Taylor",
    "Moore",
    "Jackson",
    "Martin",
    "Lee",
    "Perez",
    "Thompson",
    "White",
    "Harris",
    "Sanchez",
    "Clark",
    "Ramirez",
    "Lewis",
    "Robinson",
    "Walker",
    "Young",
    "Allen",
    "King",
    "Wright",
    "Scott",
    "Torres",
    "Nguyen",
    "Hill",
    "Flores",
    "Green",
    "Adams",
    "Nelson",
    "Baker",
    "Hall",
    "Rivera",
    "Campbell",
    "Mitchell",
    "Carter",
    "Roberts",
    "Gomez",
    "Phillips",
    "Evans",
    "Turner",
    "Diaz",
    "Parker",
    "Cruz",
    "Edwards",
    "Collins",
    "Reyes",
    "Stewart",
    "Morris",
    "Morales",
    "Murphy",
    "Cook",
    "Rogers",
    "Gutierrez",
    "Ortiz",
    "Morgan",
    "Cooper",
    "Peterson",
    "Bailey",
    "Reed",
    "Kelly",
    "Howard",
    "Ramos",
    "Kim",
    "Cox",
    "Ward",
    "Richardson",
    "Watson",
    "Brooks",
    "Chavez",
    "Wood",
    "James",
    "Bennett",
    "Gray",
    "Mendoza",
    "Ruiz",
    "Hughes",
    "Price",
    "Alvarez",
    "Castillo",
    "Sanders",
    "Patel",
    "Myers",
    "Long",
    "Ross",
    "Foster",
    "Jimenez",
];
const PLACES: &[&str] = &[
    "Amsterdam",
    "Bangkok",
    "Cairo",
    "Dublin",
    "Edinburgh",
    "Florence",
    "Geneva",
    "Helsinki",
    "Istanbul",
    "Jakarta",
    "Kyoto",
    "Lisbon",
    "Madrid",
    "Nairobi",
    "Oslo",
    "Prague",
    "Quito",
    "Rome",
    "Seoul",
    "Toronto",
    "Utrecht",
    "Vienna",
    "Warsaw",
    "Zurich",
];
const TIMES: &[&str] = &[
    "in spring",
    "in summer",
    "in autumn",
    "in winter",
    "at night",
    "on a rainy day",
];
const DEEDS: &[&str] = &[
    "eat a sandwich in the oldest park",
    "watch the boats from the stone bridge",
    "climb the tower behind the market",
    "listen to the organ in the small chapel",
    "rent a bicycle and follow the river",
    "buy plums from the women at the station",
    "sit by the fountain with a newspaper",
    "take the first tram to the last stop",
];

/// Documents, queries and what belongs together.
#[derive(Debug, Clone, Default)]
pub struct LongTask {
    /// The long documents.
    pub documents: Vec<Document>,
    /// What is asked.
    pub queries: Vec<Document>,
    /// Which document answers which query.
    pub qrels: Qrels,
}

impl LongTask {
    /// `documents` texts of about `tokens` tokens (4/3 of a word, as LongEmbed counts), each with the passkey of one person somewhere in
    /// filler; the first `queries` of them are asked for. Of the first hundred persons no two share a first name or a surname; there are 10,000 at most.
    pub fn passkey(tokens: usize, documents: usize, queries: usize, mut seed: Seed) -> Self {
        let filler = FILLER.map(str::to_owned);
        let (mut firsts, mut lasts) = (FIRST_NAMES, LAST_NAMES);
        seed.shuffle(&mut firsts);
        seed.shuffle(&mut lasts);
        let people = firsts.len() * lasts.len();
        Self::hidden(
            tokens,
            documents.min(people),
            queries,
            &filler,
            seed,
            |at, seed| {
                let (first, last) = (firsts[at % 100], lasts[(at + at / 100) % 100]);
                let key = 10_000 + seed.below(90_000);
                (
                    format!(
                        "{first} {last}'s pass key is {key}. Remember it. {key} is the pass key for {first} {last}."
                    ),
                    format!("what is the passkey for {first} {last}?"),
                )
            },
        )
    }

    /// The same with one odd fact about a place in sentences of `haystack`. At most 144 documents.
    pub fn needle(tokens: usize, documents: usize, queries: usize, haystack: &str, mut seed: Seed) -> Self {
        let lines = haystack.split(['\n', '.', '?', '!']).map(str::trim);
        let sentences: Vec<String> = lines
            .filter(|line| line.split_whitespace().nth(3).is_some())
            .map(|line| format!("{line}."))
            .collect();
        let mut subjects: Vec<(&str, &str)> = PLACES
            .iter()
            .flat_map(|place| TIMES.iter().map(|time| (*place, *time)))
            .collect();
        seed.shuffle(&mut subjects);
        let documents = documents.min(subjects.len());
        Self::hidden(tokens, documents, queries, &sentences, seed, |at, seed| {
            let (place, time) = subjects[at];
            let deed = DEEDS[seed.below(DEEDS.len())];
            (
                format!("The best thing to do in {place} {time} is to {deed}."),
                format!("What is the best thing to do in {place} {time}?"),
            )
        })
    }

    fn hidden(
        tokens: usize,
        documents: usize,
        queries: usize,
        sentences: &[String],
        mut seed: Seed,
        mut fact: impl FnMut(usize, &mut Seed) -> (String, String),
    ) -> Self {
        let mut task = Self::default();
        for number in 0..documents {
            let (fact, question) = fact(number, &mut seed);
            let room = (tokens * 3 / 4).saturating_sub(fact.split_whitespace().count());
            // Filler goes round from its start; other text begins anywhere.
            let start = if sentences.len() > FILLER.len() {
                seed.below(sentences.len())
            } else {
                0
            };
            let mut words = 0;
            let mut parts: Vec<&str> = sentences
                .iter()
                .cycle()
                .skip(start)
                .map(String::as_str)
                .take_while(|sentence| {
                    words += sentence.split_whitespace().count();
                    words <= room
                })
                .collect();
            parts.insert(seed.below(parts.len() + 1), &fact);
            let id = format!("d{number:03}");
            if number < queries {
                task.qrels.insert(&format!("q{number:03}"), &id, 1);
                task.queries.push(text(format!("q{number:03}"), question));
            }
            task.documents.push(text(id, parts.join(" ")));
        }
        task
    }

    /// The judged queries of a split of a BEIR directory, such as QMSum's.
    ///
    /// # Errors
    /// As [`Beir::qrels`] and [`Beir::documents`].
    pub fn from_beir(beir: &Beir, split: &str) -> Result<Self> {
        let qrels = beir.qrels(split)?;
        let mut queries = beir.queries()?;
        queries.retain(|query| qrels.judged(&query.id).is_some());
        Ok(Self {
            documents: beir.documents()?,
            queries,
            qrels,
        })
    }

    /// The mean of `measure` when each query is compared with every document by cosine. `encode` is given texts and whether they are
    /// questions.
    ///
    /// # Errors
    /// What `encode` returns.
    pub fn judge<E>(
        &self,
        measure: Measure,
        mut encode: impl FnMut(&[String], bool) -> Result<Embeddings, E>,
    ) -> Result<f64, E> {
        let joined = |documents: &[Document]| documents.iter().map(Document::joined).collect::<Vec<_>>();
        let documents = encode(&joined(&self.documents), false)?;
        let queries = encode(&joined(&self.queries), true)?;
        let mut run = Run::default();
        for (query, vector) in self.queries.iter().zip(queries.iter()) {
            run.insert_query(&query.id);
            for (document, other) in self.documents.iter().zip(documents.iter()) {
                run.insert(
                    &query.id,
                    &document.id,
                    f64::from(distance::cosine(vector, other)),
                );
            }
        }
        Ok(evaluate(&self.qrels, &run, &[measure], Missing::Zero).mean(0))
    }
}

fn text(id: String, text: String) -> Document {
    Document {
        id,
        title: String::new(),
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_texts_of_the_length_asked_for() {
        let task = LongTask::passkey(1024, 30, 20, Seed(1));
        assert_eq!((task.documents.len(), task.queries.len()), (30, 20));
        let again = LongTask::passkey(1024, 30, 20, Seed(1));
        assert_eq!(
            (&task.documents, &task.queries),
            (&again.documents, &again.queries)
        );
        assert_ne!(task.documents, LongTask::passkey(1024, 30, 20, Seed(2)).documents);
        for document in &task.documents {
            let words = document.text.split_whitespace().count();
            assert!((763..=768).contains(&words), "{words}");
        }
    }

    #[test]
    fn nobody_has_the_name_of_another() {
        let task = LongTask::passkey(32, 10_001, 10_001, Seed(5));
        let names: Vec<&str> = task
            .queries
            .iter()
            .map(|query| &query.text["what is the passkey for ".len()..])
            .collect();
        let different =
            |names: &mut dyn Iterator<Item = &str>| names.collect::<std::collections::HashSet<_>>().len();
        assert_eq!(
            (names.len(), different(&mut names.iter().copied())),
            (10_000, 10_000)
        );
        for part in [0, 1] {
            let mut parts = names[..100].iter().filter_map(|name| name.split(' ').nth(part));
            assert_eq!(different(&mut parts), 100);
        }
    }

    #[test]
    fn the_answer_to_a_query_is_only_in_its_document() {
        let hay = "We met on Monday to talk about the budget. Nobody had read the plan before. Is it too late to change it? ".repeat(9);
        for task in [
            LongTask::passkey(256, 20, 20, Seed(3)),
            LongTask::needle(256, 20, 20, &hay, Seed(3)),
        ] {
            for (at, query) in task.queries.iter().enumerate() {
                let (_, about) = query
                    .text
                    .trim_end_matches('?')
                    .split_once(" for ")
                    .or(query.text.trim_end_matches('?').split_once(" do in "))
                    .unwrap();
                let holding: Vec<usize> = (0..20)
                    .filter(|at| task.documents[*at].text.contains(about))
                    .collect();
                assert_eq!(holding, [at], "{about}");
            }
        }
    }

    #[test]
    fn vectors_that_know_the_answer_are_right_every_time_and_others_are_not() {
        let task = LongTask::passkey(256, 20, 10, Seed(4));
        let accuracy: Measure = "P@1".parse().unwrap();
        let one_hot = |texts: &[String], _: bool| {
            let place = |at: usize| (0..texts.len()).map(move |other| f32::from(u8::from(at == other)));
            let padded = |at: usize| place(at).chain(std::iter::repeat(0.0)).take(20);
            Embeddings::from_vec((0..texts.len()).flat_map(padded).collect(), 20)
        };
        assert_eq!(task.judge(accuracy, one_hot).unwrap(), 1.0);
        let same = |texts: &[String], _: bool| Embeddings::from_vec(vec![1.0; texts.len() * 4], 4);
        assert!(task.judge(accuracy, same).unwrap() <= 0.1);
    }
}
