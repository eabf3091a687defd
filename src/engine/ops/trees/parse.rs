//! Reads the forest of a TreeEnsembleClassifier or TreeEnsembleRegressor (ai.onnx.ml 1 and 3) from its attributes.

use std::collections::{HashMap, HashSet};

use super::forest::{Aggregate, Forest, Node, Test, Weight, feature, ordered, same_len, target};
use crate::engine::ops::OpError;
use crate::engine::ops::attributes::Attributes;

/// The place of each node, by its tree and its number.
type Ids = HashMap<(i64, i64), usize>;

impl Forest {
    /// The forest whose leaves' attributes begin with `prefix` (`class` or `target`).
    pub(super) fn read(attributes: Attributes<'_>, prefix: &str, n_targets: usize) -> Result<Self, OpError> {
        let tree_ids = attributes.ints("nodes_treeids")?;
        let node_ids = attributes.ints("nodes_nodeids")?;
        let n_nodes = tree_ids.len();
        if n_nodes == 0 || i32::try_from(n_nodes).is_err() {
            return Err(OpError::Bad(format!("nodes_treeids: expected some nodes, got {n_nodes}")));
        }
        same_len("nodes_nodeids", node_ids.len(), n_nodes)?;
        let mut ids = Ids::with_capacity(n_nodes);
        for (place, (&tree, &node)) in tree_ids.iter().zip(node_ids).enumerate() {
            if ids.insert((tree, node), place).is_some() {
                return Err(OpError::Bad(format!("node {node} of tree {tree} is given twice")));
            }
        }
        let (mut nodes, is_double) = branches(attributes, &ids)?;
        let has_double_weights = weights(attributes, prefix, n_targets, &ids, &mut nodes)?;
        let roots = roots(&nodes, tree_ids)?;
        let n_reached = nodes.len();
        let aggregate = match attributes.text("aggregate_function")?.unwrap_or("SUM") {
            "SUM" => Aggregate::Sum,
            "AVERAGE" => Aggregate::Average,
            "MIN" => Aggregate::Min,
            "MAX" => Aggregate::Max,
            other => return Err(OpError::Bad(format!("unknown aggregate_function {other:?}"))),
        };
        // What has a parent and is not reached from a root lies on a cycle or behind one.
        let (nodes, roots) = ordered(nodes, &roots)
            .filter(|(nodes, _)| nodes.len() == n_reached)
            .ok_or_else(|| OpError::Bad("the nodes of a tree form a cycle".to_owned()))?;
        Ok(Self::new(nodes, roots, n_targets, aggregate, is_double || has_double_weights))
    }

    pub(super) fn new(
        nodes: Vec<Node>,
        roots: Vec<usize>,
        n_targets: usize,
        aggregate: Aggregate,
        is_double: bool,
    ) -> Self {
        let features = nodes.iter().filter_map(|node| match node {
            Node::Branch { feature, .. } => Some(*feature as usize),
            Node::Leaf(_) => None,
        });
        let max_feature = features.max().unwrap_or(0);
        Self { nodes, roots, n_targets, aggregate, is_double, max_feature }
    }
}

/// The nodes, leaves still without weights; whether thresholds are doubles.
fn branches(attributes: Attributes<'_>, ids: &Ids) -> Result<(Vec<Node>, bool), OpError> {
    let n_nodes = ids.len();
    let tree_ids = attributes.ints("nodes_treeids")?;
    let features = attributes.ints("nodes_featureids")?;
    let (values, is_double) = attributes.numbers("nodes_values")?;
    let modes = attributes.strings("nodes_modes")?;
    let (passes, fails) = (attributes.ints("nodes_truenodeids")?, attributes.ints("nodes_falsenodeids")?);
    let missing = attributes.ints("nodes_missing_value_tracks_true")?;
    same_len("nodes_featureids", features.len(), n_nodes)?;
    same_len("nodes_values", values.len(), n_nodes)?;
    same_len("nodes_modes", modes.len(), n_nodes)?;
    same_len("nodes_truenodeids", passes.len(), n_nodes)?;
    same_len("nodes_falsenodeids", fails.len(), n_nodes)?;
    if !missing.is_empty() {
        same_len("nodes_missing_value_tracks_true", missing.len(), n_nodes)?;
    }
    let mut nodes = Vec::with_capacity(n_nodes);
    for (place, mode) in modes.iter().enumerate() {
        let Some(mode) = Mode::read(mode)? else {
            nodes.push(Node::Leaf(Vec::new()));
            continue;
        };
        let tree = tree_ids[place];
        let child = |name: &str, node: i64| {
            let found = ids.get(&(tree, node)).copied();
            found.ok_or_else(|| OpError::Bad(format!("{name}: no node {node} in tree {tree}")))
        };
        let (pass, fail) = (child("nodes_truenodeids", passes[place])?, child("nodes_falsenodeids", fails[place])?);
        let tracks_true = missing.get(place).is_some_and(|&flag| flag != 0);
        nodes.push(mode.branch(feature(features[place])?, values[place], tracks_true, (pass, fail)));
    }
    Ok((nodes, is_double))
}

/// How a branch compares, in the numbers of ai.onnx.ml 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    Equal,
    NotEqual,
}

impl Mode {
    /// `None` for a leaf.
    fn read(name: &str) -> Result<Option<Self>, OpError> {
        Ok(Some(match name {
            "LEAF" => return Ok(None),
            "BRANCH_LEQ" => Self::LessOrEqual,
            "BRANCH_LT" => Self::Less,
            "BRANCH_GTE" => Self::GreaterOrEqual,
            "BRANCH_GT" => Self::Greater,
            "BRANCH_EQ" => Self::Equal,
            "BRANCH_NEQ" => Self::NotEqual,
            other => return Err(OpError::Bad(format!("nodes_modes: unknown mode {other:?}"))),
        }))
    }

    /// The branch that goes to the first of `children` where the comparison holds, or the value is missing and such values
    /// are said to count as true.
    pub(super) fn branch(self, feature: u32, value: f64, tracks_true: bool, children: (usize, usize)) -> Node {
        let (test, is_turned) = match self {
            Self::LessOrEqual => (Test::LessOrEqual(value), false),
            Self::Less => (Test::Less(value), false),
            Self::Equal => (Test::Equal(value), false),
            Self::Greater => (Test::LessOrEqual(value), true),
            Self::GreaterOrEqual => (Test::Less(value), true),
            Self::NotEqual => (Test::Equal(value), true),
        };
        // NaN is unequal to everything.
        let nan_is_true = tracks_true || self == Self::NotEqual;
        let (pass, fail) = if is_turned { (children.1, children.0) } else { children };
        Node::Branch { feature, test, nan_passes: nan_is_true != is_turned, pass, fail }
    }
}

/// Fills the leaves; gives back whether the weights are doubles.
fn weights(
    attributes: Attributes<'_>,
    prefix: &str,
    n_targets: usize,
    ids: &Ids,
    nodes: &mut [Node],
) -> Result<bool, OpError> {
    let targets = attributes.ints(&format!("{prefix}_ids"))?;
    let tree_ids = attributes.ints(&format!("{prefix}_treeids"))?;
    let node_ids = attributes.ints(&format!("{prefix}_nodeids"))?;
    let (values, is_double) = attributes.numbers(&format!("{prefix}_weights"))?;
    same_len(&format!("{prefix}_treeids"), tree_ids.len(), targets.len())?;
    same_len(&format!("{prefix}_nodeids"), node_ids.len(), targets.len())?;
    same_len(&format!("{prefix}_weights"), values.len(), targets.len())?;
    if targets.is_empty() {
        return Err(OpError::Bad(format!("{prefix}_ids: expected the weights of the leaves, got none")));
    }
    for (((&number, &tree), &node), &value) in targets.iter().zip(tree_ids).zip(node_ids).zip(&values) {
        let target = target(&format!("{prefix}_ids"), number, n_targets)?;
        match ids.get(&(tree, node)).map(|&place| &mut nodes[place]) {
            // As in onnxruntime, and as exporters count on: of a leaf's weights for the only target, the first counts.
            Some(Node::Leaf(weights)) if n_targets == 1 && !weights.is_empty() => {}
            Some(Node::Leaf(weights)) => weights.push(Weight { target, value }),
            Some(Node::Branch { .. }) => {
                return Err(OpError::Bad(format!("{prefix}_nodeids: node {node} of tree {tree} is no leaf")));
            }
            None => return Err(OpError::Bad(format!("{prefix}_nodeids: no node {node} in tree {tree}"))),
        }
    }
    Ok(is_double)
}

/// The root of each tree: its one node without a parent.
fn roots(nodes: &[Node], tree_ids: &[i64]) -> Result<Vec<usize>, OpError> {
    let mut has_parent = vec![false; nodes.len()];
    for node in nodes {
        if let Node::Branch { pass, fail, .. } = *node {
            (has_parent[pass], has_parent[fail]) = (true, true);
        }
    }
    let mut roots = Vec::new();
    let mut rooted = HashSet::new();
    for (place, _) in has_parent.iter().enumerate().filter(|(_, has_parent)| !**has_parent) {
        if !rooted.insert(tree_ids[place]) {
            return Err(OpError::Bad(format!("tree {}: more than one root", tree_ids[place])));
        }
        roots.push(place);
    }
    Ok(roots)
}
