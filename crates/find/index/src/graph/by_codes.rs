//! Looking for the rows in a filter that are nearest to a query by their codes, without the graph: those of the cells nearest to the query, or all.

use std::ops::Range;

use kokeshi_core::topk::{RUN, at_most};
use kokeshi_core::{Bitmap, TopK, distance};

use super::calibrate::K as MEASURED_K;
use super::cells::Cells;
use super::codes::ToCodes;
use super::find::{Look, Steps, order, rescore};
use super::nearest::Nearest;
use super::scratch::{Entry, Near, Scratch};
use super::search::ToQuery;
use crate::flat::blocks;
use crate::query::Query;

/// From this share of the cells on all rows are looked through, in their own order.
pub(crate) const WHOLE: f64 = 0.6;
/// So many times as many cells as were looked through may be wanted for want of matches before more of them follow.
const SLACK: f64 = 1.3;
/// The part of the cells to be looked through after which it is asked for the first time whether matches are where they were expected.
const TRIAL: f64 = 0.25;
/// Of the cells not looked through one in so many stands for all.
const SOME: usize = 4;
/// The share of the matches that may be compared as they are, beside the candidates: more cost as much as comparing all in their order.
const MOST_CLOSE: f64 = 0.3;
/// The same of the first rows, where the last of the hits is guessed and its error stands for all: of MiniLM's vectors up to 0.15 where 0.3
/// or less were close in the end by one error for all, and from 0.25 on where it was more (of the first eighth; a sixteenth did as well).
const MOST_CLOSE_FIRST: f64 = 0.2;
/// The same of the few that are asked about. Where codes tell rows apart, one sample in thirty is above this by chance; where they do not, one in a
/// hundred is below it.
const MOST_CLOSE_ASKED: f64 = 0.2;
/// Matches are common near the query if they are so many times as common there as elsewhere.
const AS_COMMON: f64 = 0.5;
/// In so many cells that about so many are expected there.
const EXPECTED: f64 = 64.0;
/// If they are not, and fewer than these, it is likely enough that codes do not tell them apart: trying takes too much of a scan's time.
const MANY: usize = 2048;
/// Of more, the first of so many parts of the rows tell whether it is worth its while to look through all,
const FIRST: usize = 16;
/// or as many rows as are likely to hold so many matches: fewer are too often kind,
const FIRST_ROWS: usize = 300;
/// if there are as many as this.
const LEAST_FIRST: usize = 64;

/// Matches whose vectors tell whether codes would leave too many open, at most.
const SAMPLE: usize = 32;

/// How many of so many matches are asked about: fewer of few, where scanning all takes little longer than a look at their codes.
pub(crate) fn asked_about(matches: usize) -> usize {
    (matches / 24).clamp(SAMPLE / 2, SAMPLE)
}

/// How many candidates for `k` hits a search through codes should find where a walk needs a list of `length`: it misses nothing on the way, so that
/// half as many find as much.
pub(crate) fn candidates(length: usize, k: usize) -> usize {
    (length / 2).max(list_for(k))
}

/// The shortest list for `k` hits: one not much longer than k loses the last of them.
pub(crate) fn list_for(k: usize) -> usize {
    k + k / 2
}

/// What a search through codes is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Hits.
    pub k: usize,
    /// Candidates, at least.
    pub length: usize,
    /// The share of the best rows that should be in the cells that are looked through.
    pub reached: f32,
    /// Rows that may be found; all if `None`.
    pub filter: Option<&'a Bitmap>,
    /// How many those are.
    pub matches: usize,
    /// Whether it is doubtful that codes tell enough of the matches apart.
    pub doubt: bool,
}

impl Look<'_> {
    /// The share of the cells that should be looked through for the best `k` of rows of which a share is in the filter.
    pub fn reach(&self, k: usize, share: f64, recall: f32) -> f64 {
        self.measured.reach(k as f64 / share.max(1e-9), recall)
    }

    /// The share of the matches that codes leave open, and how likely it is that they leave so many open that comparing all is as good: for the best
    /// `k` of rows of which a share is in the filter, drawn at random.
    pub fn left_open(&self, k: usize, share: f64) -> [f64; 2] {
        self.measured
            .left_open(share * MEASURED_K as f64 / k.max(1) as f64)
    }

    /// Whether codes would leave it open of too many of the `matches` in `filter` whether they are among the best `k`, as some of them say: where all
    /// are about equally near, as those in a filter against the query are. And how many rows were compared to tell. Asking costs much less than trying,
    /// since neither codes nor a query made ready for them are needed, and a scan needs these rows anyway.
    pub fn too_close(
        &self,
        query: &Query,
        k: usize,
        filter: Option<&Bitmap>,
        matches: usize,
    ) -> (bool, usize) {
        let Some(codes) = self.codes else {
            return (true, 0);
        };
        let mut ids = [0; SAMPLE];
        let ids = some_of(filter, self.nodes, &mut ids[..asked_about(matches)]);
        let count = ids.len();
        if count == 0 {
            return (false, 0);
        }
        codes.call(ids);
        let mut scores = [0.0; SAMPLE];
        let scores = &mut scores[..count];
        query.scores(self.vectors, ids, scores);
        let mut sorted = [0.0; SAMPLE];
        let sorted = &mut sorted[..count];
        sorted.copy_from_slice(scores);
        let rank = (k * count).div_ceil(matches.max(1)).clamp(1, count);
        let (_, last, _) = sorted.select_nth_unstable_by(rank - 1, |a, b| b.total_cmp(a));
        let length = distance::l2_squared(&query.values, &codes.projection().centre).sqrt();
        let errors = codes.errors(ids, self.measured.sure * length);
        let open = scores
            .iter()
            .zip(errors)
            .filter(|(score, error)| **score + error >= *last);
        (open.count() as f64 > count as f64 * MOST_CLOSE_ASKED, count)
    }

    /// Compares the codes of the rows in the filter, of the cells nearest to the query and no more than are likely to hold the best, and then the
    /// rows of the best of them, and of all others that are likely to be nearer than the last of the hits so far: where many rows are about
    /// equally near, those are many. Should what was found be farther than that many rows in the filter would be, more cells follow. The second
    /// value is false if there are no codes, or if the rows to be compared are so many that comparing all is as good.
    pub fn by_codes(&self, query: &Query, wanted: Wanted<'_>, best: &mut TopK) -> (Steps, bool) {
        let (Some(codes), Some(cells)) = (self.codes, self.cells) else {
            return (Steps::default(), false);
        };
        let target = codes.prepare(query);
        let rows = ToQuery {
            query,
            vectors: self.vectors,
        };
        Scratch::with(0, |scratch| {
            let share = wanted.matches as f64 / self.nodes.max(1) as f64;
            let reach = self.reach(wanted.k, share, wanted.reached);
            let mut steps = Steps::default();
            let mut search = Search {
                look: *self,
                target: &target,
                wanted,
                ids: std::mem::take(&mut scratch.ids),
                estimates: std::mem::take(&mut scratch.estimates),
                kept: Nearest::new(wanted.length, std::mem::take(&mut scratch.list)),
                compared: 0,
            };
            search.clear();
            let pays = self.costs().cells_pay(wanted.matches, reach);
            if pays || wanted.doubt {
                steps.distances = order(cells, cells.len(), &target, scratch);
            }
            let mut ended = !wanted.doubt
                || search.common_near(cells, &mut scratch.order)
                || wanted.matches >= MANY && search.tells_apart();
            if ended && pays {
                search.clear();
                search.near(reach, cells, &mut scratch.order);
            } else if ended {
                search.all();
            }
            steps.distances += search.compared;
            ended = ended && search.settle(&rows, scratch, &mut steps, best);
            (scratch.ids, scratch.estimates) = (search.ids, search.estimates);
            scratch.list = search.kept.into_entries();
            (steps, ended)
        })
    }
}

/// As many of the rows in the filter as there is room for: the first of each of equally many words of it, or, where most lie together, the first of all.
fn some_of<'a>(filter: Option<&Bitmap>, rows: usize, ids: &'a mut [u32]) -> &'a [u32] {
    let wanted = ids.len();
    let mut fill =
        |some: &mut dyn Iterator<Item = u32>| ids.iter_mut().zip(some).map(|(place, id)| *place = id).count();
    let count = match filter {
        None => fill(&mut (0..rows as u32).step_by((rows / wanted).max(1))),
        Some(filter) => {
            let words = &filter.words()[..filter.words().len().min(rows / 64)];
            let step = words.len() / wanted;
            let count = fill(&mut (0..wanted).filter_map(|part| {
                let mut words = words[part * step..][..step].iter().zip(part * step..);
                let (word, at) = words.find(|(word, _)| **word != 0)?;
                Some(at as u32 * 64 + word.trailing_zeros())
            }));
            match count * 2 < wanted {
                true => fill(&mut filter.iter_in(0..rows)),
                false => count,
            }
        }
    };
    &ids[..count]
}

/// A search and the rows whose codes it compared.
struct Search<'a> {
    look: Look<'a>,
    target: &'a ToCodes<'a>,
    wanted: Wanted<'a>,
    ids: Vec<u32>,
    /// How far they are, in the same order; shorter if there are new ones.
    estimates: Vec<f32>,
    /// The nearest of them.
    kept: Nearest,
    /// How many were compared, with those that were forgotten.
    compared: usize,
}

impl Search<'_> {
    /// Whether matches are about as common in the nearest cells as elsewhere: if they are, the best are nearer than most, whatever a sample of all says.
    fn common_near(&mut self, cells: &Cells, order: &mut [Entry]) -> bool {
        let Some(filter) = self.wanted.filter else {
            return true;
        };
        let share = self.wanted.matches as f64 / self.look.nodes.max(1) as f64;
        let cell = self.look.nodes as f64 / cells.len() as f64;
        let count = (EXPECTED / (share * cell)).ceil() as usize;
        let count = count.clamp(1, cells.len());
        if count < cells.len() {
            order.select_nth_unstable(count - 1);
        }
        let mut rows = 0;
        for cell in &order[..count] {
            let ids = cells.cell(cell.near().id as usize);
            rows += ids.len();
            filter.keep(ids, &mut self.ids);
        }
        let found = self.ids.len() as f64;
        self.ids.clear();
        found > rows as f64 * share * AS_COMMON
    }

    /// Compares the codes of the matches among the first rows. False if too many of them are about equally near.
    fn tells_apart(&mut self) -> bool {
        let matches = self.wanted.matches;
        self.add(0..self.look.nodes * FIRST_ROWS.max(matches / FIRST) / matches.max(FIRST_ROWS));
        if self.ids.len() < LEAST_FIRST {
            return true;
        }
        // Where the last of the hits is among the first rows, if those are like the others.
        let part = self.ids.len() as f64 / self.wanted.matches.max(1) as f64;
        let rank = (self.wanted.k as f64 * part).ceil() as usize;
        self.close(rank) as f64 <= self.ids.len() as f64 * MOST_CLOSE_FIRST
    }

    /// Compares the codes of all matches that were not compared yet, if those were the first.
    fn all(&mut self) {
        let first = self.ids.last().map_or(0, |id| *id as usize + 1);
        self.add(first..self.look.nodes);
    }

    /// Compares the codes of the matches in `rows`.
    fn add(&mut self, rows: Range<usize>) {
        blocks(self.wanted.filter, rows, |ids| self.ids.extend_from_slice(ids));
        self.compare();
    }

    /// Forgets what was compared.
    fn clear(&mut self) {
        self.ids.clear();
        self.estimates.clear();
        self.kept.clear();
    }

    /// Compares the codes of the matches in as many of the nearest cells as are likely to hold the best, a share of `reach` if matches are there as
    /// common as elsewhere; in the end all, if they are not. `order` has the cells' distances.
    fn near(&mut self, reach: f64, cells: &Cells, order: &mut [Entry]) {
        let (mut done, mut until) = (0, reach * TRIAL);
        loop {
            let end = ((until * cells.len() as f64).ceil() as usize).clamp(done + 1, cells.len());
            let rest = &mut order[done..];
            if end < cells.len() {
                rest.select_nth_unstable(end - done - 1);
            }
            for cell in &rest[..end - done] {
                let ids = cells.cell(cell.near().id as usize);
                match self.wanted.filter {
                    None => self.ids.extend_from_slice(ids),
                    Some(filter) => filter.keep(ids, &mut self.ids),
                }
            }
            self.compare();
            done = end;
            let enough = self.enough(cells, &order[..done], &order[done..]);
            if enough >= WHOLE {
                self.clear();
                self.all();
                return;
            }
            until = if until < reach && done < cells.len() {
                reach
            } else if done < cells.len() && enough > SLACK * until {
                enough
            } else {
                return;
            };
        }
    }

    /// The share of the cells that is likely to hold the best, if no nearer matches than those found so far are: about as many of all rows are as near
    /// as the last that was kept as its distance says, and a part of those are matches. `near` are the cells looked through.
    fn enough(&self, cells: &Cells, near: &[Entry], rest: &[Entry]) -> f64 {
        let Some(last) = self.kept.farthest() else {
            return 1.0;
        };
        let count =
            |some: &mut dyn Iterator<Item = &Entry>| self.look.measured.nearer(last.distance, cells, some);
        let rank = count(&mut near.iter()) + SOME as f64 * count(&mut rest.iter().step_by(SOME));
        let share = self.kept.len() as f64 / rank.max(1.0);
        self.look
            .reach(self.wanted.k, share.min(1.0), self.wanted.reached)
    }

    /// Compares the codes of the new ones.
    fn compare(&mut self) {
        let from = self.estimates.len();
        self.estimates.resize(self.ids.len(), 0.0);
        let (ids, estimates) = (&self.ids[from..], &mut self.estimates[from..]);
        self.compared += ids.len();
        super::search::Target::distances(self.target, ids, estimates);
        self.kept.offer(ids, estimates);
    }

    /// How many are estimated to be no farther than `limit`.
    fn within(&self, limit: f32) -> usize {
        self.estimates
            .iter()
            .filter(|distance| **distance <= limit)
            .count()
    }

    /// How many may be among the best if the `rank`th nearest by its estimate is the last of the best.
    fn close(&mut self, rank: usize) -> usize {
        self.kept.at(rank.max(1) - 1).map_or(0, |last| {
            self.within(last.distance + self.look.measured.sure * self.target.estimate(last).1)
        })
    }

    /// Compares the rows of what was kept, and of all others whose codes leave it open whether they are among the best. False if those are so
    /// many that comparing all is as good.
    fn settle(
        &mut self,
        rows: &ToQuery<'_>,
        scratch: &mut Scratch,
        steps: &mut Steps,
        best: &mut TopK,
    ) -> bool {
        let sure = self.look.measured.sure;
        let most = (self.wanted.matches as f64 * MOST_CLOSE) as usize;
        // The nearest estimate that was not kept is no nearer than this.
        let next = self.kept.limit();
        scratch.candidates.extend(self.kept.sorted());
        steps.rescored = rescore(scratch, self.target, rows, sure, best);
        let errors = scratch.candidates.iter().map(|near| {
            let (estimate, error) = self.target.estimate(*near);
            (estimate - near.distance, error)
        });
        let (shared, error) = errors.fold((0.0, 0.0f32), |(_, most), (shared, error)| {
            (shared, most.max(error))
        });
        let limit = -best.threshold() - shared + sure * error;
        scratch.candidates.clear();
        if next < limit {
            let worst = -best.threshold();
            for (ids, distances) in self.ids.chunks(RUN).zip(self.estimates.chunks(RUN)) {
                for place in at_most(distances, limit) {
                    let near = Near {
                        distance: distances[place],
                        id: ids[place],
                    };
                    let (estimate, error) = self.target.estimate(near);
                    if near.distance > next && estimate - sure * error <= worst {
                        scratch.candidates.push(near);
                    }
                }
                if scratch.candidates.len() > most {
                    return false;
                }
            }
        }
        steps.rescored += rescore(scratch, self.target, rows, sure, best);
        true
    }
}
