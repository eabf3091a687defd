//! What callers of a model may rely on. A version may be activated only if its signature satisfies it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::signature::{Feature, Signature, TensorSpec};

/// What callers of a model may rely on: every input, output, feature and class of the signature that it was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Contract {
    signature: Signature,
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

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the contract promises {}, the version offers {}", self.part, self.promised, self.offered)
    }
}

impl From<Signature> for Contract {
    fn from(signature: Signature) -> Self {
        Self { signature }
    }
}

impl Contract {
    /// Every way in which `offered` breaks the contract; empty where it satisfies it. A version may widen the contract: an
    /// optional feature or another output is no breach.
    pub fn breaches(&self, offered: &Signature) -> Vec<Breach> {
        let promised = &self.signature;
        let mut breaches = Vec::new();
        for spec in &promised.inputs {
            compare_tensor("input", spec, &offered.inputs, &mut breaches);
        }
        for spec in &promised.outputs {
            compare_tensor("output", spec, &offered.outputs, &mut breaches);
        }
        for feature in &promised.features {
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
}
