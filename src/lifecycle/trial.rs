//! Trying versions out: what serves is not touched.

use std::collections::BTreeMap;
use std::fmt;

use super::controller::{Lifecycle, event};
use super::error::LifecycleError;
use super::examined::For;
use super::operations::Stage;
use super::progress;
use crate::model::{ModelName, Producer, Version};
use crate::registry::{self, Action, Actor, Draft, Event, Registered};
use crate::verify::{self, Candidate, Finding, Report};

/// A graph to register, as it was uploaded.
pub struct Upload {
    /// The graph.
    pub model: Vec<u8>,
    /// A free label.
    pub label: Option<String>,
    /// The reason given.
    pub why: Option<String>,
    /// Who uploads.
    pub actor: Actor,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("bytes", &self.model.len()).field("label", &self.label).finish_non_exhaustive()
    }
}

impl Lifecycle {
    /// Registers an uploaded graph as a new version, once a child has opened and run it.
    ///
    /// # Errors
    /// Where it is no model that can serve, or the registry cannot take it; nothing is registered then.
    pub fn register(&self, model: &ModelName, upload: Upload) -> Result<Registered, LifecycleError> {
        let refused = event(upload.actor.clone(), Action::Register, None, upload.why.clone());
        self.register_uploaded(model, upload).map_err(|error| self.refused_upload(model, refused, error))
    }

    /// The history of a model that exists says what was refused; nothing is made for one that does not.
    fn refused_upload(&self, model: &ModelName, event: Event, error: LifecycleError) -> LifecycleError {
        if self.loader.registry.aliases(model).is_ok() {
            return self.refused(model, event, error);
        }
        tracing::warn!(%model, "{model}: {error}");
        error
    }

    fn register_uploaded(&self, model: &ModelName, upload: Upload) -> Result<Registered, LifecycleError> {
        progress::stage(Stage::Verifying);
        let engine = self.loader.engine(model)?;
        let candidate = Candidate { model: &upload.model, signature: None, golden: None, engine };
        let examined = self.loader.examinations.examine(candidate, For::Trial);
        let Finding { signature, task, opset, .. } = examined.map_err(LifecycleError::NotRegistered)?;
        let draft = Draft {
            at: registry::now(),
            actor: upload.actor,
            why: upload.why,
            label: upload.label,
            producer: Producer { name: "upload".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
            task,
            signature,
            opset,
            training: None,
            model: upload.model,
            golden: None,
            profile: None,
            evaluation: None,
            extra: BTreeMap::new(),
        };
        progress::stage(Stage::Recording);
        let registered = self.loader.registry.register(model, draft)?;
        let version = registered.version;
        progress::version(version);
        tracing::info!(%model, %version, "registered {model} version {version}");
        Ok(registered)
    }

    /// Tries a version out in a child: digests, golden cases, contract, warm-up. What serves is not touched.
    ///
    /// # Errors
    /// Why it may not serve.
    pub fn verify(&self, model: &ModelName, version: Version, actor: Actor) -> Result<Report, LifecycleError> {
        let contract = self.contract(model)?;
        let tried = || {
            let artifact = self.loader.registry.read(model, version)?;
            let finding = self.loader.examine(model, &artifact, For::Trial)?;
            verify::keeps(contract.as_ref(), &finding.signature)?;
            Ok(finding.report)
        };
        let event = event(actor, Action::Verify, Some(version), None);
        match tried() {
            Ok(report) => {
                self.note(model, &event);
                Ok(report)
            }
            Err(error) => Err(self.refused(model, event, error)),
        }
    }
}
