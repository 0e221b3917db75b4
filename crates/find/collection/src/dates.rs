//! Dates as users write them, as spans of time: `2019` is the whole year.

use tantivy::time::format_description::well_known::Rfc3339;
use tantivy::time::{Date, Duration, Month, OffsetDateTime, Time};

/// The first microsecond (since 1970, UTC) of what `text` names and the first one after it: a year, a month, a day or an instant.
pub fn span(text: &str) -> Option<(i64, i64)> {
    let text = text.trim();
    let numbers = |count: usize| {
        let parts: Vec<&str> = text.split(['-', '/']).collect();
        let widths = [4, 2, 2];
        let right = parts.len() == count
            && parts
                .iter()
                .zip(widths)
                .all(|(part, width)| part.len() == width && part.bytes().all(|byte| byte.is_ascii_digit()));
        right.then(|| {
            parts
                .iter()
                .map(|part| part.parse::<u16>().unwrap_or(0))
                .collect::<Vec<_>>()
        })
    };
    let day = |year: u16, month: u16, day: u16| {
        let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
        Date::from_calendar_date(i32::from(year), month, u8::try_from(day).ok()?).ok()
    };
    let micros =
        |date: Date| (date.with_time(Time::MIDNIGHT).assume_utc().unix_timestamp_nanos() / 1000) as i64;
    if let Some(parts) = numbers(1) {
        return Some((
            micros(day(parts[0], 1, 1)?),
            micros(day(parts[0], 12, 31)?.next_day()?),
        ));
    }
    if let Some(parts) = numbers(2) {
        let first = day(parts[0], parts[1], 1)?;
        let length = first.month().length(first.year());
        return Some((
            micros(first),
            micros(day(parts[0], parts[1], u16::from(length))?.next_day()?),
        ));
    }
    if let Some(parts) = numbers(3) {
        let date = day(parts[0], parts[1], parts[2])?;
        return Some((micros(date), micros(date.next_day()?)));
    }
    let instant = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let micros = (instant.unix_timestamp_nanos() / 1000) as i64;
    Some((micros, micros + 1))
}

/// RFC 3339 in UTC; a midnight is written as its day.
pub fn written(micros: i64) -> String {
    let instant = OffsetDateTime::UNIX_EPOCH + Duration::microseconds(micros);
    if instant.time() == Time::MIDNIGHT {
        return instant.date().to_string();
    }
    instant
        .format(&Rfc3339)
        .unwrap_or_else(|_| instant.date().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_a_month_and_a_day_are_spans() {
        let shown = |text| span(text).map(|(from, until)| (written(from), written(until)));
        let pair = |from: &str, until: &str| Some((from.to_string(), until.to_string()));
        assert_eq!(shown("2019"), pair("2019-01-01", "2020-01-01"));
        assert_eq!(shown("2019-12"), pair("2019-12-01", "2020-01-01"));
        assert_eq!(shown("2020-02-28"), pair("2020-02-28", "2020-02-29"));
        assert_eq!(shown("2020-02-30"), None);
        assert_eq!(shown("20"), None);
        assert_eq!(
            shown("2020-01-01T10:00:00+02:00"),
            pair("2020-01-01T08:00:00Z", "2020-01-01T08:00:00.000001Z")
        );
    }
}
