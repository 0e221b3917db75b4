//! The file in which a reproduction leaves its figures.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::{
    check::{Check, Claim},
    paper::State,
    reproduction::{Error, Result},
};

/// The committed result files, built in: `(id, json)`.
const COMMITTED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/results.rs"));

/// What a run of a reproduction found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The paper's id.
    pub id: String,
    /// The version of Kokeshi.
    pub version: String,
    /// The day, `YYYY-MM-DD` in UTC.
    pub date: String,
    /// Every check, in the order of the reproduction's claims.
    pub checks: Vec<Check>,
}

impl Record {
    /// A record of today.
    pub fn new(id: &str, checks: Vec<Check>) -> Self {
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Self {
            id: id.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            date: date(seconds / 86_400),
            checks,
        }
    }

    /// The committed record of a paper, if there is one that can be read.
    pub fn committed(id: &str) -> Option<Self> {
        let (_, json) = COMMITTED.iter().find(|(known, _)| *known == id)?;
        serde_json::from_str(json).ok()
    }

    /// Writes `<id>.json` into `folder`, whole or not at all; gives its path.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(format!("{}.json", self.id));
        let write = || -> std::io::Result<()> {
            let mut json = serde_json::to_string_pretty(self)?;
            json.push('\n');
            let draft = path.with_extension("json.tmp");
            fs::create_dir_all(folder)?;
            fs::write(&draft, json)?;
            fs::rename(&draft, &path)
        };
        match write() {
            Ok(()) => Ok(path),
            Err(source) => Err(Error::Write { path, source }),
        }
    }

    /// The state that this record earns for the paper `id` with these claims. A record of something else earns nothing.
    pub fn state(&self, id: &str, claims: &[Claim]) -> State {
        let fits = self.id == id
            && self.checks.len() == claims.len()
            && self
                .checks
                .iter()
                .zip(claims)
                .all(|(check, claim)| check.answers(claim));
        let passed = self.checks.iter().filter(|check| check.pass).count();
        if !fits || passed == 0 {
            State::NotYet
        } else if passed == claims.len() {
            State::Works
        } else {
            State::Partly
        }
    }
}

/// The date of a day since 1970-01-01 (Howard Hinnant, `civil_from_days`).
fn date(days: u64) -> String {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_dates() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (19_722, "2023-12-31"),
        ] {
            assert_eq!(date(days), expected);
        }
    }

    #[test]
    fn every_committed_record_is_of_a_reproduction_and_fits_its_claims() {
        for (id, json) in COMMITTED {
            let record: Record = serde_json::from_str(json).unwrap();
            let known = crate::reproductions().iter().find(|known| known.id() == *id);
            let claims = known.map(|known| known.claims()).unwrap_or_default();
            assert_ne!(record.state(id, claims), State::NotYet, "{id}");
        }
    }
}
