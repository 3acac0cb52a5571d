//! Moments and waits as people read them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, now.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A span in its largest unit that is at least one: `840 ms`, `12 s`, `3 min`, `5 h`, `2 d`.
#[must_use]
pub fn span(ms: u64) -> String {
    const SECOND: u64 = 1_000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match ms {
        0..SECOND => format!("{ms} ms"),
        SECOND..10_000 => format!("{}.{} s", ms / SECOND, ms % SECOND / 100),
        10_000..MINUTE => format!("{} s", ms / SECOND),
        MINUTE..HOUR => format!("{} min", ms / MINUTE),
        HOUR..DAY => format!("{} h", ms / HOUR),
        _ => format!("{} d", ms / DAY),
    }
}

/// How long ago a moment was.
#[must_use]
pub fn ago(at_ms: u64, now_ms: u64) -> String {
    match now_ms.saturating_sub(at_ms) {
        0..1_000 => "just now".to_owned(),
        past => format!("{} ago", span(past / 1_000 * 1_000).replace(".0 ", " ")),
    }
}

/// Date and time of a moment, UTC, to the second: `2026-11-23 22:48:01`.
#[must_use]
pub fn date_time(at_ms: u64) -> String {
    let (year, month, day) = date(at_ms / 86_400_000);
    let seconds = at_ms / 1_000 % 86_400;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Year, month and day of a number of days since the Unix epoch, counted year by year and month by month.
fn date(mut days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    // 400 years have 146 097 days, so a moment at the end of time takes no longer than any other.
    let mut year = 1970 + days / 146_097 * 400;
    days %= 146_097;
    loop {
        let in_year = if is_leap(year) { 366 } else { 365 };
        if days < in_year {
            break;
        }
        days -= in_year;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_one_unit() {
        let spans: Vec<_> = [
            0,
            999,
            1_000,
            9_999,
            10_000,
            59_999,
            60_000,
            7_200_000,
            172_800_000,
        ]
        .into_iter()
        .map(span)
        .collect();
        assert_eq!(
            spans,
            [
                "0 ms", "999 ms", "1.0 s", "9.9 s", "10 s", "59 s", "1 min", "2 h", "2 d"
            ]
        );
        assert_eq!(ago(5_000, 4_000), "just now");
        assert_eq!(
            (ago(0, 3_400), ago(0, 61_000)),
            ("3 s ago".to_owned(), "1 min ago".to_owned())
        );
    }

    #[test]
    fn dates_are_the_calendars() {
        assert_eq!(date_time(0), "1970-01-01 00:00:00");
        assert_eq!(date_time(951_782_399_000), "2000-02-28 23:59:59");
        assert_eq!(date_time(951_782_400_000), "2000-02-29 00:00:00");
        assert_eq!(date_time(1_795_474_081_000), "2026-11-23 22:48:01");
        assert_eq!(date_time(4_107_542_400_000), "2100-03-01 00:00:00");
        assert!(date_time(u64::MAX).starts_with("584556019-"));
    }
}
