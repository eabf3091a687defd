//! What an owner says of onnxruntime.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::engine::validate::shown;
use crate::engine::{EngineChoice, Limits};

/// What models are opened with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engines {
    /// How large a model may be.
    pub limits: Limits,
    /// onnxruntime, where there is one; native and tract are always there.
    pub onnxruntime: Option<Onnxruntime>,
}

impl From<Limits> for Engines {
    fn from(limits: Limits) -> Self {
        Self { limits, onnxruntime: None }
    }
}

impl Engines {
    /// What tells one onnxruntime from another: what was found out with one does not hold for another. Nothing where the
    /// choice of `engine` does not depend on it.
    pub fn onnxruntime_identity(&self, engine: EngineChoice) -> Option<String> {
        match engine {
            EngineChoice::Auto | EngineChoice::Onnxruntime => self.onnxruntime.as_ref().map(Onnxruntime::identity),
            EngineChoice::Native | EngineChoice::Tract => None,
        }
    }
}

/// Where onnxruntime's library is, and how it is used.
///
/// From 1.29 on it reports on its use to its makers unless `ORT_DISABLE_TELEMETRY` is 1 in the environment when it is opened. The
/// `gudgeon` binary sees to that; a program that embeds this library must do so itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Onnxruntime {
    /// The library file.
    pub library: PathBuf,
    /// What runs the operators, in the order in which it is tried.
    pub providers: Providers,
    /// Runs of one model at once, each of which takes the memory of a copy. A run beyond that waits for another.
    pub runs_at_once_max: usize,
}

/// The library's name where nobody names another.
const FILE_NAME: &str = if cfg!(target_os = "macos") { "libonnxruntime.dylib" } else { "libonnxruntime.so" };

impl Onnxruntime {
    /// Whether this build can use one.
    pub const IS_IN_BUILD: bool = cfg!(all(feature = "onnxruntime", not(target_feature = "crt-static")));

    /// One that runs on the CPU, once at a time.
    pub fn new(library: PathBuf, providers: Providers) -> Self {
        Self { library, providers, runs_at_once_max: 1 }
    }

    /// The library in `folder`: `libonnxruntime.so`, else the newest `libonnxruntime.so.1.*`.
    pub fn library_in(folder: &Path) -> Option<PathBuf> {
        let plain = folder.join(FILE_NAME);
        if plain.is_file() {
            return Some(plain);
        }
        let prefix = format!("{FILE_NAME}.1.");
        let version = |name: &str| -> Option<Vec<u32>> {
            name.strip_prefix(&prefix)?.split('.').map(|part| part.parse().ok()).collect()
        };
        let names = std::fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let newest = names.filter_map(|name| Some((version(&name)?, name))).max()?;
        Some(folder.join(newest.1))
    }

    /// File name, size and time of the library, and the providers.
    pub fn identity(&self) -> String {
        let Self { library, providers, runs_at_once_max: _ } = self;
        let name = library.file_name().unwrap_or_default().to_string_lossy();
        let found = std::fs::metadata(library).and_then(|found| Ok((found.len(), found.modified()?)));
        match found {
            Ok((bytes, modified)) => {
                let nanos = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
                format!("{name}, {bytes} bytes, modified {nanos}, on {providers}")
            }
            Err(error) => format!("{name}, {error}, on {providers}"),
        }
    }
}

/// What runs onnxruntime's operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// The CPU.
    Cpu,
    /// A GPU of NVIDIA's.
    Cuda,
}

/// Providers in the order in which they are tried, written `cuda,cpu`. The CPU comes last, whether or not it is named.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<Provider>")]
pub struct Providers(Vec<Provider>);

impl Default for Providers {
    fn default() -> Self {
        Self(vec![Provider::Cpu])
    }
}

impl Providers {
    /// Whether `provider` is among them.
    pub fn has(&self, provider: Provider) -> bool {
        self.0.contains(&provider)
    }
}

impl From<Providers> for Vec<Provider> {
    fn from(Providers(providers): Providers) -> Self {
        providers
    }
}

impl TryFrom<Vec<String>> for Providers {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<Self, String> {
        let provider = |name: &String| match name.as_str() {
            "cpu" => Ok(Provider::Cpu),
            "cuda" => Ok(Provider::Cuda),
            other => Err(format!("expected some of cuda, cpu, got {}", shown(other))),
        };
        let providers = names.iter().map(provider).collect::<Result<Vec<_>, _>>()?;
        match providers.as_slice() {
            [Provider::Cpu | Provider::Cuda] | [Provider::Cuda, Provider::Cpu] => Ok(Self(providers)),
            _ => Err(format!("expected cpu, cuda or cuda,cpu, got {}", shown(&names.join(",")))),
        }
    }
}

impl FromStr for Providers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>().try_into()
    }
}

impl fmt::Display for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, provider) in self.0.iter().enumerate() {
            let name = match provider {
                Provider::Cpu => "cpu",
                Provider::Cuda => "cuda",
            };
            write!(f, "{}{name}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let got = text.parse::<Providers>().map(|providers| providers.to_string());
        assert_eq!(got, expected.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn providers_are_known_by_name_and_the_cpu_comes_last() {
        check("cpu", Ok("cpu"));
        check("cuda, cpu", Ok("cuda,cpu"));
        check("cuda", Ok("cuda"));
        check("cpu,cuda", Err("expected cpu, cuda or cuda,cpu, got \"cpu,cuda\""));
        check("tensorrt", Err("expected some of cuda, cpu, got \"tensorrt\""));
        check("", Err("expected some of cuda, cpu, got \"\""));
    }

    #[test]
    fn the_library_beside_the_binary_is_the_plain_one_else_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| std::fs::write(folder.path().join(name), name).unwrap();
        let found = || {
            let library = Onnxruntime::library_in(folder.path())?;
            Some(library.file_name().unwrap().to_str().unwrap().to_owned())
        };
        assert_eq!(found(), None);
        assert_eq!(Onnxruntime::library_in(&folder.path().join("nowhere")), None);
        for name in ["libonnxruntime.so.2.0", "libonnxruntime.so.1.x", "libonnxruntime_providers_shared.so"] {
            file(name);
        }
        assert_eq!(found(), None);
        file(&format!("{FILE_NAME}.1.9.1"));
        file(&format!("{FILE_NAME}.1.32.0"));
        assert_eq!(found(), Some(format!("{FILE_NAME}.1.32.0")));
        file(FILE_NAME);
        assert_eq!(found(), Some(FILE_NAME.to_owned()));
    }

    #[test]
    fn another_library_is_another_identity() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join(FILE_NAME);
        let onnxruntime = Onnxruntime::new(library.clone(), Providers::default());
        let none = onnxruntime.identity();
        std::fs::write(&library, "one").unwrap();
        let one = onnxruntime.identity();
        std::fs::write(&library, "another").unwrap();
        let another = onnxruntime.identity();
        let on_cuda = Onnxruntime { providers: "cuda".parse().unwrap(), ..onnxruntime.clone() }.identity();
        let all = std::collections::BTreeSet::from([none, one, another.clone(), on_cuda]);
        assert_eq!(all.len(), 4, "{all:?}");
        assert_eq!(Onnxruntime { runs_at_once_max: 9, ..onnxruntime }.identity(), another);
    }
}
