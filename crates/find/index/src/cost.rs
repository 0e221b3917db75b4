//! What searches are likely to cost, in nanoseconds of one thread. Only their ratios matter: `examples/planner.rs` prints what each plan takes
//! by selectivity, beside what was chosen.

/// What the parts of a search cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Costs {
    /// A comparison with a row in a scan, of rows that are still in the processor's cache and of others.
    row: [f64; 2],
    dims: usize,
    /// A comparison with a code in a scan; infinite if there are none.
    code: f64,
    /// A node of a walk: about [`DISTANCES_PER_NODE`] neighbours that were not met before are compared.
    node: f64,
    /// The same in a walk with a filter, which keeps two heaps instead of one short list.
    gated: f64,
    /// A candidate that is kept in order and whose row is compared after its code.
    rescored: f64,
    /// Making a query ready for codes.
    prepared: f64,
}

/// New neighbours of a node of a walk.
const DISTANCES_PER_NODE: f64 = 15.0;
/// A row that a walk jumps to takes as long as so many that lie one after the other.
const JUMP: f64 = 2.5;

/// Bytes of rows that stay in a core's cache from one search with a filter to the next.
const CACHE: usize = 1 << 21;

impl Costs {
    /// Of rows of so many dims, with codes of so many bytes (0 if there are none).
    pub fn new(dims: usize, stride: usize) -> Self {
        let (near, far) = (4.0 + 0.055 * dims as f64, 4.0 + 0.18 * dims as f64);
        if stride == 0 {
            let node = DISTANCES_PER_NODE * far * JUMP;
            return Self {
                row: [near, far],
                dims,
                code: f64::INFINITY,
                node,
                gated: node,
                rescored: 0.0,
                prepared: 0.0,
            };
        }
        let lines = stride as f64 / 64.0;
        Self {
            row: [near, far],
            dims,
            code: 4.0 + 3.0 * lines,
            node: 170.0 + 70.0 * lines,
            gated: 280.0 + 70.0 * lines,
            rescored: far * JUMP,
            prepared: 1500.0 + 8.0 * dims as f64,
        }
    }

    /// A scan of `rows` rows.
    pub fn rows(&self, rows: usize) -> f64 {
        let cached = rows * self.dims * 4 <= CACHE;
        rows as f64 * self.row[usize::from(!cached)]
    }

    /// A scan of the codes of `rows` rows that finds `length`.
    pub fn codes(&self, rows: usize, length: usize) -> f64 {
        self.prepared + rows as f64 * self.code + length as f64 * self.rescored
    }

    /// A walk that expands `nodes` nodes and finds `length`.
    pub fn walk(&self, nodes: f64, length: usize) -> f64 {
        self.prepared + nodes * self.node + length as f64 * self.rescored
    }

    /// The same with a filter.
    pub fn gated(&self, nodes: f64, length: usize) -> f64 {
        self.prepared + nodes * self.gated + length as f64 * self.rescored
    }

    /// How many nodes a walk with a filter can expand for the cost of a scan of `cost`.
    pub fn nodes(&self, cost: f64) -> f64 {
        cost / self.gated
    }
}
