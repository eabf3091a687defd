//! What callers of a model may rely on. A version may be activated only if its signature satisfies it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Version;
use super::signature::{Feature, Signature, TensorSpec};

/// What callers of a model may rely on: every input, output, feature and class of the signature that it was made from, unless
/// the model's owner promises less.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    signature: Signature,
    policy: ContractPolicy,
}

/// `[contract]` of `model.toml`: what the owner promises instead of all that the first activated version offered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContractPolicy {
    /// The version whose signature is promised; the one that was recorded at the first activation where it is left out.
    pub version: Option<Version>,
    /// Features that callers may rely on; all where it is left out.
    pub features: Option<Vec<String>>,
    /// Inputs that callers may rely on; those with a promised feature, or without any, where it is left out.
    pub inputs: Option<Vec<String>>,
    /// Outputs that callers may rely on; all where it is left out.
    pub outputs: Option<Vec<String>>,
}

/// A name in `[contract]` that the promised signature does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("contract.{key}: expected some of {}, got {got:?}", known.join(", "))]
pub struct UnknownPart {
    key: &'static str,
    known: Vec<String>,
    got: String,
}

/// One way in which a signature breaks a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breach {
    /// The part, for example `input "hour"`.
    pub part: String,
    /// What the contract promises.
    pub promised: String,
    /// What the version offers.
    pub offered: String,
}

crate::schema::described!(Breach as "Breach" { part, promised, offered });

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the contract promises {}, the version offers {}", self.part, self.promised, self.offered)
    }
}

impl From<Signature> for Contract {
    fn from(signature: Signature) -> Self {
        Self { signature, policy: ContractPolicy::default() }
    }
}

impl Contract {
    /// The contract of `signature` as far as the owner promises it.
    ///
    /// # Errors
    /// [`UnknownPart`] where the owner promises what the signature does not have.
    pub fn new(signature: Signature, policy: ContractPolicy) -> Result<Self, UnknownPart> {
        let tensors = |specs: &[TensorSpec]| specs.iter().map(|spec| spec.name.clone()).collect::<Vec<_>>();
        let features = signature.features.iter().map(|feature| feature.name.clone()).collect();
        let named = [
            ("features", &policy.features, features),
            ("inputs", &policy.inputs, tensors(&signature.inputs)),
            ("outputs", &policy.outputs, tensors(&signature.outputs)),
        ];
        for (key, promised, known) in named {
            if let Some(got) = promised.iter().flatten().find(|name| !known.contains(name)) {
                return Err(UnknownPart { key, got: got.clone(), known });
            }
        }
        Ok(Self { signature, policy })
    }

    fn promises_feature(&self, name: &str) -> bool {
        self.policy.features.as_ref().is_none_or(|promised| promised.iter().any(|known| known == name))
    }

    fn promises_input(&self, name: &str) -> bool {
        match &self.policy.inputs {
            Some(promised) => promised.iter().any(|known| known == name),
            None => {
                let mut features = self.signature.features.iter().filter(|feature| feature.input == name).peekable();
                features.peek().is_none() || features.any(|feature| self.promises_feature(&feature.name))
            }
        }
    }

    fn promises_output(&self, name: &str) -> bool {
        self.policy.outputs.as_ref().is_none_or(|promised| promised.iter().any(|known| known == name))
    }

    /// Every way in which `offered` breaks the contract; empty where it satisfies it. A version may widen the contract: an
    /// optional feature or another output is no breach.
    pub fn breaches(&self, offered: &Signature) -> Vec<Breach> {
        let promised = &self.signature;
        let mut breaches = Vec::new();
        for spec in promised.inputs.iter().filter(|spec| self.promises_input(&spec.name)) {
            compare_tensor("input", spec, &offered.inputs, &mut breaches);
        }
        for spec in promised.outputs.iter().filter(|spec| self.promises_output(&spec.name)) {
            compare_tensor("output", spec, &offered.outputs, &mut breaches);
        }
        for feature in promised.features.iter().filter(|feature| self.promises_feature(&feature.name)) {
            compare_feature(feature, offered, &mut breaches);
        }
        for feature in &offered.features {
            if promised.feature(&feature.name).is_none() && !feature.optional {
                breaches.push(breach(format!("feature {:?}", feature.name), "no such feature", "a required one"));
            }
        }
        for spec in &offered.inputs {
            let mut features = offered.features.iter().filter(|feature| feature.input == spec.name).peekable();
            let is_new = promised.inputs.iter().all(|known| known.name != spec.name);
            if is_new && features.peek().is_none() {
                breaches.push(breach(format!("input {:?}", spec.name), "no such input", "a required one"));
            }
        }
        if promised.classes != offered.classes {
            breaches.push(breach("classes", listed(&promised.classes), listed(&offered.classes)));
        }
        breaches
    }
}

fn breach(part: impl Into<String>, promised: impl Into<String>, offered: impl Into<String>) -> Breach {
    Breach { part: part.into(), promised: promised.into(), offered: offered.into() }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn described(spec: &TensorSpec) -> String {
    format!("{} {:?}", spec.datatype, spec.wire_shape())
}

fn compare_tensor(role: &str, promised: &TensorSpec, offered: &[TensorSpec], breaches: &mut Vec<Breach>) {
    let part = format!("{role} {:?}", promised.name);
    match offered.iter().find(|spec| spec.name == promised.name) {
        None => breaches.push(breach(part, described(promised), "nothing")),
        Some(spec) if spec.datatype != promised.datatype || spec.wire_shape() != promised.wire_shape() => {
            breaches.push(breach(part, described(promised), described(spec)));
        }
        Some(_) => {}
    }
}

fn compare_feature(promised: &Feature, offered: &Signature, breaches: &mut Vec<Breach>) {
    let part = format!("feature {:?}", promised.name);
    let Some((_, feature)) = offered.feature(&promised.name) else {
        breaches.push(breach(part, "that it is taken", "nothing"));
        return;
    };
    if feature.kind != promised.kind {
        breaches.push(breach(&part, format!("{:?}", promised.kind), format!("{:?}", feature.kind)));
    }
    if promised.optional && !feature.optional {
        breaches.push(breach(part, "that it may be left out", "a required feature"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FeatureKind;
    use crate::tensor::Dtype;

    fn signature(features: &[(&str, bool)]) -> Signature {
        let spec = |name: &str, shape: &[Option<usize>]| TensorSpec {
            name: name.to_owned(),
            datatype: Dtype::Fp32,
            shape: shape.to_vec(),
        };
        let feature = |&(name, optional): &(&str, bool)| Feature {
            name: name.to_owned(),
            kind: FeatureKind::Numeric,
            input: name.to_owned(),
            column: 0,
            optional,
            levels: Vec::new(),
            min: None,
            max: None,
        };
        Signature {
            inputs: features.iter().map(|(name, _)| spec(name, &[None, Some(1)])).collect(),
            outputs: vec![spec("value", &[None, Some(1)])],
            features: features.iter().map(feature).collect(),
            classes: Vec::new(),
            maps: Vec::new(),
        }
    }

    #[track_caller]
    fn check(promised: &[(&str, bool)], offered: &[(&str, bool)], expected: &[&str]) {
        let breaches = Contract::from(signature(promised)).breaches(&signature(offered));
        let breaches: Vec<_> = breaches.iter().map(ToString::to_string).collect();
        assert_eq!(breaches, expected);
    }

    #[test]
    fn a_version_may_widen_the_contract() {
        check(&[("a", false)], &[("a", false)], &[]);
        check(&[("a", false)], &[("a", true), ("b", true)], &[]);
    }

    #[test]
    fn what_callers_rely_on_may_not_go() {
        check(
            &[("a", true)],
            &[("b", false)],
            &[
                r#"input "a": the contract promises FP32 [-1, 1], the version offers nothing"#,
                r#"feature "a": the contract promises that it is taken, the version offers nothing"#,
                r#"feature "b": the contract promises no such feature, the version offers a required one"#,
            ],
        );
        check(
            &[("a", true)],
            &[("a", false)],
            &[r#"feature "a": the contract promises that it may be left out, the version offers a required feature"#],
        );
    }

    #[test]
    fn an_owner_may_promise_less() {
        let (all, less) = (signature(&[("a", false), ("b", false)]), signature(&[("a", false)]));
        let policy = ContractPolicy { features: Some(vec!["a".to_owned()]), ..ContractPolicy::default() };
        let contract = Contract::new(all.clone(), policy).unwrap();
        assert_eq!(contract.breaches(&less), [], "what is not promised may go");
        assert_eq!(contract.breaches(&all), [], "what callers send already is no new demand");
        assert_eq!(contract.breaches(&signature(&[("b", false)])).len(), 2, "input and feature a are gone");
        let policy = ContractPolicy { outputs: Some(vec!["score".to_owned()]), ..ContractPolicy::default() };
        let error = Contract::new(all, policy).unwrap_err().to_string();
        assert_eq!(error, r#"contract.outputs: expected some of value, got "score""#);
    }
}
