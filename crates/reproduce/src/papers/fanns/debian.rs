//! All methods on the packages of Debian: sections, tags and installed sizes.

use std::path::Path;
use std::sync::Arc;

use kokeshi_bench::attributes::{Column, Kind, read};
use kokeshi_bench::questions::Questions;
use kokeshi_core::{Embeddings, Error, Result, Seed, npy};
use kokeshi_filtered::{
    Filter, LabelGraph, Labels, Method, PreFilter, RangeGraph, SerfConfig, Ung, UngConfig, VamanaConfig,
    names,
};

use super::serf::differing;
use super::set::{General, ask, ceiling, cost, range, share};

const ROWS: usize = 20_000;
const QUERIES: usize = 200;

pub(super) struct Debian {
    points: Arc<Embeddings>,
    queries: Arc<Embeddings>,
    sections: Arc<Labels>,
    tags: Labels,
    sizes: Vec<f64>,
    own_sections: Labels,
    own_tags: Labels,
    seed: Seed,
}

impl Debian {
    /// A random extract of the set.
    pub fn read(data: &Path, seed: u64) -> Result<Self> {
        let folder = data.join("debian");
        let vectors = folder.join("vectors.npy");
        if !vectors.is_file() {
            return Err(Error::file(
                vectors,
                "this set is made from the list of packages by bench/filtered/debian.py",
            ));
        }
        let all = npy::open(&vectors)?;
        let fields = [
            ("section", Kind::Category),
            ("tags", Kind::Set),
            ("installed_size", Kind::Number),
        ];
        let columns = read(&folder.join("attributes.jsonl"), &fields)?;
        let mut order: Vec<u32> = (0..all.rows() as u32).collect();
        let mut seed = Seed(seed);
        seed.shuffle(&mut order);
        if order.len() < ROWS + QUERIES {
            return Err(Error::file(
                vectors,
                format!("expected {} rows, found {}", ROWS + QUERIES, order.len()),
            ));
        }
        let (rows, asking) = (&order[..ROWS], &order[ROWS..ROWS + QUERIES]);
        let parts = |rows: &[u32]| {
            columns
                .iter()
                .map(|column| column.gather(rows))
                .collect::<Vec<_>>()
        };
        let (Ok([sections, tags, sizes]), Ok([own_sections, own_tags, _])) = (
            <[Column; 3]>::try_from(parts(rows)),
            <[Column; 3]>::try_from(parts(asking)),
        ) else {
            return Err(Error::file(folder, "expected three attributes"));
        };
        let labels = |column| match column {
            Column::Category(labels) | Column::Set(labels) => labels,
            Column::Number(_) => Labels::new(Vec::<Vec<u32>>::new()),
        };
        let Column::Number(sizes) = sizes else {
            return Err(Error::file(folder, "expected installed sizes to be numbers"));
        };
        Ok(Self {
            points: Arc::new(all.gather(rows)?),
            queries: Arc::new(all.gather(asking)?),
            sections: Arc::new(labels(sections)),
            tags: labels(tags),
            sizes,
            own_sections: labels(own_sections),
            own_tags: labels(own_tags),
            seed,
        })
    }

    pub fn measure(&self) -> Result<[f64; 6]> {
        let general = General::build(&self.points);
        let config = VamanaConfig::default();
        let (points, sections) = (&self.points, &self.sections);
        let stitched = LabelGraph::stitched(points.clone(), sections.clone(), config, config)?;
        let filtered = LabelGraph::filtered(points.clone(), sections.clone(), config)?;
        let serf = RangeGraph::build(points, &self.sizes, SerfConfig::default())?;
        let ung = Ung::build(points, &self.tags, UngConfig::default())?;

        let equal = self.ask(|at| {
            let own = self.own_sections.of(at);
            Arc::new(self.sections.containing(own))
        })?;
        let mut seed = self.seed;
        let ranges = self.ask(|_| Arc::new(range(&self.sizes, 0.1, &mut seed)))?;
        let tagged = self.ask(|at| {
            let own = &self.own_tags.of(at);
            Arc::new(self.tags.containing(&own[..own.len().min(2)]))
        })?;

        let gate = cost(&general.gate, &equal, 0.95)?;
        let acorn = ceiling(&general.one, &equal)?.max(ceiling(&general.gamma, &equal)?);
        let labelled = ceiling(&stitched, &equal)?.min(ceiling(&filtered, &equal)?);
        let half = differing(points, &self.sizes, &[ROWS / 2])?;
        let scan = PreFilter(points.clone());
        let methods: [&dyn Method; 8] = [
            &scan,
            &general.gate,
            &general.one,
            &general.gamma,
            &stitched,
            &filtered,
            &serf,
            &ung,
        ];
        let mut winners: Vec<&str> = Vec::new();
        for (at, questions) in [&equal, &tagged, &ranges].into_iter().enumerate() {
            // Each specialised index knows one attribute.
            let fits = |method: &&&dyn Method| match method.name() {
                names::STITCHED_VAMANA | names::FILTERED_VAMANA => at == 0,
                names::UNG => at == 1,
                names::SERF => at == 2,
                _ => true,
            };
            let mut cheapest = (f64::INFINITY, "none");
            for method in methods.iter().filter(fits) {
                let found = cost(*method, questions, 0.95)?;
                if found < cheapest.0 {
                    cheapest = (found, method.name());
                }
            }
            winners.push(cheapest.1);
        }
        winners.sort_unstable();
        winners.dedup();
        Ok([
            share(cost(&stitched, &equal, 0.95)?, gate),
            share(cost(&filtered, &equal, 0.95)?, gate),
            labelled - acorn,
            share(cost(&serf, &ranges, 0.98)?, cost(&general.gate, &ranges, 0.98)?),
            half,
            winners.len() as f64,
        ])
    }

    fn ask(&self, of: impl FnMut(u32) -> Arc<Filter>) -> Result<Questions> {
        ask(&self.points, &self.queries, of)
    }
}
