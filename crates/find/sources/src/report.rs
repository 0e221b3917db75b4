//! What reading came upon: counts that a user should know about, each with the first case.

use std::collections::BTreeMap;

use crate::document::Origin;
use crate::plan::{Dropped, Misfit};

/// Fields that are named one by one; the rest only counted, so that memory stays bounded whatever the data.
const NAMED: usize = 100;

/// Counts over one reading of a source.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Documents that came out.
    pub documents: u64,
    /// Rows that were skipped because they could not be read.
    pub skipped_rows: u64,
    /// Files that could not be read, or not to their end.
    pub damaged_files: u64,
    /// Documents without title and text.
    pub empty: u64,
    /// Documents without an id, which got `path#line`.
    pub derived_ids: u64,
    /// Documents whose id came before in the same reading; the last wins.
    pub duplicate_ids: u64,
    first_duplicate: String,
    dropped: Dropped,
    late: BTreeMap<String, (u64, String)>,
    replaced: (u64, u64, String),
}

impl Report {
    pub(crate) fn drop_value(&mut self, misfit: &Misfit, origin: &Origin) {
        count(&mut self.dropped, &misfit.field, || {
            format!("{origin}: {}", misfit.problem)
        });
    }

    pub(crate) fn late_field(&mut self, name: &str, origin: &Origin) {
        count(&mut self.late, name, || origin.to_string());
    }

    pub(crate) fn duplicate(&mut self, id: &str, origin: &Origin) {
        self.duplicate_ids += 1;
        if self.duplicate_ids == 1 {
            self.first_duplicate = format!("{:?} at {origin}", crate::record::shorten(id, 60));
        }
    }

    pub(crate) fn replaced(&mut self, name: &str, sequences: u64) {
        let (files, all, first) = &mut self.replaced;
        if *files == 0 {
            *first = name.into();
        }
        *files += 1;
        *all += sequences;
    }

    /// Values that were left out because they don't fit their field's type.
    pub fn dropped_values(&self) -> u64 {
        self.dropped.values().map(|(count, _)| count).sum()
    }

    /// One line for everything that is worth a line; none if all went well.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut say = |count: u64, line: String| {
            if count > 0 {
                lines.push(line);
            }
        };
        say(self.skipped_rows, format!("{} rows skipped", self.skipped_rows));
        say(
            self.damaged_files,
            format!("{} files could not be read to their end", self.damaged_files),
        );
        for (field, (count, first)) in &self.dropped {
            say(
                *count,
                format!("{count} values of {field:?} left out, the first at {first}"),
            );
        }
        for (field, (count, first)) in &self.late {
            say(
                *count,
                format!(
                    "field {field:?} is in {count} rows but not in the sample, the first at {first}: left out (name it with --attr)"
                ),
            );
        }
        say(
            self.duplicate_ids,
            format!(
                "{} documents have the id of an earlier one, which they replace; the first is {}",
                self.duplicate_ids, self.first_duplicate
            ),
        );
        say(
            self.derived_ids,
            format!(
                "{} documents have no id and got file#line (name a field with --id)",
                self.derived_ids
            ),
        );
        say(
            self.empty,
            format!("{} documents have neither title nor text", self.empty),
        );
        let (files, sequences, first) = &self.replaced;
        say(
            *files,
            format!(
                "{files} files are not valid UTF-8: {sequences} sequences became U+FFFD; the first is {first}"
            ),
        );
        lines
    }
}

fn count(counts: &mut BTreeMap<String, (u64, String)>, name: &str, first: impl FnOnce() -> String) {
    if let Some((count, _)) = counts.get_mut(name) {
        *count += 1;
    } else if counts.len() < NAMED {
        counts.insert(name.into(), (1, first()));
    } else {
        counts
            .entry("(other fields)".into())
            .or_insert_with(|| (0, first()))
            .0 += 1;
    }
}
