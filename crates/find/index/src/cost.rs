//! What searches are likely to cost, in nanoseconds of one thread. Only their ratios matter: `examples/planner.rs` prints what each plan takes
//! by selectivity, beside what was chosen.

use crate::graph::{ENTRY_CELLS, WHOLE};

/// What the parts of a search cost. Of a scan's rows: while what it reads stays in a core's cache from one search with a filter to the
/// next, and otherwise. Codes are called for ahead (on x86), so that it makes little difference where they lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Costs {
    /// A comparison with a row in a scan.
    row: [f64; 2],
    row_bytes: usize,
    /// A comparison with a code in a scan; infinite if there are none.
    code: f64,
    /// A node of a walk: about [`DISTANCES_PER_NODE`] neighbours that were not met before are compared.
    node: f64,
    /// A candidate that is kept in order and whose row is compared after its code: of rows as for a scan.
    rescored: [f64; 2],
    /// Making a query ready for codes.
    prepared: f64,
    /// Cells there are.
    cells: f64,
    /// Rows that cells hold.
    nodes: f64,
}

/// New neighbours of a node of a walk.
const DISTANCES_PER_NODE: f64 = 15.0;
/// A row that a walk jumps to takes as long as so many that lie one after the other.
const JUMP: f64 = 2.5;

/// Comparing a query with the centre of a cell,
const CELL: f64 = 5.0;
/// and finding the nearest, and asking whether they were enough.
const ORDERED: f64 = 7.0;
/// A row of a cell that is looked through: whether it is in the filter.
const LOOKED_AT: f64 = 0.4;

/// Bytes that stay in a core's cache, of two MiB and what else goes through it.
const CACHE: usize = 3 << 19;

impl Costs {
    /// Of so many rows of so many dims, with codes of so many bytes (0 if there are none) in so many cells.
    pub fn new(dims: usize, stride: usize, cells: usize, nodes: usize) -> Self {
        let row = [4.0 + 0.05 * dims as f64, 4.0 + 0.17 * dims as f64];
        let lines = stride as f64 / 64.0;
        let coded = stride > 0;
        Self {
            row,
            row_bytes: 4 * dims,
            code: if coded { 4.5 + 3.5 * lines } else { f64::INFINITY },
            node: if coded {
                240.0 + 70.0 * lines
            } else {
                DISTANCES_PER_NODE * row[1] * JUMP
            },
            rescored: row.map(|row| if coded { row * JUMP } else { 0.0 }),
            prepared: if coded { 1000.0 + 4.0 * dims as f64 } else { 0.0 },
            cells: cells as f64,
            nodes: nodes as f64,
        }
    }

    /// Whether so many rows are more than a cache holds, as the place of what they cost.
    fn tier(&self, rows: usize) -> usize {
        usize::from(rows * self.row_bytes > CACHE)
    }

    /// Making a query ready for codes, which both of the plans below begin with.
    pub fn prepared(&self) -> f64 {
        self.prepared
    }

    /// A scan of `rows` rows.
    pub fn rows(&self, rows: usize) -> f64 {
        rows as f64 * self.row[self.tier(rows)]
    }

    /// Comparing the codes of the `rows` matches in a share of the cells, if that is cheaper than comparing those of all, and the vectors of `length`.
    pub fn codes(&self, rows: usize, reach: f64, length: usize) -> f64 {
        let [near, all] = self.near_or_all(rows, reach);
        self.prepared + near.min(all) + length as f64 * self.rescored[self.tier(rows)]
    }

    /// Whether looking through a share of the cells for some of `rows` matches is cheaper than comparing the codes of all.
    pub fn cells_pay(&self, rows: usize, reach: f64) -> bool {
        let [near, all] = self.near_or_all(rows, reach);
        near < all
    }

    fn near_or_all(&self, rows: usize, reach: f64) -> [f64; 2] {
        let all = rows as f64 * self.code;
        let order = self.cells * (CELL + ORDERED) + self.nodes * reach * LOOKED_AT;
        let near = if reach < WHOLE {
            order + all * reach
        } else {
            f64::INFINITY
        };
        [near, all]
    }

    /// A walk that expands `nodes` nodes and finds `length`.
    pub fn walk(&self, nodes: f64, length: usize) -> f64 {
        let entry = CELL * self.cells.min(ENTRY_CELLS as f64);
        self.prepared + entry + nodes * self.node + length as f64 * self.rescored[1]
    }

    /// How many nodes a walk can expand for the cost of a scan of `cost`.
    pub fn nodes(&self, cost: f64) -> f64 {
        cost / self.node
    }
}
