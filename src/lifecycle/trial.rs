//! Trying versions out: what serves is not touched.

use std::collections::BTreeMap;
use std::fmt;

use super::controller::{Lifecycle, event};
use super::error::LifecycleError;
use super::operations::Stage;
use super::progress;
use crate::engine;
use crate::model::{ModelName, Producer, Version};
use crate::registry::{self, Action, Actor, Draft, Event, Registered};
use crate::verify::{self, Candidate};

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
    /// Registers an uploaded graph as a new version, once it has been opened and run.
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
        let limits = &self.loader.options.limits;
        let graph = engine::inspect(&upload.model, limits).map_err(LifecycleError::NotAModel)?;
        let candidate = Candidate { model: &upload.model, signature: None, golden: None, contract: None };
        verify::verify(candidate, limits)?;
        let draft = Draft {
            at: registry::now(),
            actor: upload.actor,
            why: upload.why,
            label: upload.label,
            producer: Producer { name: "upload".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
            task: graph.task,
            signature: graph.signature,
            opset: graph.opset,
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

    /// Tries a version out: digests, golden cases, contract, warm-up. What serves is not touched.
    ///
    /// # Errors
    /// Why it may not serve.
    pub fn verify(&self, model: &ModelName, version: Version, actor: Actor) -> Result<verify::Report, LifecycleError> {
        let contract = self.contract(model)?;
        let verified = self.loader.verify(model, version, contract.as_ref());
        let event = event(actor, Action::Verify, Some(version), None);
        match verified {
            Ok((_, verified)) => {
                self.note(model, &event);
                Ok(verified.report)
            }
            Err(error) => Err(self.refused(model, event, error)),
        }
    }
}
