//! Adjacency: lists of one capacity while a graph grows, packed lists when it is done.

use crate::beam::{Counts, Near, Walk};

/// A list for each node, all with room for `capacity` others.
#[derive(Debug, Clone)]
pub(crate) struct Lists {
    capacity: usize,
    lengths: Vec<u32>,
    ids: Vec<u32>,
}

impl Lists {
    pub fn new(nodes: usize, capacity: usize) -> Self {
        Self {
            capacity,
            lengths: vec![0; nodes],
            ids: vec![0; nodes * capacity],
        }
    }

    #[inline]
    pub fn of(&self, node: u32) -> &[u32] {
        &self.ids[node as usize * self.capacity..][..self.lengths[node as usize] as usize]
    }

    /// Replaces the list of a node; what is beyond the capacity is left out.
    pub fn set(&mut self, node: u32, ids: impl IntoIterator<Item = u32>) {
        let places = &mut self.ids[node as usize * self.capacity..][..self.capacity];
        let mut length = 0;
        for (place, id) in places.iter_mut().zip(ids) {
            *place = id;
            length += 1;
        }
        self.lengths[node as usize] = length;
    }

    /// Adds to the list of a node; whether there was room.
    pub fn push(&mut self, node: u32, id: u32) -> bool {
        let length = &mut self.lengths[node as usize];
        let room = (*length as usize) < self.capacity;
        if room {
            self.ids[node as usize * self.capacity + *length as usize] = id;
            *length += 1;
        }
        room
    }

    pub fn nodes(&self) -> usize {
        self.lengths.len()
    }

    pub fn pack(&self) -> Packed {
        Packed::new((0..self.lengths.len() as u32).map(|node| self.of(node)))
    }
}

/// A list for each node, one after the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Packed {
    starts: Vec<u32>,
    ids: Vec<u32>,
}

impl Packed {
    pub fn new<'a>(lists: impl Iterator<Item = &'a [u32]>) -> Self {
        let (mut starts, mut ids) = (vec![0], Vec::new());
        for list in lists {
            ids.extend_from_slice(list);
            starts.push(ids.len() as u32);
        }
        Self { starts, ids }
    }

    #[inline]
    pub fn of(&self, node: u32) -> &[u32] {
        &self.ids[self.starts[node as usize] as usize..self.starts[node as usize + 1] as usize]
    }

    /// How many ids all lists hold.
    pub fn edges(&self) -> usize {
        self.ids.len()
    }

    pub fn bytes(&self) -> usize {
        4 * (self.starts.len() + self.ids.len())
    }
}

/// A walk through all neighbours.
impl Walk for &Lists {
    fn neighbours(&mut self, from: Near, out: &mut Vec<u32>, _: &mut Counts) {
        out.extend_from_slice(self.of(from.row()));
    }
}

/// A walk through all neighbours.
impl Walk for &Packed {
    fn neighbours(&mut self, from: Near, out: &mut Vec<u32>, _: &mut Counts) {
        out.extend_from_slice(self.of(from.row()));
    }
}
