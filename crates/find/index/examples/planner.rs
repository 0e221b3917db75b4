//! Prints recall@10 and processor time by kind of filter and selectivity: of what the planner chose at one setting, and of each single plan, to see
//! that it chose well: `cargo run --release -p kokeshi-index --example planner -- VECTORS.npy QUERIES.npy [--recall 0.95] [--queries 200] [--runs 3]`,
//! of one kind or share alone with `--kind against --share 0.05`.
//!
//! Filters: `equality` (a random label), `set` (rows near one of a few rows, as topics are), `range` (a window of the largest direction), `conjunction`
//! (a range and a label) and `against` (rows that are far from the query, a different filter for each query).

mod clock;

use std::path::Path;

use kokeshi_core::{Bitmap, Embeddings, Metric, Seed, Silent, distance, npy};
use kokeshi_index::{Effort, Graph, GraphConfig, GraphIndex, Plan, Vectors};

type Error = Box<dyn std::error::Error + Send + Sync>;

const K: usize = 10;
const SHARES: [f64; 9] = [1.0, 0.5, 0.2, 0.1, 0.05, 0.01, 0.005, 0.001, 0.0001];
const KINDS: [&str; 5] = ["equality", "set", "range", "conjunction", "against"];
const PLANS: [(Plan, &str); 3] = [
    (Plan::Scan, "scan"),
    (Plan::Codes, "codes"),
    (Plan::GraphFiltered, "walk"),
];
/// A plan that takes so many times as long as the fastest is not timed again.
const HOPELESS: f64 = 4.0;
/// Topics of the filter `set`.
const TOPICS: usize = 4;

fn main() -> Result<(), Error> {
    let (mut files, mut recall, mut count, mut runs) = (Vec::new(), 0.0, 200, 3);
    let (mut kinds, mut shares) = (KINDS.map(String::from).to_vec(), SHARES.to_vec());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--recall" => recall = value()?.parse()?,
            "--queries" => count = value()?.parse()?,
            "--runs" => runs = value()?.parse()?,
            "--kind" => kinds = vec![value()?],
            "--share" => shares = vec![value()?.parse()?],
            _ => files.push(argument),
        }
    }
    let [rows, queries] = &files[..] else {
        return Err("usage: planner VECTORS.npy QUERIES.npy".into());
    };
    if let Some(kind) = kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
        return Err(format!("expected one of {KINDS:?}, found {kind}").into());
    }
    if let Some(share) = shares.iter().find(|share| !(**share > 0.0 && **share <= 1.0)) {
        return Err(format!("expected a share above 0 up to 1, found {share}").into());
    }
    let (rows, queries) = (npy::open(Path::new(rows))?, npy::open(Path::new(queries))?);
    let queries: Vec<&[f32]> = queries.iter().take(count).collect();
    let effort = if recall > 0.0 {
        Effort::Recall(recall)
    } else {
        Effort::Default
    };
    let vectors = Vectors::from(rows.clone());
    let graph = Graph::build(&vectors, Metric::Cosine, GraphConfig::default(), &Silent)?;
    println!(
        "{} rows, {} queries, {effort:?}: list {:?}",
        rows.rows(),
        queries.len(),
        if recall > 0.0 {
            graph.list_for_recall(recall)
        } else {
            graph.default_list()
        }
    );
    let index = GraphIndex::new(graph, vectors)?;
    // One thread, as the peers have.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    pool.install(|| measure(&index, &rows, &queries, effort, runs, (&kinds, &shares)))
}

fn measure(
    index: &GraphIndex,
    rows: &Embeddings,
    queries: &[&[f32]],
    effort: Effort,
    runs: usize,
    (kinds, shares): (&[String], &[f64]),
) -> Result<(), Error> {
    println!(
        "| filter | share | recall | us | chose | beside best | scan us | codes us, recall | walk us, recall |"
    );
    println!("|---|---:|---:|---:|---|---:|---:|---:|---:|");
    let mut worst = (0.0f64, String::new());
    let mut least = (1.0f64, String::new());
    for kind in kinds {
        for &share in shares {
            let filters = filters(kind, share, rows, queries);
            let exact: Vec<f32> = queries
                .iter()
                .zip(&filters)
                .map(|(query, filter)| tenth(index, query, filter))
                .collect::<Result<_, _>>()?;
            let mut ways: Vec<Way> = std::iter::once(None)
                .chain(PLANS.map(|plan| Some(plan.0)))
                .map(|plan| Way {
                    plan,
                    micros: Vec::new(),
                    recall: 0.0,
                    chosen: Vec::new(),
                })
                .collect();
            for _ in 0..runs {
                let fastest = ways.iter().map(Way::median).fold(f64::INFINITY, f64::min);
                // What is hopeless is run once.
                for way in ways
                    .iter_mut()
                    .filter(|way| way.micros.is_empty() || way.median() < HOPELESS * fastest)
                {
                    way.run(index, queries, &filters, &exact, effort)?;
                }
            }
            let [ours, single @ ..] = &ways[..] else { continue };
            let best = single
                .iter()
                .filter(|way| way.recall >= 0.95)
                .map(Way::median)
                .fold(f64::INFINITY, f64::min);
            let beside = ours.median() / best;
            print!(
                "| {kind} | {} % | {:.4} | {:.1} | {} | {beside:.2} |",
                share * 100.0,
                ours.recall,
                ours.median(),
                ours.choices()
            );
            for way in single {
                if way.plan == Some(Plan::Scan) {
                    print!(" {:.1} |", way.median());
                } else {
                    print!(" {:.1}, {:.3} |", way.median(), way.recall);
                }
            }
            println!();
            let name = format!("{kind} at {} %", share * 100.0);
            if beside > worst.0 {
                worst = (beside, name.clone());
            }
            if ours.recall < least.0 {
                least = (ours.recall, name);
            }
        }
    }
    println!(
        "least recall {:.4} ({}), at most {:.2}x the best single plan that reaches 0.95 ({})",
        least.0, least.1, worst.0, worst.1
    );
    Ok(())
}

/// A plan, or what the planner takes, and how it did.
struct Way {
    plan: Option<Plan>,
    micros: Vec<f64>,
    recall: f64,
    chosen: Vec<Plan>,
}

impl Way {
    fn run(
        &mut self,
        index: &GraphIndex,
        queries: &[&[f32]],
        filters: &[Bitmap],
        exact: &[f32],
        effort: Effort,
    ) -> Result<(), Error> {
        // A plan that is asked for exactly costs nothing else.
        let (effort, plan) = match self.plan {
            Some(Plan::Scan) => (Effort::Exact, None),
            plan => (effort, plan),
        };
        let (mut right, mut all) = (0, 0);
        self.chosen.clear();
        let mut found = Vec::with_capacity(queries.len());
        // The first pass, without a clock, brings this plan's memory into the caches.
        let (mut started, mut passes) = (f64::INFINITY, 0);
        let took = loop {
            found.clear();
            for (query, filter) in queries.iter().zip(filters) {
                found.push(index.search_by(query, K, effort, Some(filter), plan)?);
            }
            if started.is_infinite() {
                started = clock::seconds();
                continue;
            }
            passes += 1;
            let took = clock::seconds() - started;
            if took > 0.02 {
                break 1e6 * took / f64::from(passes);
            }
        };
        self.micros.push(took / queries.len() as f64);
        for ((found, exact), filter) in found.iter().zip(exact).zip(filters) {
            right += found.hits.iter().filter(|hit| hit.score >= exact - 1e-6).count();
            all += filter.count().min(K);
            self.chosen.push(found.cost.plan);
        }
        self.recall = right as f64 / all.max(1) as f64;
        Ok(())
    }

    fn median(&self) -> f64 {
        let mut sorted = self.micros.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::INFINITY)
    }

    fn choices(&self) -> String {
        let same = |a: Plan, b: Plan| a == b || (a, b) == (Plan::Graph, Plan::GraphFiltered);
        let share = |plan: Plan| self.chosen.iter().filter(|chosen| same(**chosen, plan)).count();
        let all = PLANS.map(|(plan, name)| (share(plan), name));
        let some: Vec<String> = all
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, name)| format!("{name} {}", 100 * count / self.chosen.len().max(1)))
            .collect();
        some.join(", ")
    }
}

/// The score of the last of the true best.
fn tenth(index: &GraphIndex, query: &[f32], filter: &Bitmap) -> Result<f32, Error> {
    let found = index.search_by(query, K, Effort::Exact, Some(filter), None)?;
    Ok(found.hits.last().map_or(f32::INFINITY, |hit| hit.score))
}

/// A filter for each query that about `share` of the rows pass.
fn filters(kind: &str, share: f64, rows: &Embeddings, queries: &[&[f32]]) -> Vec<Bitmap> {
    let mut seed = Seed(7);
    let n = rows.rows();
    let wanted = ((n as f64 * share).round() as usize).max(1);
    let take = |ids: &mut dyn Iterator<Item = u32>| {
        let mut ids: Vec<u32> = ids.collect();
        ids.sort_unstable();
        Bitmap::from_sorted(n, ids)
    };
    let mut random = |count: usize, among: usize| {
        let mut order: Vec<u32> = (0..among as u32).collect();
        seed.shuffle(&mut order);
        order.truncate(count);
        order
    };
    let nearest = |target: &[f32]| {
        let mut scores = vec![0.0; n];
        distance::dot_rows(target, rows.as_slice(), &mut scores);
        let mut order: Vec<u32> = (0..n as u32).collect();
        order.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
        order
    };
    match kind {
        "equality" => vec![take(&mut random(wanted, n).into_iter()); queries.len()],
        "set" => {
            let topics: Vec<Vec<u32>> = random(TOPICS, n)
                .iter()
                .map(|&id| nearest(rows.row(id as usize)))
                .collect();
            let mut set = Bitmap::empty(n);
            let mut rank = 0;
            while set.count() < wanted {
                set.insert(topics[rank % TOPICS][rank / TOPICS]);
                rank += 1;
            }
            vec![set; queries.len()]
        }
        "range" => {
            let along = nearest(rows.row(0));
            let start = (n - wanted) / 3;
            vec![take(&mut along[start..start + wanted].iter().copied()); queries.len()]
        }
        "conjunction" => {
            let along = nearest(rows.row(0));
            let window = ((n as f64 * share.sqrt()).round() as usize).max(wanted);
            let start = (n - window) / 3;
            let picked = random(wanted, window);
            vec![take(&mut picked.iter().map(|&at| along[start + at as usize])); queries.len()]
        }
        _ => queries
            .iter()
            .map(|query| {
                // The far half, or as much more as is needed.
                let far = wanted.max(n / 2);
                let order = nearest(query);
                take(&mut random(wanted, far).iter().map(|&at| order[n - 1 - at as usize]))
            })
            .collect(),
    }
}
