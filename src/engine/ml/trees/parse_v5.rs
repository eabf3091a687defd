//! Reads the forest of a TreeEnsemble (ai.onnx.ml 5) from its attributes: branches and leaves in lists of their own.

use super::forest::{Aggregate, Forest, Node, Test, Weight, feature, ordered, same_len, target};
use super::parse::Mode;
use crate::engine::kernel::OpError;
use crate::engine::ml::attributes::Attributes;

const MEMBER: u8 = 6;

impl Forest {
    pub(super) fn read_v5(attributes: Attributes<'_>, n_targets: usize) -> Result<Self, OpError> {
        let (splits, is_double) = attributes.numbers_of_tensor("nodes_splits")?;
        let n_branches = splits.len();
        let aggregate = match attributes.int("aggregate_function")?.unwrap_or(1) {
            0 => Aggregate::Average,
            1 => Aggregate::Sum,
            2 => Aggregate::Min,
            3 => Aggregate::Max,
            other => return Err(OpError::Bad(format!("unknown aggregate_function {other}"))),
        };
        let targets = attributes.ints("leaf_targetids")?;
        let (weights, has_double_weights) = attributes.numbers_of_tensor("leaf_weights")?;
        same_len("leaf_weights", weights.len(), targets.len())?;
        if targets.is_empty() || i32::try_from(targets.len().saturating_add(n_branches)).is_err() {
            return Err(OpError::Bad(format!("leaf_targetids: expected some leaves, got {}", targets.len())));
        }
        let mut nodes = branches(attributes, &splits, targets.len())?;
        for (&number, &value) in targets.iter().zip(&weights) {
            let target = target("leaf_targetids", number, n_targets)?;
            nodes.push(Node::Leaf(vec![Weight { target, value }]));
        }
        let roots = roots(attributes, n_branches)?;
        own_branches(&nodes, &roots)?;
        let (nodes, roots) =
            ordered(nodes, &roots).ok_or_else(|| OpError::Bad("the nodes of a tree form a cycle".to_owned()))?;
        Ok(Self::new(nodes, roots, n_targets, aggregate, is_double || has_double_weights))
    }
}

/// The branches; leaves follow them in the list of nodes.
fn branches(attributes: Attributes<'_>, splits: &[f64], n_leaves: usize) -> Result<Vec<Node>, OpError> {
    let n_branches = splits.len();
    let list = |name: &str| {
        let list = attributes.ints(name)?;
        same_len(name, list.len(), n_branches).map(|()| list)
    };
    let (features, modes) = (list("nodes_featureids")?, attributes.bytes("nodes_modes")?);
    let passes =
        Children { name: "nodes_truenodeids", places: list("nodes_truenodeids")?, leaf: list("nodes_trueleafs")? };
    let fails =
        Children { name: "nodes_falsenodeids", places: list("nodes_falsenodeids")?, leaf: list("nodes_falseleafs")? };
    let missing = attributes.ints("nodes_missing_value_tracks_true")?;
    same_len("nodes_modes", modes.len(), n_branches)?;
    if !missing.is_empty() {
        same_len("nodes_missing_value_tracks_true", missing.len(), n_branches)?;
    }
    let mut sets = Sets { values: attributes.numbers_of_tensor("membership_values")?.0.into_iter() };
    let mut nodes = Vec::with_capacity(n_branches + n_leaves);
    for (place, &mode) in modes.iter().enumerate() {
        let children = (passes.place(place, n_branches, n_leaves)?, fails.place(place, n_branches, n_leaves)?);
        let feature = feature(features[place])?;
        let tracks_true = missing.get(place).is_some_and(|&flag| flag != 0);
        let mode = match mode {
            0 => Mode::LessOrEqual,
            1 => Mode::Less,
            2 => Mode::GreaterOrEqual,
            3 => Mode::Greater,
            4 => Mode::Equal,
            5 => Mode::NotEqual,
            MEMBER => {
                let (test, (pass, fail)) = (Test::Member(sets.next_set()?), children);
                nodes.push(Node::Branch { feature, test, nan_passes: tracks_true, pass, fail });
                continue;
            }
            other => return Err(OpError::Bad(format!("nodes_modes: unknown mode {other}"))),
        };
        nodes.push(mode.branch(feature, splits[place], tracks_true, children));
    }
    if sets.values.next().is_some() {
        return Err(OpError::Bad("membership_values: more sets than nodes that ask for one".to_owned()));
    }
    Ok(nodes)
}

/// The children of all branches on one side.
struct Children<'a> {
    name: &'a str,
    places: &'a [i64],
    leaf: &'a [i64],
}

impl Children<'_> {
    fn place(&self, branch: usize, n_branches: usize, n_leaves: usize) -> Result<usize, OpError> {
        let (start, len) = if self.leaf[branch] == 0 { (0, n_branches) } else { (n_branches, n_leaves) };
        let place = usize::try_from(self.places[branch]).ok().filter(|&place| place < len);
        let place = place.ok_or_else(|| {
            let what = if start == 0 { "node" } else { "leaf" };
            OpError::Bad(format!("{}: no {what} {}", self.name, self.places[branch]))
        })?;
        Ok(start + place)
    }
}

/// The values of `membership_values`: one set after the other, NaN between two.
struct Sets {
    values: std::vec::IntoIter<f64>,
}

impl Sets {
    fn next_set(&mut self) -> Result<Vec<f64>, OpError> {
        let set: Vec<f64> = self.values.by_ref().take_while(|value| !value.is_nan()).collect();
        if set.is_empty() {
            return Err(OpError::Bad("membership_values: expected a set for each node that asks for one".to_owned()));
        }
        Ok(set)
    }
}

/// The places of the roots. A tree of one leaf is a branch whose sides are one and the same leaf.
fn roots(attributes: Attributes<'_>, n_branches: usize) -> Result<Vec<usize>, OpError> {
    let roots = attributes.ints("tree_roots")?;
    if roots.is_empty() {
        return Err(OpError::Bad("tree_roots: expected some trees, got none".to_owned()));
    }
    let place = |&root: &i64| {
        let place = usize::try_from(root).ok().filter(|&place| place < n_branches);
        place.ok_or_else(|| OpError::Bad(format!("tree_roots: no node {root}")))
    };
    roots.iter().map(place).collect()
}

/// That no branch belongs to two trees, which would let a short file name many large trees.
fn own_branches(nodes: &[Node], roots: &[usize]) -> Result<(), OpError> {
    let mut owners = vec![None; nodes.len()];
    for (tree, &root) in roots.iter().enumerate() {
        let mut stack = vec![root];
        while let Some(place) = stack.pop() {
            let Node::Branch { pass, fail, .. } = nodes[place] else { continue };
            match owners[place] {
                None => owners[place] = Some(tree),
                Some(owner) if owner == tree => continue,
                Some(_) => return Err(OpError::Bad(format!("tree_roots: node {place} belongs to two trees"))),
            }
            stack.extend([pass, fail]);
        }
    }
    Ok(())
}
