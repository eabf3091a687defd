//! Sliding windows over growing counts, by time and by number of rows. Time is a parameter.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::counts::Counts;
use super::profile::Profile;
use super::verdict::{ColumnReport, Status, Thresholds, assess};

/// Pieces that a window slides by.
const SUB_WINDOWS: u32 = 12;

/// How long a window is. Its text form is `1h`, `30m`, `45s`, `7d` or `rows:1000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum WindowSpec {
    /// A span of time.
    Time(Duration),
    /// A number of rows.
    Rows(u64),
}

crate::schema::described_plainly! {
    WindowSpec => { "type": "string" },
}

/// The text is not a window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("window {0:?}: expected a span such as 45s, 30m, 1h or 7d, of at least 12s, or rows:1000, of at least 12 rows")]
pub struct InvalidWindow(String);

impl WindowSpec {
    /// One hour and one day.
    pub const DEFAULT: [Self; 2] = [Self::Time(Duration::from_secs(3600)), Self::Time(Duration::from_secs(24 * 3600))];
}

impl FromStr for WindowSpec {
    type Err = InvalidWindow;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidWindow(text.to_owned());
        let at_least_twelve = |n: &u64| u64::from(SUB_WINDOWS) <= *n;
        if let Some(rows) = text.strip_prefix("rows:") {
            return rows.parse().ok().filter(at_least_twelve).map(Self::Rows).ok_or_else(invalid);
        }
        let unit = match text.chars().last() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            _ => return Err(invalid()),
        };
        let number = text[..text.len() - 1].parse::<u64>().ok();
        let seconds = number.and_then(|number| number.checked_mul(unit)).filter(at_least_twelve);
        seconds.map(|seconds| Self::Time(Duration::from_secs(seconds))).ok_or_else(invalid)
    }
}

impl fmt::Display for WindowSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = match self {
            Self::Time(span) => span,
            Self::Rows(rows) => return write!(f, "rows:{rows}"),
        };
        let seconds = span.as_secs();
        // One day is written as hours, as people say it.
        let (size, name) = match seconds {
            _ if seconds.is_multiple_of(86_400) && 86_400 < seconds => (86_400, "d"),
            _ if seconds.is_multiple_of(3600) => (3600, "h"),
            _ if seconds.is_multiple_of(60) => (60, "m"),
            _ => (1, "s"),
        };
        write!(f, "{}{name}", seconds / size)
    }
}

impl TryFrom<String> for WindowSpec {
    type Error = InvalidWindow;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<WindowSpec> for String {
    fn from(spec: WindowSpec) -> Self {
        spec.to_string()
    }
}

/// What one window says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowReport {
    /// Which window.
    pub window: WindowSpec,
    /// How many rows it has now.
    pub rows: u64,
    /// The columns, in the profile's order; a warning that has not come often enough yet is `ok` here.
    pub columns: Vec<ColumnReport>,
}

crate::schema::described!(WindowReport as "WindowReport" { window, rows, columns });

/// The windows of one version.
#[derive(Debug, Clone)]
pub struct Windows {
    profile: Profile,
    thresholds: Thresholds,
    windows: Vec<Window>,
    total: Counts,
    now: Duration,
}

/// A ring of sub-windows; the last one is open.
#[derive(Debug, Clone)]
struct Window {
    spec: WindowSpec,
    ring: VecDeque<Sub>,
    /// The sum over the ring, whole columns of it.
    rows: u64,
    /// What the window said at its earlier places: the latest that shares nothing with it, and those that still do.
    closed: VecDeque<Closed>,
}

/// A place of the window, up to and with the sub-window at `index`.
#[derive(Debug, Clone)]
struct Closed {
    index: u128,
    /// Windows in a row that would warn, a column: this one, the latest before it that shares nothing with it, and so on.
    streaks: Vec<u32>,
}

#[derive(Debug, Clone)]
struct Sub {
    /// The place of its span on the time axis; in a window by rows, how many came before it.
    index: u128,
    counts: Counts,
}

impl Windows {
    /// Empty windows over counters that start from zero.
    pub fn new(specs: &[WindowSpec], profile: Profile, thresholds: Thresholds) -> Self {
        let window = |&spec: &WindowSpec| Window { spec, ring: VecDeque::new(), rows: 0, closed: VecDeque::new() };
        let windows = specs.iter().map(window).collect();
        let total = Counts::zero(&profile);
        Self { windows, total, profile, thresholds, now: Duration::ZERO }
    }

    /// Takes in the state `counts` of the counters at `now` (since any fixed moment): what came since the last push
    /// belongs to now, so push at least once a sub-window (a twelfth of the shortest window). A window by rows
    /// closes at the first push that fills it, and may be larger than asked by what that push brought.
    pub fn push(&mut self, now: Duration, counts: Counts) {
        self.now = self.now.max(now);
        let delta = counts.since(&self.total);
        self.total = counts;
        for window in &mut self.windows {
            match window.spec {
                WindowSpec::Time(span) => {
                    let index = self.now.as_nanos() / (span / SUB_WINDOWS).as_nanos().max(1);
                    window.push_time(index, &delta, &self.profile, &self.thresholds);
                }
                WindowSpec::Rows(rows) => window.push_rows(rows, &delta, &self.profile, &self.thresholds),
            }
        }
    }

    /// What each window says at the last push.
    pub fn reports(&self) -> Vec<WindowReport> {
        self.windows.iter().map(|window| window.report(&self.profile, &self.thresholds)).collect()
    }

    /// The counts in each window at the last push.
    pub fn sums(&self) -> impl Iterator<Item = (WindowSpec, Counts)> {
        self.windows.iter().map(|window| (window.spec, window.sum(&self.profile)))
    }
}

impl Window {
    /// Adds to the sub-window at `index` on the time axis.
    fn push_time(&mut self, index: u128, delta: &Counts, profile: &Profile, thresholds: &Thresholds) {
        if self.ring.back().is_some_and(|open| open.index < index) {
            self.close(profile, thresholds);
            self.expire(|ring, _| ring.front().is_some_and(|sub| sub.index + u128::from(SUB_WINDOWS) <= index));
        }
        if self.ring.back().is_none_or(|open| open.index < index) {
            self.ring.push_back(Sub { index, counts: Counts::zero(profile) });
        }
        self.add(delta);
    }

    fn push_rows(&mut self, rows: u64, delta: &Counts, profile: &Profile, thresholds: &Thresholds) {
        if self.ring.is_empty() {
            self.ring.push_back(Sub { index: 0, counts: Counts::zero(profile) });
        }
        self.add(delta);
        let step = rows.div_ceil(u64::from(SUB_WINDOWS));
        if self.ring.back().is_some_and(|open| step <= open.counts.rows) {
            // As small as it can be and still full.
            self.expire(|ring, sum| ring.front().is_some_and(|sub| rows + sub.counts.rows <= sum));
            self.close(profile, thresholds);
            let index = self.ring.back().map_or(0, |closed| closed.index + 1);
            self.ring.push_back(Sub { index, counts: Counts::zero(profile) });
        }
    }

    fn add(&mut self, delta: &Counts) {
        self.rows += delta.rows;
        if let Some(open) = self.ring.back_mut() {
            open.counts.add(delta);
        }
    }

    fn expire(&mut self, is_old: impl Fn(&VecDeque<Sub>, u64) -> bool) {
        while is_old(&self.ring, self.rows) {
            self.rows -= self.ring.pop_front().map_or(0, |sub| sub.counts.rows);
        }
    }

    /// Keeps what the window says at this place.
    fn close(&mut self, profile: &Profile, thresholds: &Thresholds) {
        let (Some(first), Some(last)) = (self.ring.front(), self.ring.back()) else { return };
        let (start, index) = (first.index, last.index);
        let before = self.before();
        let streak = |(column, report): (usize, ColumnReport)| match report.status {
            // A window that can say nothing ends the row.
            Status::InsufficientData | Status::Ok => 0,
            Status::Warn | Status::Critical => before.get(column).map_or(1, |before| before.saturating_add(1)),
        };
        let streaks = self.assess(profile, thresholds).into_iter().enumerate().map(streak).collect();
        self.closed.push_back(Closed { index, streaks });
        while self.closed.get(1).is_some_and(|next| next.index < start) {
            self.closed.pop_front();
        }
    }

    /// How often in a row each column would have warned in windows that share nothing with this one, the latest of which
    /// ended where this one begins; none where there is no such window, or only one from long ago.
    fn before(&self) -> &[u32] {
        let start = self.ring.front().map_or(0, |first| first.index);
        let mut disjoint = self.closed.iter().rev().skip_while(|closed| start <= closed.index);
        let recent = disjoint.next().filter(|closed| start <= closed.index + u128::from(SUB_WINDOWS));
        recent.map_or(&[], |closed| &closed.streaks)
    }

    fn sum(&self, profile: &Profile) -> Counts {
        let mut sum = Counts::zero(profile);
        self.ring.iter().for_each(|sub| sum.add(&sub.counts));
        sum
    }

    fn assess(&self, profile: &Profile, thresholds: &Thresholds) -> Vec<ColumnReport> {
        let sum = self.sum(profile);
        let n_columns = profile.columns().len();
        let columns = profile.columns().iter().zip(&sum.columns);
        columns.map(|(column, counts)| assess(column, counts, thresholds, n_columns)).collect()
    }

    fn report(&self, profile: &Profile, thresholds: &Thresholds) -> WindowReport {
        let mut columns = self.assess(profile, thresholds);
        let before = self.before();
        for (place, column) in columns.iter_mut().enumerate() {
            let streak = before.get(place).map_or(1, |before| before.saturating_add(1));
            if column.status == Status::Warn && streak < thresholds.warn_windows {
                column.status = Status::Ok;
            }
        }
        WindowReport { window: self.spec, rows: self.rows, columns }
    }
}

#[cfg(test)]
#[path = "windows_tests.rs"]
mod tests;
