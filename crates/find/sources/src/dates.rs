//! Dates as people and machines write them, turned into RFC 3339 in UTC.
//!
//! Read: `2019`, `2019-05`, `2019-05-01`, `2019/05/01`, RFC 3339 with a space or `T` and any offset, and English month names:
//! `December, 1958`, `Jul 30, 2025`, `30 July 2025`. A missing day or month is the first. Unix seconds are not: nobody can tell
//! them from another number.

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Microseconds since 1970 in UTC of a written date, or `None` if it isn't one.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.len() < 4 || text.len() > 40 || !text.is_ascii() {
        return None;
    }
    numeric(text).or_else(|| named(text))
}

/// Whether `text` is written as a date that can't be taken for a plain number: anything but a bare year.
pub(crate) fn is_unmistakable(text: &str) -> bool {
    text.trim().len() > 4 && parse(text).is_some()
}

/// RFC 3339 in UTC: `2019-05-01T00:00:00Z`, with a fraction only if there is one.
pub(crate) fn from_micros(micros: i64) -> String {
    let (days, rest) = (
        micros.div_euclid(86_400_000_000),
        micros.rem_euclid(86_400_000_000),
    );
    let (year, month, day) = civil(days);
    let (seconds, fraction) = (rest / 1_000_000, rest % 1_000_000);
    let mut text = format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    if fraction != 0 {
        text.push_str(format!(".{fraction:06}").trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// Year, month and day of a day counted from 1970-01-01 (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Microseconds of a day at midnight, or `None` if there is no such day.
fn midnight(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(0..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    // 31 April would come out as 1 May.
    (civil(days) == (year, month, day)).then_some(days * 86_400_000_000)
}

/// Exactly `width` digits at the start, and what follows them.
fn digits(text: &str, width: usize) -> Option<(i64, &str)> {
    let head = text.get(..width)?;
    if !head.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((head.parse().ok()?, &text[width..]))
}

fn numeric(text: &str) -> Option<i64> {
    let (year, rest) = digits(text, 4)?;
    if rest.is_empty() {
        return midnight(year, 1, 1);
    }
    let separator = rest
        .chars()
        .next()
        .filter(|character| matches!(character, '-' | '/'))?;
    let (month, rest) = digits(&rest[1..], 2)?;
    if rest.is_empty() {
        return midnight(year, month, 1);
    }
    let (day, rest) = digits(rest.strip_prefix(separator)?, 2)?;
    let date = midnight(year, month, day)?;
    if rest.is_empty() {
        return Some(date);
    }
    Some(date + time(rest.strip_prefix(['T', 't', ' '])?)?)
}

/// Microseconds of `10:20`, `10:20:30`, `10:20:30.5`, each with nothing (UTC), `Z` or an offset behind it.
fn time(text: &str) -> Option<i64> {
    let (hours, rest) = digits(text, 2)?;
    let (minutes, mut rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (mut seconds, mut fraction) = (0, 0);
    if let Some(after) = rest.strip_prefix(':') {
        (seconds, rest) = digits(after, 2)?;
        if let Some(after) = rest.strip_prefix('.') {
            let width = after.bytes().take_while(u8::is_ascii_digit).count();
            if width == 0 {
                return None;
            }
            let six = format!("{:0<6}", &after[..width.min(6)]);
            fraction = six.parse().ok()?;
            rest = &after[width..];
        }
    }
    // 60 is a leap second.
    if hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let offset = match rest.trim_start() {
        "" | "Z" | "z" | "UTC" => 0,
        offset => {
            let sign = if offset.starts_with('-') { -1 } else { 1 };
            let (hours, rest) = digits(offset.strip_prefix(['+', '-'])?, 2)?;
            let (minutes, rest) = digits(rest.strip_prefix(':').unwrap_or(rest), 2)?;
            if !rest.is_empty() || hours > 23 || minutes > 59 {
                return None;
            }
            sign * (hours * 3600 + minutes * 60)
        }
    };
    Some((hours * 3600 + minutes * 60 + seconds - offset) * 1_000_000 + fraction)
}

/// A month's number from its English name or the first three letters of it.
fn month(word: &str) -> Option<i64> {
    let word = word.trim_end_matches('.').to_ascii_lowercase();
    let found = MONTHS.iter().position(|month| {
        *month == word || (word.len() >= 3 && word.len() <= 4 && month.starts_with(&word))
    })?;
    i64::try_from(found + 1).ok()
}

fn named(text: &str) -> Option<i64> {
    let words: Vec<&str> = text.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let number = |word: &str| {
        let ordinal = ["st", "nd", "rd", "th"]
            .iter()
            .find_map(|ending| word.strip_suffix(ending));
        let word = ordinal.unwrap_or(word);
        (word.len() <= 4).then(|| word.parse::<i64>().ok()).flatten()
    };
    match words[..] {
        [name, year] if year.len() == 4 => midnight(number(year)?, month(name)?, 1),
        [first, second, year] if year.len() == 4 => match month(first) {
            Some(month) => midnight(number(year)?, month, number(second)?),
            None => midnight(number(year)?, month(second)?, number(first)?),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_form_is_read() {
        for (written, expected) in [
            ("2019", "2019-01-01T00:00:00Z"),
            ("2019-05", "2019-05-01T00:00:00Z"),
            ("2019-05-31", "2019-05-31T00:00:00Z"),
            ("2019/05/31", "2019-05-31T00:00:00Z"),
            ("2019-05-31T10:20:30Z", "2019-05-31T10:20:30Z"),
            ("2019-05-31 10:20", "2019-05-31T10:20:00Z"),
            ("2019-05-31T01:00:00.250+02:00", "2019-05-30T23:00:00.25Z"),
            ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z"),
            ("December, 1958", "1958-12-01T00:00:00Z"),
            ("Jul 30, 2025", "2025-07-30T00:00:00Z"),
            ("30 July 2025", "2025-07-30T00:00:00Z"),
            ("Sept. 3rd, 2024", "2024-09-03T00:00:00Z"),
            ("2024-02-29", "2024-02-29T00:00:00Z"),
        ] {
            assert_eq!(
                parse(written).map(from_micros).as_deref(),
                Some(expected),
                "{written}"
            );
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for written in [
            "",
            "19",
            "2019-13",
            "2019-02-29",
            "2019-04-31",
            "2019-1-1",
            "1546300800",
            "2019-05-01x",
            "2019-05-01T25:00:00Z",
            "Jul 30",
            "Nothing, 1958",
            "２０１９",
            "2019-05/01",
        ] {
            assert_eq!(parse(written), None, "{written}");
        }
    }

    #[test]
    fn days_survive_the_round_trip() {
        for days in (-719_528..2_932_896).step_by(997) {
            let text = from_micros(days * 86_400_000_000);
            assert_eq!(parse(&text), Some(days * 86_400_000_000), "{text}");
        }
    }
}
