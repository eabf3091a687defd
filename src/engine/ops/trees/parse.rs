//! Reads a forest from a node's attributes and checks all of it: lengths, ids, and that each tree is a tree.

use std::collections::HashMap;

use crate::engine::ops::OpError;
use crate::engine::ops::attributes::Attributes;

/// How the trees' answers become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

/// How a branch decides; the others are these with their children swapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    LessOrEqual,
    Less,
    Equal,
}

/// What a leaf adds to one target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weight {
    pub(super) target: usize,
    pub(super) value: f64,
}

#[derive(Debug)]
pub(super) enum Node {
    Branch { feature: u32, threshold: f64, test: Test, nan_passes: bool, pass: usize, fail: usize },
    Leaf(Vec<Weight>),
}

/// Checked trees; nodes by their place in the attributes.
#[derive(Debug)]
pub(super) struct Forest {
    pub(super) nodes: Vec<Node>,
    /// The roots, in the order of the attributes.
    pub(super) trees: Vec<usize>,
    pub(super) n_targets: usize,
    pub(super) aggregate: Aggregate,
    pub(super) is_double: bool,
    pub(super) max_feature: usize,
}

/// Feature numbers share their 32 bits with two flags.
const FEATURES_MAX: i64 = 1 << 24;

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
        let (mut nodes, mut is_double, max_feature) = branches(attributes, &ids)?;
        is_double |= weights(attributes, prefix, n_targets, &ids, &mut nodes)?;
        let trees = roots(&nodes, tree_ids)?;
        let aggregate = match attributes.text("aggregate_function")?.unwrap_or("SUM") {
            "SUM" => Aggregate::Sum,
            "AVERAGE" => Aggregate::Average,
            "MIN" => Aggregate::Min,
            "MAX" => Aggregate::Max,
            other => return Err(OpError::Bad(format!("unknown aggregate_function {other:?}"))),
        };
        Ok(Self { nodes, trees, n_targets, aggregate, is_double, max_feature })
    }

    /// The weights of all leaves.
    pub(super) fn weights(&self) -> impl Iterator<Item = Weight> + '_ {
        let leaves = self.nodes.iter().filter_map(|node| match node {
            Node::Leaf(weights) => Some(weights),
            Node::Branch { .. } => None,
        });
        leaves.flatten().copied()
    }
}

fn same_len(name: &str, got: usize, expected: usize) -> Result<(), OpError> {
    if got == expected { Ok(()) } else { Err(OpError::Bad(format!("{name}: expected {expected} values, got {got}"))) }
}

/// The nodes, leaves still without weights; whether thresholds are doubles; the largest feature.
fn branches(attributes: Attributes<'_>, ids: &Ids) -> Result<(Vec<Node>, bool, usize), OpError> {
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
    let mut max_feature = 0;
    for (place, mode) in modes.iter().enumerate() {
        // The test, and whether its answer is turned round.
        let (test, turned) = match *mode {
            "LEAF" => {
                nodes.push(Node::Leaf(Vec::new()));
                continue;
            }
            "BRANCH_LEQ" => (Test::LessOrEqual, false),
            "BRANCH_LT" => (Test::Less, false),
            "BRANCH_EQ" => (Test::Equal, false),
            "BRANCH_GT" => (Test::LessOrEqual, true),
            "BRANCH_GTE" => (Test::Less, true),
            "BRANCH_NEQ" => (Test::Equal, true),
            other => return Err(OpError::Bad(format!("nodes_modes: unknown mode {other:?}"))),
        };
        let tree = tree_ids[place];
        let child = |name: &str, node: i64| {
            let found = ids.get(&(tree, node)).copied();
            found.ok_or_else(|| OpError::Bad(format!("{name}: no node {node} in tree {tree}")))
        };
        let (pass, fail) = (child("nodes_truenodeids", passes[place])?, child("nodes_falsenodeids", fails[place])?);
        // NaN passes a test where it is said to, and passes "not equal" always.
        let nan_is_true = missing.get(place).is_some_and(|&flag| flag != 0) || *mode == "BRANCH_NEQ";
        let (pass, fail) = if turned { (fail, pass) } else { (pass, fail) };
        let feature = features[place];
        let in_range = u32::try_from(feature).ok().filter(|_| feature < FEATURES_MAX);
        let feature = in_range.ok_or_else(|| OpError::Bad(format!("nodes_featureids: {feature} is out of range")))?;
        max_feature = max_feature.max(feature as usize);
        let nan_passes = nan_is_true != turned;
        nodes.push(Node::Branch { feature, threshold: values[place], test, nan_passes, pass, fail });
    }
    Ok((nodes, is_double, max_feature))
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
    for (((&target, &tree), &node), &value) in targets.iter().zip(tree_ids).zip(node_ids).zip(&values) {
        let in_range = usize::try_from(target).ok().filter(|&target| target < n_targets);
        let target = in_range.ok_or_else(|| OpError::Bad(format!("{prefix}_ids: {target} is out of range")))?;
        match ids.get(&(tree, node)).map(|&place| &mut nodes[place]) {
            Some(Node::Leaf(weights)) => weights.push(Weight { target, value }),
            Some(Node::Branch { .. }) => {
                return Err(OpError::Bad(format!("{prefix}_nodeids: node {node} of tree {tree} is no leaf")));
            }
            None => return Err(OpError::Bad(format!("{prefix}_nodeids: no node {node} in tree {tree}"))),
        }
    }
    Ok(is_double)
}

/// The root of each tree: its one node without a parent, from which every other is reached, once.
fn roots(nodes: &[Node], tree_ids: &[i64]) -> Result<Vec<usize>, OpError> {
    let mut has_parent = vec![false; nodes.len()];
    for (place, node) in nodes.iter().enumerate() {
        let Node::Branch { pass, fail, .. } = node else { continue };
        for &child in [pass, fail] {
            if std::mem::replace(&mut has_parent[child], true) {
                let problem = format!("tree {}: a node has two parents", tree_ids[place]);
                return Err(OpError::Bad(problem));
            }
        }
    }
    let mut roots = Vec::new();
    let mut rooted = std::collections::HashSet::new();
    for (place, _) in has_parent.iter().enumerate().filter(|(_, has_parent)| !**has_parent) {
        if !rooted.insert(tree_ids[place]) {
            return Err(OpError::Bad(format!("tree {}: more than one root", tree_ids[place])));
        }
        roots.push(place);
    }
    let mut n_reached = 0;
    let mut stack = roots.clone();
    while let Some(place) = stack.pop() {
        n_reached += 1;
        if let Node::Branch { pass, fail, .. } = nodes[place] {
            stack.extend([pass, fail]);
        }
    }
    // What has one parent each and is not reached lies on a cycle.
    if n_reached == nodes.len() { Ok(roots) } else { Err(OpError::Bad("the nodes of a tree form a cycle".to_owned())) }
}
