//! What a verification found, kept so that the same bytes need not be tried out again.

use serde::{Deserialize, Serialize};

use super::Report;
use crate::engine::{EngineChoice, Engines};
use crate::model::Digest;

/// A verification as it is kept with the version. It holds for the bytes, the build and the limits that it was made with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The form of this file: [`Kept::FORMAT`].
    pub format: String,
    /// The version of gudgeon that verified.
    pub gudgeon: String,
    /// The digest of the graph.
    pub model_sha256: Digest,
    /// The digest of the manifest, where there is one.
    pub manifest_sha256: Option<Digest>,
    /// What was measured.
    pub report: Report,
}

impl Kept {
    /// The form that this build reads and writes.
    pub const FORMAT: &'static str = "gudgeon.verified/3";

    /// The verification of a version with these digests, by this build.
    pub fn new(model_sha256: Digest, manifest_sha256: Option<Digest>, report: Report) -> Self {
        let gudgeon = env!("CARGO_PKG_VERSION").to_owned();
        Self { format: Self::FORMAT.to_owned(), gudgeon, model_sha256, manifest_sha256, report }
    }

    /// Reads what [`Kept::text`] wrote. What cannot be read is as good as not there.
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok().filter(|kept: &Self| kept.format == Self::FORMAT)
    }

    /// The text to keep.
    pub fn text(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// Whether it holds for a version with these digests in the engine that is asked for, in this build with these engines,
    /// where a child may take so much memory.
    pub fn holds(
        &self,
        (model, manifest): (Digest, Option<Digest>),
        (engine, engines): (EngineChoice, &Engines),
        memory_bytes_max: u64,
    ) -> bool {
        let report = &self.report;
        self.gudgeon == env!("CARGO_PKG_VERSION")
            && (self.model_sha256, self.manifest_sha256) == (model, manifest)
            && report.engine.asked == engine
            && report.engine.onnxruntime == engines.onnxruntime_identity(engine)
            // Only a child tells its peak: what was opened in a server is not taken for tried out.
            && report.peak_memory_bytes.is_some_and(|peak| peak <= memory_bytes_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engaged, EngineName, Onnxruntime, Providers};

    #[test]
    fn a_verification_holds_for_the_same_bytes_build_and_limits() {
        let report = Report {
            golden_rows: 2,
            engine: Engaged {
                asked: EngineChoice::Auto,
                engine: EngineName::Native,
                why: "it can".to_owned(),
                onnxruntime: None,
            },
            open_ms: 1.5,
            peak_memory_bytes: Some(100),
            sandbox: None,
            follows_rows: true,
            latency: Vec::new(),
        };
        let (model, manifest) = (Digest::of(b"model"), Some(Digest::of(b"manifest")));
        let kept = Kept::parse(&Kept::new(model, manifest, report.clone()).text()).unwrap();
        let engines = Engines::default();
        let auto = (EngineChoice::Auto, &engines);
        assert!(kept.holds((model, manifest), auto, 100));
        assert!(!kept.holds((model, manifest), auto, 99));
        assert!(!kept.holds((model, manifest), (EngineChoice::Tract, &engines), 100));
        let onnxruntime = Onnxruntime::new("libonnxruntime.so".into(), Providers::default());
        let more = Engines { onnxruntime: Some(onnxruntime), ..Engines::default() };
        assert!(!kept.holds((model, manifest), (EngineChoice::Auto, &more), 100), "there is another to choose from");
        let mut native = kept.clone();
        native.report.engine.asked = EngineChoice::Native;
        assert!(native.holds((model, manifest), (EngineChoice::Native, &more), 100));
        assert!(!kept.holds((model, None), auto, 100));
        assert!(!kept.holds((Digest::of(b"other"), manifest), auto, 100));
        assert!(!Kept { gudgeon: "0.0.1".to_owned(), ..kept }.holds((model, manifest), auto, 100));
        let in_process = Report { peak_memory_bytes: None, ..report };
        assert!(!Kept::new(model, manifest, in_process).holds((model, manifest), auto, 100));
        assert_eq!(Kept::parse(b"{"), None);
    }
}
