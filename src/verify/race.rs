//! `engine = "auto"`: engines are tried out one after the other, each in a child of its own, and measured. The fastest of those
//! that answer rightly serves.
//!
//! The first engine that takes a graph is tried out as ever. The others get their turn where there is time to win, or where the
//! first one does not answer rightly; what they do wrong, or take too long for, only counts against themselves.

use std::time::{Duration, Instant};

use super::examine::{Failed, Found};
use super::probe::Probe;
use super::{BatchLatency, Candidate, Examiner, Finding, Refusal};
use crate::child::ChildLimits;
use crate::engine::{EngineChoice, EngineName};

/// A version whose rows take no longer than this alone, microseconds, and ...
const QUICK_ROW_US: f64 = 20.0;
/// ... no longer than this in a large batch is not raced: taking in a request takes more.
const QUICK_BATCHED_ROW_US: f64 = 5.0;
/// The first of the engines that are slower than the fastest by no more than this share is taken.
const TIE_SHARE: f64 = 0.1;
/// An engine that is tried out beside another may take so many times what that one took, ...
const TIMES_MAX: u32 = 4;
/// ... or this, whichever is more.
const TIME_MIN: Duration = Duration::from_secs(5);

/// An engine, and what became of it: what was found out, or why it is out.
#[derive(Debug)]
struct Contender {
    engine: EngineName,
    outcome: Result<Found, String>,
}

/// Verifies a version in the engines that there are.
///
/// # Errors
/// [`Refusal`] where no engine answers rightly.
pub(super) fn race(examiner: &Examiner, candidate: Candidate<'_>) -> Result<Finding, Refusal> {
    let started = Instant::now();
    let limits = examiner.child_limits;
    let first = match examiner.try_out(Candidate { engine: EngineChoice::Auto, ..candidate }, limits) {
        Ok(found) if is_quick(&found.finding.report.latency) => return Ok(without_race(found)),
        Err(failed) if failed.elsewhere.is_none() => return Err(*failed.refusal),
        first => first,
    };
    let others = others(examiner, &first);
    if others.is_empty() {
        return first.map(|found| found.finding).map_err(|failed| *failed.refusal);
    }
    let limits = if first.is_ok() { bounded(limits, started.elapsed()) } else { limits };
    let (mut contenders, mut refusal, mut before) = (Vec::new(), None, String::new());
    match first {
        Ok(found) => contenders.push(Contender { engine: found.engine(), outcome: Ok(found) }),
        Err(Failed { refusal: first, engine: Some(engine), elsewhere }) => {
            contenders.push(Contender { engine, outcome: Err(elsewhere.unwrap_or_default()) });
            refusal = Some(first);
        }
        // Neither native nor tract took the graph: it is up to onnxruntime.
        Err(failed) => before = format!("native and tract: {}; ", failed.elsewhere.unwrap_or_default()),
    }
    for engine in others {
        let tried = examiner.try_out(Candidate { engine: engine.into(), ..candidate }, limits);
        let outcome = tried.map_err(|failed| {
            let out = failed.elsewhere.unwrap_or_else(|| failed.refusal.to_string());
            refusal.get_or_insert(failed.refusal);
            out
        });
        contenders.push(Contender { engine, outcome });
    }
    let Some(mut finding) = decided(contenders, candidate.golden.is_some()) else {
        let nobody = || Refusal::NoChild("no engine was tried out".to_owned());
        return Err(refusal.map_or_else(nobody, |refusal| *refusal));
    };
    finding.report.engine.why.insert_str(0, &before);
    Ok(finding)
}

/// The engines that are yet to be tried out.
fn others(examiner: &Examiner, first: &Result<Found, Failed>) -> Vec<EngineName> {
    let tried = match first {
        Ok(found) => Some(found.engine()),
        Err(failed) => failed.engine,
    };
    let has_onnxruntime = examiner.engines.onnxruntime.is_some();
    let tract = (tried == Some(EngineName::Native)).then_some(EngineName::Tract);
    tract.into_iter().chain(has_onnxruntime.then_some(EngineName::Onnxruntime)).collect()
}

fn bounded(limits: ChildLimits, took: Duration) -> ChildLimits {
    let time_max = (TIMES_MAX * took).max(TIME_MIN);
    ChildLimits { cpu_max: limits.cpu_max.min(time_max), wall_max: limits.wall_max.min(time_max), ..limits }
}

/// Microseconds a row of the smallest and of the largest batch.
fn row_micros(latency: &[BatchLatency]) -> Option<(f64, BatchLatency)> {
    let largest = latency.last()?;
    Some((latency.first()?.median_ms * 1e3, *largest))
}

fn is_quick(latency: &[BatchLatency]) -> bool {
    let Some((alone, largest)) = row_micros(latency) else { return false };
    alone <= QUICK_ROW_US && batched(largest) <= QUICK_BATCHED_ROW_US
}

fn batched(latency: BatchLatency) -> f64 {
    latency.median_ms * 1e3 / count(latency.rows.max(1))
}

fn count(rows: usize) -> f64 {
    f64::from(u32::try_from(rows).unwrap_or(u32::MAX))
}

fn without_race(found: Found) -> Finding {
    let mut finding = found.finding;
    let report = &mut finding.report;
    if let Some((alone, _)) = row_micros(&report.latency) {
        let why = &mut report.engine.why;
        why.push_str(&format!("; {} us a row, so no other engine was tried", shown(alone)));
    }
    finding
}

/// The finding of the engine that is to serve; `None` where all are out.
fn decided(mut contenders: Vec<Contender>, has_golden: bool) -> Option<Finding> {
    // Golden cases say what is right. Without them it is what the most trusted engine says.
    if !has_golden {
        disqualify(&mut contenders);
    }
    let common = common_batches(&contenders);
    let score = |found: &Found| {
        let times = found.finding.report.latency.iter().filter(|latency| common.contains(&latency.rows));
        times.map(|latency| latency.median_ms.max(f64::MIN_POSITIVE).ln()).sum::<f64>() / count(common.len().max(1))
    };
    let scores = contenders.iter().filter_map(|contender| Some(score(contender.outcome.as_ref().ok()?)));
    let best = scores.reduce(f64::min)?;
    let is_as_fast = |found: &Found| score(found) <= best + (1.0 + TIE_SHARE).ln();
    let winner = contenders.iter().position(|contender| contender.outcome.as_ref().is_ok_and(is_as_fast))?;
    let why = contenders.iter().map(said).collect::<Vec<_>>().join("; ");
    let mut finding = contenders.swap_remove(winner).outcome.ok()?.finding;
    let engaged = &mut finding.report.engine;
    (engaged.asked, engaged.why) = (EngineChoice::Auto, why);
    Some(finding)
}

/// Puts those out that say something else than the most trusted engine: for graphs with operators of ai.onnx.ml that is native,
/// which the recorded cases hold to what scikit-learn and its like say; for others onnxruntime, which they are exported for.
fn disqualify(contenders: &mut [Contender]) {
    let probe = |contender: &Contender| -> Option<Probe> { contender.outcome.as_ref().ok()?.probe.clone() };
    let uses_ml = contenders.iter().find_map(probe).is_some_and(|probe| probe.uses_ml());
    let trusted = match uses_ml {
        true => [EngineName::Native, EngineName::Onnxruntime, EngineName::Tract],
        false => [EngineName::Onnxruntime, EngineName::Native, EngineName::Tract],
    };
    let reference = trusted.into_iter().find_map(|engine| {
        let contender = contenders.iter().find(|contender| contender.engine == engine)?;
        Some((engine, probe(contender)?))
    });
    // Where no engine runs the rows that were made up, nothing is known of any.
    let Some((reference, expected)) = reference else { return };
    for contender in contenders.iter_mut().filter(|contender| contender.engine != reference) {
        let Ok(found) = &contender.outcome else { continue };
        let out = match &found.probe {
            Some(probe) => expected.difference(probe).map(|what| format!("differs from {reference} in {what}")),
            None => Some(format!("fails on rows that {reference} takes")),
        };
        if let Some(out) = out {
            contender.outcome = Err(out);
        }
    }
}

/// The smallest and the largest of the batches that all engines were measured with, each counting alike.
fn common_batches(contenders: &[Contender]) -> Vec<usize> {
    let measured =
        contenders.iter().filter_map(|contender| Some(&contender.outcome.as_ref().ok()?.finding.report.latency));
    let rows = measured.map(|latency| latency.iter().map(|latency| latency.rows).collect::<Vec<_>>());
    let common = rows.reduce(|common, rows| common.into_iter().filter(|count| rows.contains(count)).collect());
    let common = common.unwrap_or_default();
    let mut ends: Vec<usize> = common.first().into_iter().chain(common.last()).copied().collect();
    ends.dedup();
    ends
}

fn said(contender: &Contender) -> String {
    let engine = contender.engine;
    match &contender.outcome {
        Err(out) => format!("{engine}: {out}"),
        Ok(found) => match row_micros(&found.finding.report.latency) {
            Some((alone, largest)) if 1 < largest.rows => {
                format!("{engine}: {} us a row, {} us in {}", shown(alone), shown(batched(largest)), largest.rows)
            }
            Some((alone, _)) => format!("{engine}: {} us a row", shown(alone)),
            None => format!("{engine}: not measured"),
        },
    }
}

/// Microseconds with two digits at least.
fn shown(micros: f64) -> String {
    if micros < 10.0 { format!("{micros:.1}") } else { format!("{micros:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engaged;
    use crate::model::{Digest, Signature, Task};
    use crate::tensor::{Data, Tensor};
    use crate::verify::Report;

    fn found(engine: EngineName, micros: &[(usize, f64)], says: Option<(f32, bool)>) -> Contender {
        let latency = micros.iter().map(|&(rows, micros)| BatchLatency { rows, median_ms: micros / 1e3 });
        let why = "asked for".to_owned();
        let report = Report {
            golden_rows: 0,
            engine: Engaged { asked: engine.into(), engine, why, onnxruntime: None },
            open_ms: 1.0,
            peak_memory_bytes: None,
            sandbox: None,
            follows_rows: true,
            latency: latency.collect(),
        };
        let signature = Signature { inputs: vec![], outputs: vec![], features: vec![], classes: vec![], maps: vec![] };
        let model_sha256 = Digest::of(b"");
        let finding = Finding { model_sha256, signature, task: Task::Other, opset: 17, report };
        let probe = says.map(|(value, uses_ml)| Probe::of("y", Tensor::vector(Data::Fp32(vec![value])), uses_ml));
        Contender { engine, outcome: Ok(Found { finding, probe }) }
    }

    fn out(engine: EngineName, why: &str) -> Contender {
        Contender { engine, outcome: Err(why.to_owned()) }
    }

    #[track_caller]
    fn check(contenders: Vec<Contender>, has_golden: bool, expected: Option<(EngineName, &str)>) {
        let engaged = decided(contenders, has_golden).map(|finding| finding.report.engine);
        let got = engaged.as_ref().map(|engaged| (engaged.engine, engaged.why.as_str()));
        assert_eq!(got, expected);
        assert!(engaged.is_none_or(|engaged| engaged.asked == EngineChoice::Auto));
    }

    use EngineName::{Native, Onnxruntime, Tract};

    const SAME: Option<(f32, bool)> = Some((1.0, false));

    #[test]
    fn the_fastest_serves_and_a_tie_goes_to_the_first() {
        let native = || found(Native, &[(1, 100.0), (64, 640.0)], SAME);
        let why = "native: 100 us a row, 10 us in 64; tract: 140 us a row, 10 us in 64";
        check(vec![native(), found(Tract, &[(1, 140.0), (64, 640.0)], SAME)], false, Some((Native, why)));
        let why = "native: 100 us a row, 10 us in 64; tract: 50 us a row, 10 us in 64";
        check(vec![native(), found(Tract, &[(1, 50.0), (64, 640.0)], SAME)], false, Some((Tract, why)));
        let why = "native: 100 us a row, 10 us in 64; onnxruntime: 95 us a row, 9.5 us in 64";
        check(vec![native(), found(Onnxruntime, &[(1, 95.0), (64, 608.0)], SAME)], false, Some((Native, why)));
        // Of one that was only measured with one row, nothing is known of 64.
        let why = "native: 100 us a row, 10 us in 64; onnxruntime: 80 us a row";
        check(vec![native(), found(Onnxruntime, &[(1, 80.0)], SAME)], false, Some((Onnxruntime, why)));
        check(
            vec![out(Native, "lacks Conv"), found(Tract, &[], SAME)],
            false,
            Some((Tract, "native: lacks Conv; tract: not measured")),
        );
        check(vec![out(Native, "lacks Conv"), out(Tract, "lacks Loop")], false, None);
    }

    #[test]
    fn who_answers_wrongly_is_out_however_fast() {
        let says = |engine, micros, value, uses_ml| found(engine, &[(1, micros)], Some((value, uses_ml)));
        let three = |uses_ml| {
            vec![
                says(Native, 30.0, 1.0, uses_ml),
                says(Tract, 10.0, 2.0, uses_ml),
                says(Onnxruntime, 20.0, 2.0, uses_ml),
            ]
        };
        let why = "native: 30 us a row; tract: differs from native in output \"y\": 1 against 2; onnxruntime: differs from \
                   native in output \"y\": 1 against 2";
        check(three(true), false, Some((Native, why)));
        let why = "native: differs from onnxruntime in output \"y\": 2 against 1; tract: 10 us a row; onnxruntime: 20 us a row";
        check(three(false), false, Some((Tract, why)));
        // Whoever is here has given the golden answers.
        let why = "native: 30 us a row; tract: 10 us a row; onnxruntime: 20 us a row";
        check(three(false), true, Some((Tract, why)));
        let silent = vec![says(Native, 30.0, 1.0, true), found(Tract, &[(1, 10.0)], None)];
        check(silent, false, Some((Native, "native: 30 us a row; tract: fails on rows that native takes")));
    }

    #[test]
    fn what_takes_less_than_a_request_is_not_raced() {
        let is_quick = |micros: &[(usize, f64)]| {
            let contender = found(Native, micros, SAME);
            is_quick(&contender.outcome.unwrap().finding.report.latency)
        };
        assert!(is_quick(&[(1, 2.0), (8, 10.0), (64, 100.0)]));
        assert!(!is_quick(&[(1, 25.0), (64, 100.0)]));
        assert!(!is_quick(&[(1, 2.0), (64, 640.0)]));
        assert!(!is_quick(&[]));
    }
}
