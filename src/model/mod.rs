//! What a model is to everyone else: its name and versions, what it takes and gives, and what callers may rely on.
//!
//! Vocabulary: no I/O, no clock, no locks. The types here carry proofs. A [`ModelName`] is safe as a folder, a URL segment
//! and a metric label; a [`Checked`] batch fits its [`Signature`], so nothing behind it checks again.

mod challenge;
mod contract;
mod digest;
mod golden;
mod manifest;
mod name;
mod signature;

pub use challenge::{InvalidShare, Mode, Share, UnknownMode, key_number, request_number};
pub use contract::{Breach, Contract, ContractPolicy, UnknownPart};
pub use digest::{Digest, DigestWriter, InvalidDigest};
pub use golden::{Golden, GoldenMismatch, Tolerance};
pub use manifest::{CodeRevision, DataFile, FileEntry, Manifest, Producer, Split, Task, Training};
pub use name::{Alias, InvalidName, InvalidVersion, ModelName, UnknownAlias, Version};
pub use signature::{Checked, Feature, FeatureKind, Head, Mismatch, Signature, TensorSpec};
