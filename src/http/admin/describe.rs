//! What the bodies of the admin routes look like.

use serde_json::{Value, json};

use super::challenger::Challenge;
use super::{Activate, DriftBody, PruneBody, RollBack, VersionBody};
use crate::schema::{Described as _, Schemas, described};

described!(Activate as "ActivateRequest" { version } defaulted { reason, force }, closed);
described!(RollBack as "RollBackRequest" {} defaulted { reason }, closed);
described!(PruneBody as "PruneRequest" {} defaulted { keep, dry_run, reason }, closed);
described!(Challenge as "ChallengeRequest" { version } defaulted { mode, share, rollout, reason }, closed);
described!(DriftBody<'_> as "Drift" { model, version, is_watched, bootstrap_rows_left, windows });
described!(VersionBody as "VersionDetails" { manifest } flattened { status });

pub(in crate::http) fn activate(schemas: &mut Schemas) -> Value {
    schemas.named::<Activate>("ActivateRequest", |schemas| {
        let mut object = Activate::members(schemas).into_closed_object();
        // The gate is overridden with a reason alone.
        object["if"] = json!({ "properties": { "force": { "const": true } }, "required": ["force"] });
        object["then"] =
            json!({ "properties": { "reason": { "type": "string", "pattern": "\\S" } }, "required": ["reason"] });
        object
    })
}

pub(in crate::http) fn roll_back(schemas: &mut Schemas) -> Value {
    schemas.of::<RollBack>()
}

pub(in crate::http) fn prune(schemas: &mut Schemas) -> Value {
    schemas.of::<PruneBody>()
}

pub(in crate::http) fn challenge(schemas: &mut Schemas) -> Value {
    schemas.of::<Challenge>()
}

pub(in crate::http) fn drift(schemas: &mut Schemas) -> Value {
    schemas.of::<DriftBody<'_>>()
}

pub(in crate::http) fn version(schemas: &mut Schemas) -> Value {
    schemas.of::<VersionBody>()
}
