//! Times of rows, as seconds since 1970.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The text is not a time; the message says what is accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a time such as 2013-09-01, 2013-09-01T05:15, 2013-09-01T05:15:00Z or seconds since 1970")]
pub struct TimeParseError;

/// Reads an ISO 8601 date or date and time (with or without an offset), or whole seconds since 1970. A time without an
/// offset is taken as UTC: only the order of times matters here.
///
/// # Errors
/// [`TimeParseError`] where it is none of them.
pub fn parse_time(text: &str) -> Result<i64, TimeParseError> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(seconds);
    }
    if let Ok(civil) = text.parse::<DateTime>() {
        return TimeZone::UTC.to_timestamp(civil).map(Timestamp::as_second).map_err(|_| TimeParseError);
    }
    text.parse::<Timestamp>().map(Timestamp::as_second).map_err(|_| TimeParseError)
}

/// `seconds` since 1970 as a date and time, UTC, without an offset.
pub fn format_time(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).map(|time| TimeZone::UTC.to_datetime(time).to_string());
    time.unwrap_or_else(|_| seconds.to_string())
}
