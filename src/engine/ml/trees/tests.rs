//! The fast ways against a walker that does what the operator's text says.

use proptest::prelude::*;

use super::ensemble::Ensemble;
use super::forest::{Aggregate, Forest, Node, Test, Weight, ordered};
use super::real::Real;

/// What to make a forest of: one entry a node, whose numbers are taken modulo what there is.
#[derive(Debug, Clone)]
struct Plan {
    nodes: Vec<(u8, u32, usize, bool, usize, usize)>,
    n_trees: usize,
    n_targets: usize,
    /// How the leaves name targets: all one, one a tree, all of them, or some.
    naming: u8,
    aggregate: Aggregate,
    rows: Vec<usize>,
}

const FEATURES: usize = 4;

/// Thresholds and values meet often: they come from one short list.
const VALUES: [f64; 12] = [
    0.0,
    -0.0,
    0.5,
    1.0,
    2.0,
    3.0,
    -1.5,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    f32::MAX as f64,
    f32::MIN_POSITIVE as f64,
];

fn plans() -> impl Strategy<Value = Plan> {
    let node = (any::<u8>(), 0_u32..4, 0..VALUES.len(), any::<bool>(), any::<usize>(), any::<usize>());
    let aggregate = prop_oneof![
        4 => Just(Aggregate::Sum),
        1 => Just(Aggregate::Average),
        1 => Just(Aggregate::Min),
        1 => Just(Aggregate::Max),
    ];
    let nodes = prop_oneof![prop::collection::vec(node.clone(), 1..40), prop::collection::vec(node, 200..700)];
    (
        nodes,
        1_usize..20,
        1_usize..4,
        0_u8..4,
        aggregate,
        prop::collection::vec(0..VALUES.len(), FEATURES..300 * FEATURES),
    )
        .prop_map(|(nodes, n_trees, n_targets, naming, aggregate, rows)| Plan {
            nodes,
            n_trees,
            n_targets,
            naming,
            aggregate,
            rows,
        })
}

/// Trees grown from the roots on: each branch takes the next two places, or shares a place that is taken.
fn grow(plan: &Plan) -> Forest {
    let mut nodes = Vec::new();
    let mut roots = Vec::new();
    for tree in 0..plan.n_trees {
        let own: Vec<_> = plan.nodes.iter().skip(tree).step_by(plan.n_trees).collect();
        let first = nodes.len();
        roots.push(first);
        let mut end = first + 1;
        let mut place = first;
        while place < end {
            let (kind, feature, value, nan_passes, a, b) =
                own.get(place - first).map_or((255, 0, 0, false, 1, 1), |node| **node);
            let weight = |target: usize| Weight { target, value: VALUES[(a.wrapping_add(target)) % 7] };
            nodes.push(if kind < 170 && place - first < own.len() {
                let shared = kind % 11 == 0 && place + 1 < end;
                let (pass, fail) = if shared { (place + 1, end) } else { (end, end + 1) };
                end += if shared { 1 } else { 2 };
                let test = match kind % 8 {
                    0..4 => Test::LessOrEqual(VALUES[value]),
                    4 => Test::Less(VALUES[value]),
                    5 | 6 => Test::Equal(VALUES[value]),
                    _ => Test::Member((0..b % 6).map(|n| VALUES[(value + n * 5) % VALUES.len()]).collect()),
                };
                Node::Branch { feature, test, nan_passes, pass, fail }
            } else {
                Node::Leaf(match plan.naming {
                    0 => vec![weight(0)],
                    1 => vec![weight(tree % plan.n_targets)],
                    2 => (0..plan.n_targets).map(weight).collect(),
                    _ => (0..b % 3).map(|n| weight((a.wrapping_add(n)) % plan.n_targets)).collect(),
                })
            });
            place += 1;
        }
    }
    let (nodes, roots) = ordered(nodes, &roots).unwrap();
    Forest::new(nodes, roots, plan.n_targets, plan.aggregate, false)
}

fn passes<T: Real>(test: &Test, value: T) -> bool {
    match test {
        Test::LessOrEqual(threshold) => value <= T::of(*threshold),
        Test::Less(threshold) => value < T::of(*threshold),
        Test::Equal(threshold) => value == T::of(*threshold),
        Test::Member(values) => values.iter().any(|&other| value == T::of(other)),
    }
}

/// The scores of one row, and whether they were scored.
fn plain<T: Real>(forest: &Forest, row: &[T]) -> (Vec<T>, Vec<bool>) {
    let mut values = vec![T::default(); forest.n_targets];
    let mut scored = vec![false; forest.n_targets];
    for &root in &forest.roots {
        let mut place = root;
        let weights = loop {
            match &forest.nodes[place] {
                Node::Leaf(weights) => break weights,
                Node::Branch { feature, test, nan_passes, pass, fail } => {
                    let value = row[*feature as usize];
                    let passes = if value.is_missing() { *nan_passes } else { passes(test, value) };
                    place = if passes { *pass } else { *fail };
                }
            }
        };
        for weight in weights {
            let (sum, value) = (&mut values[weight.target], T::of(weight.value));
            let is_new = !std::mem::replace(&mut scored[weight.target], true);
            match forest.aggregate {
                Aggregate::Sum | Aggregate::Average => *sum = sum.plus(value),
                Aggregate::Min => *sum = if is_new || value < *sum { value } else { *sum },
                Aggregate::Max => *sum = if is_new || *sum < value { value } else { *sum },
            }
        }
    }
    (values, scored)
}

fn check<T: Real>(plan: &Plan) -> Result<(), TestCaseError> {
    let forest = grow(plan);
    let ensemble = Ensemble::<T>::new(&forest).unwrap();
    let n_rows = plan.rows.len() / FEATURES;
    let rows: Vec<T> = plan.rows[..n_rows * FEATURES].iter().map(|&value| T::of(VALUES[value])).collect();
    let run = |rows: &[T]| {
        let mut all = Vec::new();
        ensemble.each_row(rows, FEATURES, |scores| all.push((scores.values.to_vec(), scores.scored.to_vec())));
        all
    };
    let together = run(&rows);
    prop_assert_eq!(together.len(), n_rows);
    for (row, got) in rows.chunks_exact(FEATURES).zip(&together) {
        let expected = plain(&forest, row);
        // Bits, because NaN may be a weight; a sum of nothing but negative zeros may lose its sign.
        let bits =
            |values: &[T]| values.iter().map(|value| value.plus(T::default()).double().to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&got.0), bits(&expected.0), "{:?} {:?}", row, forest);
        prop_assert_eq!(&got.1, &expected.1);
    }
    for place in [0, n_rows / 2, n_rows - 1] {
        let alone = run(&rows[place * FEATURES..(place + 1) * FEATURES]);
        prop_assert_eq!(format!("{alone:?}"), format!("{:?}", &together[place..=place]));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_way_to_a_leaf_finds_the_leaf_that_a_plain_walk_finds(plan in plans()) {
        check::<f32>(&plan)?;
        check::<f64>(&plan)?;
    }
}

/// A tree that is a chain: 300 branches, each to a leaf or the next.
fn chain(len: usize, test: impl Fn(usize) -> Test) -> Forest {
    let leaf = |value: usize| Node::Leaf(vec![Weight { target: 0, value: value as f64 }]);
    let branch = |place: usize| Node::Branch {
        feature: 0,
        test: test(place),
        nan_passes: false,
        pass: len + place,
        fail: if place + 1 < len { place + 1 } else { 2 * len },
    };
    let nodes = (0..len).map(branch).chain((0..=len).map(leaf)).collect();
    let (nodes, roots) = ordered(nodes, &[0]).unwrap();
    Forest::new(nodes, roots, 1, Aggregate::Sum, false)
}

#[test]
fn more_thresholds_than_a_byte_counts_and_more_leaves_than_a_slot_reaches() {
    for len in [200, 255, 256, 300, 20_000] {
        let forest = chain(len, |place| Test::LessOrEqual(place as f64));
        let ensemble = Ensemble::<f32>::new(&forest).unwrap();
        let rows: Vec<f32> = (0..150).map(|row| (row * len / 149) as f32 - 0.5).collect();
        let mut got = Vec::new();
        ensemble.each_row(&rows, 1, |scores| got.push(scores.values[0]));
        let expected: Vec<f32> = rows.iter().map(|row| plain(&forest, &[*row]).0[0]).collect();
        assert_eq!(got, expected, "{len}");
    }
}

#[test]
fn a_run_of_equal_nodes_becomes_a_search() {
    let len = 5_000;
    let mut forest = chain(len, |place| Test::Equal(place as f64));
    // One and the same passing leaf.
    let leaf = forest.nodes.len() - 1;
    for node in &mut forest.nodes {
        if let Node::Branch { pass, .. } = node {
            *pass = leaf;
        }
    }
    let lowered = super::lower::Lowered::<f32>::new(&forest);
    let mut depth = 0;
    let mut step = lowered.roots[0];
    while let super::lower::Step::Branch(branch) = lowered.steps[step as usize] {
        (depth, step) = (depth + 1, branch.fail);
    }
    assert!(depth < 16, "{depth} steps");
}

#[test]
fn a_cycle_has_no_order() {
    let branch = |pass, fail| Node::Branch { feature: 0, test: Test::Less(0.0), nan_passes: false, pass, fail };
    assert!(ordered(vec![branch(1, 2), branch(0, 2), Node::Leaf(Vec::new())], &[0]).is_none());
    assert!(ordered(vec![branch(0, 0)], &[0]).is_none());
    let shared = vec![branch(1, 2), branch(2, 2), Node::Leaf(Vec::new())];
    assert_eq!(ordered(shared, &[0]).unwrap().0.len(), 3);
}
