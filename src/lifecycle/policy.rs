//! What happens next: pure decisions over what is known.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::{Mode, Share, Version};

/// What is known about a model when an operator asks for a change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The version that the registry's alias names.
    pub champion: Option<Version>,
    /// The version that a roll back goes to.
    pub previous: Option<Version>,
    /// Versions in memory.
    pub loaded: Vec<Version>,
    /// Whether the champion in the slot is the one that the alias names.
    pub is_serving: bool,
}

/// What to do to make a version the champion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is the champion already.
    Nothing,
    /// It is in memory: swap.
    Swap(Version),
    /// It must be opened and verified first, then swapped in.
    LoadAndSwap(Version),
}

/// There is no version to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no version to roll back to: none was active before the champion; activate a version by its number instead")]
pub struct NothingBefore;

/// What to do so that `target` becomes the champion.
pub fn activate(snapshot: &Snapshot, target: Version) -> Step {
    if snapshot.champion == Some(target) && snapshot.is_serving {
        Step::Nothing
    } else if snapshot.loaded.contains(&target) {
        // A version that was active before is still in memory: it goes straight back.
        Step::Swap(target)
    } else {
        Step::LoadAndSwap(target)
    }
}

/// What to do to go back to the version before.
///
/// # Errors
/// [`NothingBefore`] where no version was active before.
pub fn roll_back(snapshot: &Snapshot) -> Result<Step, NothingBefore> {
    match snapshot.previous {
        Some(previous) if snapshot.champion != Some(previous) => Ok(activate(snapshot, previous)),
        _ => Err(NothingBefore),
    }
}

/// The version to serve at start, and whether that must be recorded. The alias decides; without one, only a model with a
/// single version needs no decision. It is never "the newest".
pub fn at_start(champion: Option<Version>, versions: &[Version]) -> Option<(Version, bool)> {
    match (champion, versions) {
        (Some(champion), _) => Some((champion, false)),
        (None, [only]) => Some((*only, true)),
        (None, _) => None,
    }
}

/// How a challenger is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// Whether it answers.
    pub mode: Mode,
    /// The share of requests that it sees or answers.
    pub share: Share,
    /// The step of the rollout.
    pub step: Option<u32>,
}

/// Which version is under each alias, in the registry or in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cast {
    /// The version that answers.
    pub champion: Option<Version>,
    /// The candidate.
    pub challenger: Option<Version>,
    /// How the candidate is tried.
    pub tried: Option<Tried>,
    /// Where a roll back goes.
    pub previous: Option<Version>,
}

/// What brings memory to what the registry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Memory is as the registry says.
    Nothing,
    /// The registry names no champion: what serves goes on, and where nothing does, nothing begins.
    Keep,
    /// This version becomes the champion; the pointer is recorded where there was none.
    Champion {
        /// The version.
        version: Version,
        /// Whether the registry does not name it yet.
        must_record: bool,
    },
    /// The champion serves; the versions beside it are not those of the registry.
    Others,
}

/// What brings `present`, the versions in memory, to `wanted`, those of the registry's aliases. `only` is the version that
/// serves without anybody's decision where no champion was ever named. The champion comes first: what answers matters most.
pub fn converge(wanted: Cast, present: Cast, only: Option<Version>) -> Move {
    match (wanted.champion, present.champion, only) {
        (Some(champion), serving, _) if serving != Some(champion) => {
            Move::Champion { version: champion, must_record: false }
        }
        (Some(_), _, _) if wanted == present => Move::Nothing,
        (Some(_), _, _) => Move::Others,
        (None, None, Some(only)) => Move::Champion { version: only, must_record: true },
        (None, _, _) => Move::Keep,
    }
}

/// How long to wait after so many failures in a row, where nothing changes meanwhile: twice as long each time, at most a
/// minute.
pub fn retry_delay(failures: u32, interval: Duration) -> Duration {
    const DELAY_MAX: Duration = Duration::from_secs(60);
    interval.saturating_mul(2_u32.saturating_pow(failures.min(16))).min(DELAY_MAX)
}

/// The versions to remove so that the newest `keep` stay, and every one of `in_use` with them, oldest first.
pub fn prune(versions: &[Version], in_use: &BTreeSet<Version>, keep: usize) -> Vec<Version> {
    let sorted: BTreeSet<Version> = versions.iter().copied().collect();
    let n_older = sorted.len().saturating_sub(keep);
    sorted.into_iter().take(n_older).filter(|version| !in_use.contains(version)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cast(champion: u64, challenger: u64, previous: u64) -> Cast {
        let version = |number| Version::try_from(number).ok();
        Cast { champion: version(champion), challenger: version(challenger), tried: None, previous: version(previous) }
    }

    #[test]
    fn memory_follows_the_registry_champion_first() {
        let champion = |number, must_record| Move::Champion { version: version(number), must_record };
        assert_eq!(converge(cast(2, 0, 1), cast(2, 0, 1), None), Move::Nothing);
        assert_eq!(converge(cast(3, 4, 2), cast(2, 0, 1), None), champion(3, false));
        assert_eq!(converge(cast(3, 4, 2), cast(3, 0, 2), None), Move::Others);
        assert_eq!(converge(cast(3, 0, 0), cast(3, 0, 2), None), Move::Others);
        assert_eq!(converge(cast(1, 0, 0), cast(0, 0, 0), None), champion(1, false));
    }

    #[test]
    fn without_a_champion_only_a_single_version_begins_and_what_serves_goes_on() {
        let only = Some(version(1));
        assert_eq!(
            converge(cast(0, 0, 0), cast(0, 0, 0), only),
            Move::Champion { version: version(1), must_record: true }
        );
        assert_eq!(converge(cast(0, 0, 0), cast(0, 0, 0), None), Move::Keep);
        assert_eq!(converge(cast(0, 0, 0), cast(7, 0, 0), only), Move::Keep);
    }

    #[test]
    fn what_fails_again_and_again_is_tried_less_and_less_often() {
        let interval = Duration::from_secs(2);
        let delays: Vec<u64> = (0..7).map(|failures| retry_delay(failures, interval).as_secs()).collect();
        assert_eq!(delays, [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(retry_delay(u32::MAX, interval).as_secs(), 60);
    }

    #[test]
    fn pruning_keeps_the_newest_and_all_that_are_in_use() {
        let check = |in_use: &[u64], keep: usize, expected: &[u64]| {
            let versions: Vec<Version> = (1..=5).map(version).collect();
            let in_use = in_use.iter().map(|&number| version(number)).collect();
            let pruned: Vec<u64> = prune(&versions, &in_use, keep).into_iter().map(Version::number).collect();
            assert_eq!(pruned, expected);
        };
        check(&[], 2, &[1, 2, 3]);
        check(&[1, 3], 2, &[2]);
        check(&[5, 4], 5, &[]);
        check(&[5, 4], 9, &[]);
        check(&[2], 0, &[1, 3, 4, 5]);
    }

    fn version(number: u64) -> Version {
        Version::try_from(number).unwrap()
    }

    fn snapshot(champion: u64, previous: u64, loaded: &[u64]) -> Snapshot {
        Snapshot {
            champion: Version::try_from(champion).ok(),
            previous: Version::try_from(previous).ok(),
            loaded: loaded.iter().map(|&number| version(number)).collect(),
            is_serving: loaded.contains(&champion),
        }
    }

    #[test]
    fn activation_loads_only_what_is_not_in_memory() {
        assert_eq!(activate(&snapshot(2, 1, &[1, 2]), version(2)), Step::Nothing);
        assert_eq!(activate(&snapshot(2, 1, &[1, 2]), version(1)), Step::Swap(version(1)));
        assert_eq!(activate(&snapshot(2, 1, &[1, 2]), version(3)), Step::LoadAndSwap(version(3)));
        assert_eq!(activate(&snapshot(2, 1, &[]), version(2)), Step::LoadAndSwap(version(2)));
    }

    #[test]
    fn a_roll_back_goes_to_the_version_before() {
        assert_eq!(roll_back(&snapshot(2, 1, &[1, 2])), Ok(Step::Swap(version(1))));
        assert_eq!(roll_back(&snapshot(2, 1, &[2])), Ok(Step::LoadAndSwap(version(1))));
        assert_eq!(roll_back(&snapshot(1, 0, &[1])), Err(NothingBefore));
    }

    #[test]
    fn the_start_follows_the_alias_and_never_the_newest() {
        let versions = [version(1), version(2)];
        assert_eq!(at_start(Some(version(1)), &versions), Some((version(1), false)));
        assert_eq!(at_start(None, &versions[..1]), Some((version(1), true)));
        assert_eq!(at_start(None, &versions), None);
        assert_eq!(at_start(None, &[]), None);
    }
}
