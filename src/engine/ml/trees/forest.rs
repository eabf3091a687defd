//! A forest as a file gives it, checked: every child exists, no node is its own descendant, each tree has one root.

use crate::engine::kernel::OpError;

/// How the trees' answers become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

/// How a branch decides; the other modes are these with their children swapped.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    LessOrEqual(f64),
    Less(f64),
    Equal(f64),
    /// One of these.
    Member(Vec<f64>),
}

/// What a leaf adds to one target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weight {
    pub(super) target: usize,
    pub(super) value: f64,
}

/// A branch, whose children are places in [`Forest::nodes`], or a leaf.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Branch { feature: u32, test: Test, nan_passes: bool, pass: usize, fail: usize },
    Leaf(Vec<Weight>),
}

/// Checked trees. A node may be the child of several nodes: converters write "one of these values" so.
#[derive(Debug, Clone)]
pub(super) struct Forest {
    /// Each before its children.
    pub(super) nodes: Vec<Node>,
    /// The roots, in the order of the attributes.
    pub(super) roots: Vec<usize>,
    pub(super) n_targets: usize,
    pub(super) aggregate: Aggregate,
    pub(super) is_double: bool,
    pub(super) max_feature: usize,
}

/// Far more features than any table has columns.
pub(super) const FEATURES_MAX: u32 = 1 << 24;

impl Forest {
    /// The weights of all leaves.
    pub(super) fn weights(&self) -> impl Iterator<Item = Weight> + '_ {
        let leaves = self.nodes.iter().filter_map(|node| match node {
            Node::Leaf(weights) => Some(weights),
            Node::Branch { .. } => None,
        });
        leaves.flatten().copied()
    }
}

/// `nodes`, reached from `roots`, put in an order in which each comes before its children; `None` where there is no such
/// order because a node is its own descendant. What is not reached is left out.
pub(super) fn ordered(nodes: Vec<Node>, roots: &[usize]) -> Option<(Vec<Node>, Vec<usize>)> {
    let order = descendants(&nodes, roots)?;
    let mut places = vec![usize::MAX; nodes.len()];
    for (place, &node) in order.iter().enumerate() {
        places[node] = place;
    }
    let mut nodes: Vec<_> = nodes.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(order.len());
    for &node in &order {
        let mut node = nodes[node].take()?;
        if let Node::Branch { pass, fail, .. } = &mut node {
            (*pass, *fail) = (places[*pass], places[*fail]);
        }
        ordered.push(node);
    }
    Some((ordered, roots.iter().map(|&root| places[root]).collect()))
}

/// Depth first, without recursion: a file may chain as many nodes as it holds.
fn descendants(nodes: &[Node], roots: &[usize]) -> Option<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let mut states = vec![State::New; nodes.len()];
    let mut done = Vec::with_capacity(nodes.len());
    let mut stack: Vec<_> = roots.iter().rev().map(|&root| (root, false)).collect();
    while let Some((node, is_left)) = stack.pop() {
        if is_left {
            states[node] = State::Done;
            done.push(node);
            continue;
        }
        match states[node] {
            State::Done => continue,
            State::Open => return None,
            State::New => states[node] = State::Open,
        }
        stack.push((node, true));
        if let Node::Branch { pass, fail, .. } = nodes[node] {
            stack.extend([(pass, false), (fail, false)]);
        }
    }
    done.reverse();
    Some(done)
}

pub(super) fn same_len(name: &str, got: usize, expected: usize) -> Result<(), OpError> {
    if got == expected { Ok(()) } else { Err(OpError::Bad(format!("{name}: expected {expected} values, got {got}"))) }
}

/// A feature's number, if it is one.
pub(super) fn feature(number: i64) -> Result<u32, OpError> {
    let feature = u32::try_from(number).ok().filter(|&feature| feature < FEATURES_MAX);
    feature.ok_or_else(|| OpError::Bad(format!("nodes_featureids: {number} is out of range")))
}

/// A target's number, if there is such a target.
pub(super) fn target(name: &str, number: i64, n_targets: usize) -> Result<usize, OpError> {
    let target = usize::try_from(number).ok().filter(|&target| target < n_targets);
    target.ok_or_else(|| OpError::Bad(format!("{name}: {number} is out of range")))
}
