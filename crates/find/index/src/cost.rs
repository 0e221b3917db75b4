//! What searches are likely to cost, in nanoseconds of one thread. Only their ratios matter: `examples/planner.rs` prints what each plan takes
//! by selectivity, beside what was chosen. Two processors are known.

use std::sync::OnceLock;

use crate::graph::{ENTRY_CELLS, WHOLE};

/// What the parts of a search cost. Of a scan's rows: while what it reads stays in a core's cache from one search with a filter to the
/// next, and otherwise. Codes are called for ahead (on x86), so that it makes little difference where they lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Costs {
    machine: &'static Machine,
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
/// Bytes of the neighbours of a node of the default degree.
const PLACES: usize = 128;
/// What a processor takes for the parts, in nanoseconds. Which of two plans is cheaper differs between processors where both take about as long: with
/// the figures of the other the planner took up to 1.4 times as long as the best plan.
#[derive(Debug)]
struct Machine {
    /// A row of a scan, and a dimension of one: in the cache, and otherwise.
    row: [[f64; 2]; 2],
    /// Bytes that stay in the cache from one search to the next, of which other things go through it, too.
    cache: usize,
    /// A code, and a cache line of one.
    code: [f64; 2],
    /// A node of a walk by codes, and a cache line of each of its neighbours' codes: while all nodes are in the cache, and otherwise.
    node: [[f64; 2]; 2],
    /// How many times as long a walk takes that a filter leads, as most go along with the query, or a little against it.
    led: f64,
    /// Making a query ready for codes, and a dimension of it.
    prepared: [f64; 2],
    /// Comparing a query with the centre of a cell,
    cell: f64,
    /// and finding the nearest, and asking whether they were enough.
    ordered: f64,
    /// A row of a cell that is looked through: whether it is in the filter.
    looked_at: f64,
}

/// Measured on an Intel Xeon (Sapphire Rapids), two MiB of second-level cache a core. Others are taken for such a one.
const INTEL: Machine = Machine {
    row: [[4.0, 0.05], [4.0, 0.17]],
    cache: 3 << 19,
    code: [4.5, 3.5],
    node: [[240.0, 70.0]; 2],
    led: 1.15,
    prepared: [1000.0, 4.0],
    cell: 5.0,
    ordered: 7.0,
    looked_at: 0.4,
};

/// Measured on an AMD EPYC (Zen 5), one MiB of second-level cache a core and 32 of third-level cache.
const AMD: Machine = Machine {
    row: [[3.0, 0.038], [4.0, 0.1]],
    cache: 16 << 20,
    code: [2.6, 1.5],
    node: [[110.0, 35.0], [175.0, 50.0]],
    led: 1.5,
    prepared: [1000.0, 3.2],
    cell: 4.0,
    ordered: 5.0,
    looked_at: 0.5,
};

impl Machine {
    /// The one that this is most like.
    fn this() -> &'static Self {
        static THIS: OnceLock<&Machine> = OnceLock::new();
        THIS.get_or_init(|| if is_amd() { &AMD } else { &INTEL })
    }
}

#[cfg(target_arch = "x86_64")]
fn is_amd() -> bool {
    let found = std::arch::x86_64::__cpuid(0);
    let name = [found.ebx, found.edx, found.ecx].map(u32::to_le_bytes);
    name.as_flattened() == b"AuthenticAMD"
}

#[cfg(not(target_arch = "x86_64"))]
fn is_amd() -> bool {
    false
}

impl Costs {
    /// Of so many rows of so many dims, with codes of so many bytes (0 if there are none) in so many cells.
    pub fn new(dims: usize, stride: usize, cells: usize, nodes: usize) -> Self {
        Self::on(Machine::this(), dims, stride, cells, nodes)
    }

    /// The same on one processor for all, so that whether a graph can be walked does not depend on where it was built.
    pub fn of_reference(dims: usize, stride: usize, cells: usize, nodes: usize) -> Self {
        Self::on(&INTEL, dims, stride, cells, nodes)
    }

    fn on(machine: &'static Machine, dims: usize, stride: usize, cells: usize, nodes: usize) -> Self {
        let line = |[first, each]: [f64; 2], count: f64| first + each * count;
        let row = machine.row.map(|row| line(row, dims as f64));
        let lines = stride as f64 / 64.0;
        let coded = stride > 0;
        Self {
            machine,
            row,
            row_bytes: 4 * dims,
            code: if coded {
                line(machine.code, lines)
            } else {
                f64::INFINITY
            },
            node: if coded {
                let far = nodes * (stride + PLACES) > machine.cache;
                line(machine.node[usize::from(far)], lines)
            } else {
                DISTANCES_PER_NODE * row[1] * JUMP
            },
            rescored: row.map(|row| if coded { row * JUMP } else { 0.0 }),
            prepared: if coded {
                line(machine.prepared, dims as f64)
            } else {
                0.0
            },
            cells: cells as f64,
            nodes: nodes as f64,
        }
    }

    /// Whether so many rows are more than a cache holds, as the place of what they cost.
    fn tier(&self, rows: usize) -> usize {
        usize::from(rows * self.row_bytes > self.machine.cache)
    }

    /// Making a query ready for codes, which both of the plans below begin with.
    pub fn prepared(&self) -> f64 {
        self.prepared
    }

    /// Asking about `asked` of `rows` rows whether codes tell them apart.
    pub fn asking(&self, asked: usize, rows: usize) -> f64 {
        asked.min(rows) as f64 * self.row[self.tier(rows)]
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
        let machine = self.machine;
        let order = self.cells * (machine.cell + machine.ordered) + self.nodes * reach * machine.looked_at;
        let near = if reach < WHOLE {
            order + all * reach
        } else {
            f64::INFINITY
        };
        [near, all]
    }

    /// A walk that a filter leads, that expands `nodes` nodes and finds `length`.
    pub fn led_walk(&self, nodes: f64, length: usize) -> f64 {
        self.machine.led * self.walk(nodes, length)
    }

    /// A walk that expands `nodes` nodes and finds `length`.
    pub fn walk(&self, nodes: f64, length: usize) -> f64 {
        let entry = self.machine.cell * self.cells.min(ENTRY_CELLS as f64);
        self.prepared + entry + nodes * self.node + length as f64 * self.rescored[1]
    }

    /// How many nodes a walk can expand for the cost of a scan of `cost`.
    pub fn nodes(&self, cost: f64) -> f64 {
        cost / self.node
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_both_processors_few_rows_are_scanned_and_many_are_not() {
        for machine in [&INTEL, &AMD] {
            // 100,000 rows of 384 dims, codes of two cache lines in 632 cells.
            let costs = Costs::on(machine, 384, 128, 632, 100_000);
            let codes = |rows| costs.asking(32, rows) + costs.codes(rows, 0.1, 30);
            assert!(costs.rows(100) < codes(100));
            assert!(codes(2_000) < costs.rows(2_000));
            assert!(costs.walk(60.0, 60) < codes(100_000));
            // Where one in a hundred passes, a walk expands a hundred times as many nodes.
            assert!(codes(1_000) < costs.led_walk(2_000.0, 20));
            assert!(costs.walk(60.0, 60) < costs.led_walk(60.0, 60));
            // Rows that come from memory take longer than as many that stay in the cache.
            assert!(costs.rows(50_000) > 10.0 * costs.rows(5_000) || machine.cache < 5_000 * 4 * 384);
            assert!(!costs.cells_pay(200, 0.1) && costs.cells_pay(50_000, 0.1));
        }
    }

    #[test]
    fn without_codes_there_is_no_plan_by_codes() {
        let costs = Costs::new(64, 0, 0, 1_000);
        assert!(costs.codes(10, 1.0, 10).is_infinite());
        assert!(costs.walk(10.0, 10) > 0.0 && costs.rows(10) > 0.0);
    }
}
