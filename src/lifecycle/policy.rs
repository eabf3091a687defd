//! What happens next: pure decisions over what is known.

use crate::model::Version;

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

#[cfg(test)]
mod tests {
    use super::*;

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
