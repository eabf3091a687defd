//! What was checked, and what came of it.

use serde::Serialize;

use crate::cli::table::{row, table};

/// Who says that a server has to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// The protocol's own text.
    Required,
    /// An extension of it, a convention, or what widespread clients count on.
    Extension,
}

/// A rule: its short name, who says so, and where it is written.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Rule {
    pub(super) check: &'static str,
    pub(super) level: Level,
    pub(super) source: &'static str,
}

/// A rule of the protocol's own text.
pub(super) const fn required(check: &'static str, source: &'static str) -> Rule {
    Rule { check, level: Level::Required, source }
}

/// A rule of an extension.
pub(super) const fn extension(check: &'static str, source: &'static str) -> Rule {
    Rule { check, level: Level::Extension, source }
}

/// What came of a check; the text says what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass(String),
    Fail(String),
    /// It cannot be checked on this server or model.
    Skip(String),
}

impl Verdict {
    /// A pass where nothing was found fault with.
    pub(super) fn of(found: Result<String, String>) -> Self {
        match found {
            Ok(came) => Self::Pass(came),
            Err(came) => Self::Fail(came),
        }
    }

    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Pass(came) => ("pass", came),
            Self::Fail(came) => ("FAIL", came),
            Self::Skip(came) => ("skip", came),
        }
    }
}

/// All checks so far.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<(Rule, Verdict)>);

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    rule: Rule,
    result: String,
    came: &'a str,
}

#[derive(Serialize)]
struct Shown<'a> {
    conforms: bool,
    passed: usize,
    failed: usize,
    skipped: usize,
    checks: Vec<Line<'a>>,
}

impl Report {
    pub(super) fn note(&mut self, rule: Rule, verdict: Verdict) {
        self.0.push((rule, verdict));
    }

    /// Whether nothing failed that the protocol requires.
    pub(super) fn conforms(&self) -> bool {
        !self.0.iter().any(|(rule, verdict)| rule.level == Level::Required && matches!(verdict, Verdict::Fail(_)))
    }

    fn count(&self, is_counted: impl Fn(&Rule, &Verdict) -> bool) -> usize {
        self.0.iter().filter(|(rule, verdict)| is_counted(rule, verdict)).count()
    }

    pub(super) fn table(&self) -> String {
        let line = |(rule, verdict): &(Rule, Verdict)| {
            let level = if rule.level == Level::Required { "required" } else { "extension" };
            let (result, came) = verdict.parts();
            row([rule.check, level, result, came, rule.source])
        };
        let lines = std::iter::once(row(["CHECK", "LEVEL", "RESULT", "CAME", "SOURCE"])).chain(self.0.iter().map(line));
        format!("{}\n\n{}", table(&lines.collect::<Vec<_>>()), self.summary())
    }

    fn summary(&self) -> String {
        let of = |level: Level| {
            let passed = self.count(|rule, verdict| rule.level == level && matches!(verdict, Verdict::Pass(_)));
            let checked = self.count(|rule, verdict| rule.level == level && !matches!(verdict, Verdict::Skip(_)));
            (passed, checked)
        };
        let ((required, all_required), (extensions, all_extensions)) = (of(Level::Required), of(Level::Extension));
        let skipped = self.count(|_, verdict| matches!(verdict, Verdict::Skip(_)));
        format!(
            "{required} of {all_required} required checks passed, {extensions} of {all_extensions} of extensions; {skipped} were skipped"
        )
    }

    pub(super) fn json(&self) -> serde_json::Result<String> {
        let line = |(rule, verdict): &'_ (Rule, Verdict)| {
            let result = verdict.parts().0.to_lowercase();
            (*rule, result)
        };
        let checks = self.0.iter().map(|check| {
            let (rule, result) = line(check);
            Line { rule, result, came: check.1.parts().1 }
        });
        serde_json::to_string_pretty(&Shown {
            conforms: self.conforms(),
            passed: self.count(|_, verdict| matches!(verdict, Verdict::Pass(_))),
            failed: self.count(|_, verdict| matches!(verdict, Verdict::Fail(_))),
            skipped: self.count(|_, verdict| matches!(verdict, Verdict::Skip(_))),
            checks: checks.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_required_decides() {
        let mut report = Report::default();
        report.note(extension("e", "s"), Verdict::Fail("no".to_owned()));
        report.note(required("r", "s"), Verdict::Pass("yes".to_owned()));
        report.note(required("k", "s"), Verdict::Skip("cannot".to_owned()));
        assert!(report.conforms());
        assert!(report.table().ends_with("1 of 1 required checks passed, 0 of 1 of extensions; 1 were skipped"));
        report.note(required("r2", "s"), Verdict::Fail("no".to_owned()));
        assert!(!report.conforms());
        let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        assert_eq!((&json["failed"], &json["checks"][0]["result"]), (&2.into(), &"fail".into()));
    }
}
