//! Boosted trees as one `TreeEnsemble*` node over the encoded features.
//!
//! Classifiers are written in the one form that every runtime at hand reads alike: `BRANCH_LEQ` only, no base values, no
//! post-transform; the base score and the link are plain operators behind it. With a single score every leaf has class 0 and
//! the score is column 1 of the node's second output.

use crate::engine::onnx::AttributeProto;
use crate::trainer::fit::Objective;
use crate::trainer::fit::gbdt::{GbdtModel, Node, Tree};
use crate::trainer::pipeline::FeatureSpec;

use super::graph::{Attribute, GraphBuilder, signed};

/// Adds the nodes that compute the scores `[n_rows, n_scores]`; gives back their name.
pub(super) fn scores(graph: &mut GraphBuilder, model: &GbdtModel, features: &[FeatureSpec]) -> String {
    let mut columns = Vec::new();
    for input in &model.inputs {
        let name = &features[input.feature].name;
        columns.push(match &input.ranks {
            None => name.clone(),
            Some(table) => {
                let place = graph.level_places(name, &table.levels);
                let mut ranks = table.ranks.clone();
                ranks.push(f32::NAN);
                let ranks = graph.floats(&[ranks.len()], &ranks);
                graph.node("Gather", &[&ranks, &place], vec![Attribute::int("axis", 0)])
            }
        });
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let matrix = graph.node("Concat", &columns, vec![Attribute::int("axis", 1)]);
    let sums = ensemble(graph, model, &matrix);
    let base = graph.floats(&[model.base.len()], &model.base);
    graph.node("Add", &[&sums, &base], Vec::new())
}

fn ensemble(graph: &mut GraphBuilder, model: &GbdtModel, matrix: &str) -> String {
    let mut lists = Lists::default();
    for (score, trees) in model.trees.iter().enumerate() {
        for tree in trees {
            lists.add(tree, score);
        }
    }
    if lists.n_trees == 0 {
        // Nothing could be learned: the base says it all, but the node needs a tree.
        lists.add(&Tree { nodes: vec![Node::Leaf { value: 0.0 }] }, 0);
    }
    let n_scores = model.base.len();
    match model.objective {
        Objective::Squared => {
            let attributes = lists.attributes("target", vec![Attribute::int("n_targets", 1)]);
            graph.ml_node("TreeEnsembleRegressor", matrix, 1, attributes)
        }
        Objective::Binary => {
            let labels = Attribute::ints("classlabels_int64s", vec![0, 1]);
            let both = graph.ml_node("TreeEnsembleClassifier", matrix, 2, lists.attributes("class", vec![labels]));
            let second = graph.ints(&[1], &[1]);
            graph.node("Gather", &[&both, &second], vec![Attribute::int("axis", 1)])
        }
        Objective::Multiclass { .. } => {
            let labels = Attribute::ints("classlabels_int64s", (0..signed(n_scores)).collect());
            graph.ml_node("TreeEnsembleClassifier", matrix, 2, lists.attributes("class", vec![labels]))
        }
    }
}

/// The parallel lists of a `TreeEnsemble*` node.
#[derive(Default)]
struct Lists {
    n_trees: i64,
    tree_ids: Vec<i64>,
    node_ids: Vec<i64>,
    features: Vec<i64>,
    thresholds: Vec<f32>,
    modes: Vec<&'static str>,
    lefts: Vec<i64>,
    rights: Vec<i64>,
    missing_left: Vec<i64>,
    leaf_trees: Vec<i64>,
    leaf_nodes: Vec<i64>,
    leaf_scores: Vec<i64>,
    leaf_values: Vec<f32>,
}

impl Lists {
    fn add(&mut self, tree: &Tree, score: usize) {
        for (node_id, node) in (0_i64..).zip(&tree.nodes) {
            self.tree_ids.push(self.n_trees);
            self.node_ids.push(node_id);
            let (mode, feature, threshold, left, right, missing_left) = match *node {
                Node::Split { input, threshold, missing_left, left, right, .. } => {
                    ("BRANCH_LEQ", input, threshold, left, right, missing_left)
                }
                Node::Leaf { value } => {
                    self.leaf_trees.push(self.n_trees);
                    self.leaf_nodes.push(node_id);
                    self.leaf_scores.push(signed(score));
                    self.leaf_values.push(value);
                    ("LEAF", 0, 0.0, 0, 0, false)
                }
            };
            self.modes.push(mode);
            self.features.push(signed(feature));
            self.thresholds.push(threshold);
            self.lefts.push(signed(left));
            self.rights.push(signed(right));
            self.missing_left.push(i64::from(missing_left));
        }
        self.n_trees += 1;
    }

    /// The attributes; leaf lists are called after `leaf` (`class` or `target`).
    fn attributes(self, leaf: &str, more: Vec<AttributeProto>) -> Vec<AttributeProto> {
        let leaf_ids = if leaf == "class" { "class_ids" } else { "target_ids" };
        let mut attributes = vec![
            Attribute::ints("nodes_treeids", self.tree_ids),
            Attribute::ints("nodes_nodeids", self.node_ids),
            Attribute::ints("nodes_featureids", self.features),
            Attribute::floats("nodes_values", self.thresholds),
            Attribute::strings("nodes_modes", self.modes.into_iter()),
            Attribute::ints("nodes_truenodeids", self.lefts),
            Attribute::ints("nodes_falsenodeids", self.rights),
            Attribute::ints("nodes_missing_value_tracks_true", self.missing_left),
            Attribute::ints(&format!("{leaf}_treeids"), self.leaf_trees),
            Attribute::ints(&format!("{leaf}_nodeids"), self.leaf_nodes),
            Attribute::ints(leaf_ids, self.leaf_scores),
            Attribute::floats(&format!("{leaf}_weights"), self.leaf_values),
            Attribute::string("post_transform", "NONE"),
        ];
        attributes.extend(more);
        attributes
    }
}
