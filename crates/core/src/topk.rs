//! The best k of a stream.

/// A row number and its score; larger is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The row.
    pub id: u32,
    /// Its score.
    pub score: f32,
}

/// Keeps the k best of what is pushed, without sorting the rest. Equal scores go to the smaller id, NaN is never kept.
#[derive(Debug, Clone)]
pub struct TopK {
    k: usize,
    /// A binary heap whose root is the worst kept entry.
    heap: Vec<Scored>,
}

/// Whether `a` ranks before `b`.
fn before(a: Scored, b: Scored) -> bool {
    a.score > b.score || (a.score == b.score && a.id < b.id)
}

impl TopK {
    /// Keeps the best `k`.
    pub fn new(k: usize) -> Self {
        Self {
            k,
            heap: Vec::with_capacity(k.min(4096)),
        }
    }

    /// How many are kept at most.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The score that a new entry has to beat, or minus infinity while there is room.
    pub fn threshold(&self) -> f32 {
        if self.heap.len() < self.k {
            f32::NEG_INFINITY
        } else {
            self.heap.first().map_or(f32::INFINITY, |worst| worst.score)
        }
    }

    /// Offers an entry.
    pub fn push(&mut self, id: u32, score: f32) {
        let new = Scored { id, score };
        if score.is_nan() || self.k == 0 {
            return;
        }
        if self.heap.len() < self.k {
            self.heap.push(new);
            let mut at = self.heap.len() - 1;
            while at > 0 && before(self.heap[(at - 1) / 2], self.heap[at]) {
                self.heap.swap(at, (at - 1) / 2);
                at = (at - 1) / 2;
            }
        } else if before(new, self.heap[0]) {
            self.heap[0] = new;
            let mut at = 0;
            loop {
                let (left, right) = (2 * at + 1, 2 * at + 2);
                let mut worst = at;
                if left < self.heap.len() && before(self.heap[worst], self.heap[left]) {
                    worst = left;
                }
                if right < self.heap.len() && before(self.heap[worst], self.heap[right]) {
                    worst = right;
                }
                if worst == at {
                    break;
                }
                self.heap.swap(at, worst);
                at = worst;
            }
        }
    }

    /// Takes in everything another one kept.
    pub fn merge(&mut self, other: Self) {
        for entry in other.heap {
            self.push(entry.id, entry.score);
        }
    }

    /// How many are kept now.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// The kept entries, best first.
    pub fn into_sorted(mut self) -> Vec<Scored> {
        self.heap
            .sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
        self.heap
    }
}
