#!/usr/bin/env python3
"""Makes random graphs of one operator of ai.onnx.ml each, with onnxruntime's answers, as folders in the layout of ONNX's own cases.

usage: ml-cases.py FOLDER [N [SEED]]      550 from seed 0 by default; needs onnx and onnxruntime

What onnxruntime refuses is left out, and so is what it answers with memory that it never wrote (PROBIT on one score of two classes) or
with labels that the model does not have (two classes of other numbers than 0 and 1).
"""
import pathlib
import random
import shutil
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

POST = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]
TYPES = {
    "float": (TensorProto.FLOAT, np.float32), "double": (TensorProto.DOUBLE, np.float64),
    "int": (TensorProto.INT64, np.int64), "text": (TensorProto.STRING, object),
}
TEXTS, INTS = ["a", "b", "c", "", "zz"], [0, 1, 2, 3, -1, 7]


class Case:
    """One node: its attributes, inputs (name -> kind and values), outputs (name -> kind)."""

    def __init__(self, dice, operator):
        self.dice, self.operator = dice, operator
        self.n_features, self.n_rows = dice.choice([1, 2, 3, 5, 9]), dice.choice([1, 2, 6, 17, 40])
        self.kind = dice.choice(["float"] * 4 + ["double", "int"])
        self.attributes, self.outputs, self.version, self.places = {}, {"y": "float"}, 3, None
        self.inputs = None
        getattr(self, operator)()
        if self.inputs is None:
            self.inputs = {"x": (self.kind, self.rows(self.kind, self.n_features))}

    def floats(self, n, missing=0.0):
        usual = [0, 1, -1, 0.5, -0.25, 2.5]
        one = lambda: float(np.float32(self.dice.choice(usual + [self.dice.uniform(-3, 3)])))
        return [float("nan") if self.dice.random() < missing else one() for _ in range(n)]

    def rows(self, kind, n_features):
        missing = self.dice.choice([0, 0.1])
        row = {
            "text": lambda: [self.dice.choice(TEXTS) for _ in range(n_features)],
            "int": lambda: [self.dice.choice(INTS) for _ in range(n_features)],
        }.get(kind, lambda: self.floats(n_features, missing))
        return np.array([row() for _ in range(self.n_rows)], dtype=TYPES[kind][1])

    def labels(self, n, ints):
        """Class labels; the label comes out first."""
        if self.dice.random() < 0.5:
            self.attributes[ints] = [0, 1] if n == 2 else self.dice.sample([0, 1, 2, 3, 5, -7, 9], n)
            self.outputs = {"label": "int", "y": "float"}
        else:
            self.attributes["classlabels_strings"] = [f"c{place}" for place in range(n)]
            self.outputs = {"label": "text", "y": "float"}

    def Scaler(self):
        n = self.n_features
        self.attributes = dict(offset=self.floats(self.dice.choice([1, n])), scale=self.floats(self.dice.choice([1, n])))

    def Imputer(self):
        self.kind = self.dice.choice(["float", "int"])
        self.outputs = {"y": self.kind}
        n = self.dice.choice([1, self.n_features])
        if self.kind == "float":
            missing = self.dice.choice([float("nan"), 0.0, 1.0])
            self.attributes = dict(imputed_value_floats=self.floats(n), replaced_value_float=missing)
        else:
            values = [self.dice.randrange(9) for _ in range(n)]
            self.attributes = dict(imputed_value_int64s=values, replaced_value_int64=self.dice.choice([0, 1, -1]))

    def Normalizer(self):
        self.attributes = dict(norm=self.dice.choice(["L1", "L2", "MAX"]))

    def Binarizer(self):
        self.kind = "float"
        self.attributes = dict(threshold=self.floats(1)[0])

    def LabelEncoder(self):
        suffix = {"text": "strings", "int": "int64s", "float": "floats"}
        pool = {"text": TEXTS, "int": INTS, "float": [0.0, 1.0, -1.0, 0.5, float("nan")]}
        self.kind, to = self.dice.choice(
            [("text", "float"), ("text", "int"), ("text", "text"), ("int", "text"), ("int", "float"), ("int", "int"),
             ("float", "int"), ("float", "text"), ("float", "float")])
        self.version = self.dice.choice([2, 3, 4])
        keys = self.dice.sample(pool[self.kind], self.dice.randint(1, 5))
        self.attributes = {f"keys_{suffix[self.kind]}": keys}
        self.attributes[f"values_{suffix[to]}"] = [self.dice.choice(pool[to]) for _ in keys]
        if self.dice.random() < 0.5:
            name, value = {"text": ("string", "dd"), "int": ("int64", 42), "float": ("float", 1.25)}[to]
            self.attributes[f"default_{name}"] = value
        self.outputs = {"y": to}

    def CategoryMapper(self):
        self.kind, self.version = self.dice.choice(["text", "int"]), 1
        self.attributes = dict(cats_strings=["a", "b", "zz"], cats_int64s=[3, 0, 7], default_int64=-5, default_string="none")
        self.outputs = {"y": "int" if self.kind == "text" else "text"}

    def OneHotEncoder(self):
        self.kind = self.dice.choice(["text", "int", "float", "double"])
        if self.kind == "text":
            self.attributes = {"cats_strings": ["a", "b", "c"]}
        else:
            self.attributes = {"cats_int64s": self.dice.sample(INTS, 3)}
        if self.dice.random() < 0.2:
            self.attributes["zeros"] = 0

    def FeatureVectorizer(self):
        widths = [self.dice.choice([1, 2, 3]) for _ in range(self.dice.randint(1, 3))]
        given = [width if self.dice.random() < 0.8 else self.dice.choice([1, 2, 4]) for width in widths]
        self.inputs = {f"x{place}": (self.kind, self.rows(self.kind, width)) for place, width in enumerate(given)}
        self.attributes = dict(inputdimensions=widths)

    def ArrayFeatureExtractor(self):
        self.kind = self.dice.choice(["float", "double", "int", "text"])
        self.places = [self.dice.randrange(self.n_features) for _ in range(self.dice.choice([1, 2, 4]))]
        self.outputs = {"y": self.kind}

    def LinearRegressor(self):
        n, self.kind = self.dice.choice([1, 1, 2, 3]), "float"
        self.attributes = dict(
            coefficients=self.floats(n * self.n_features), targets=n, post_transform=self.dice.choice(POST))
        if self.dice.random() < 0.8:
            self.attributes["intercepts"] = self.floats(n)

    def LinearClassifier(self):
        n_classes = self.dice.choice([2, 2, 3, 4])
        n = 1 if n_classes == 2 and self.dice.random() < 0.3 else n_classes
        self.labels(n_classes, "classlabels_ints")
        self.attributes.update(
            coefficients=self.floats(n * self.n_features), intercepts=self.floats(n),
            post_transform=self.dice.choice(POST[:-1] if n == 1 else POST), multi_class=self.dice.randrange(2))

    def kernel(self):
        self.kind = "float"
        gamma, coef0 = self.dice.choice([0.1, 0.5]), self.dice.choice([0.0, 0.5])
        self.attributes = dict(
            kernel_type=self.dice.choice(["LINEAR", "RBF", "POLY", "SIGMOID"]),
            kernel_params=[gamma, coef0, float(self.dice.choice([1, 2, 3]))])

    def SVMRegressor(self):
        self.kernel()
        n = self.dice.randint(1, 5)
        self.attributes.update(
            support_vectors=self.floats(n * self.n_features), coefficients=self.floats(n), rho=self.floats(1),
            n_supports=n, one_class=self.dice.randrange(2))

    def SVMClassifier(self):
        self.kernel()
        n_classes = self.dice.choice([2, 2, 3, 4])
        per_class = [self.dice.randint(1, 3) for _ in range(n_classes)]
        n, n_pairs = sum(per_class), n_classes * (n_classes - 1) // 2
        self.labels(n_classes, "classlabels_ints")
        self.attributes.update(
            support_vectors=self.floats(n * self.n_features), coefficients=self.floats(n * (n_classes - 1)),
            rho=self.floats(n_pairs), vectors_per_class=per_class, post_transform=self.dice.choice(POST[:-1]))
        if self.dice.random() < 0.5:
            self.attributes.update(prob_a=self.floats(n_pairs), prob_b=self.floats(n_pairs))

    def TreeEnsembleClassifier(self):
        n = self.dice.choice([2, 2, 2, 3, 4])
        self.labels(n, "classlabels_int64s")
        self.trees("class", n, self.dice.random() < 0.4)
        self.attributes["post_transform"] = self.dice.choice(POST if n > 2 else POST[:-1])
        if self.dice.random() < 0.3:
            # One base value for two scores leaves the second unset.
            self.attributes["base_values"] = self.floats(n)

    def TreeEnsembleRegressor(self):
        n = self.dice.choice([1, 1, 2, 3])
        self.trees("target", n, False)
        self.attributes.update(
            n_targets=n, aggregate_function=self.dice.choice(["SUM", "AVERAGE", "MIN", "MAX"]),
            post_transform=self.dice.choice(POST))
        if self.dice.random() < 0.4:
            self.attributes["base_values"] = self.floats(n)

    def trees(self, prefix, n_targets, is_positive):
        modes = ["BRANCH_LEQ"]
        if self.dice.random() < 0.5:
            modes += ["BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
        naming, only = self.dice.choice(["one", "one a tree", "all", "some"]), self.dice.randrange(n_targets)
        nodes, leaves = [], []

        def grow(tree, first, depth):
            """A node numbered `first`, and what is below it; gives back the next free number."""
            is_leaf = depth == 0 or self.dice.random() < 0.25
            node = dict(treeids=tree, nodeids=first, featureids=0, values=0.0, modes="LEAF", truenodeids=0, falsenodeids=0)
            node["missing_value_tracks_true"] = 0 if is_leaf else self.dice.randrange(2)
            nodes.append(node)
            if is_leaf:
                targets = {"one": [only], "one a tree": [tree % n_targets], "all": range(n_targets)}.get(naming)
                for target in targets or self.dice.sample(range(n_targets), self.dice.randint(1, n_targets)):
                    weight = self.floats(1)[0]
                    leaves.append((tree, first, target, abs(weight) if is_positive else weight))
                return first + 1
            second = grow(tree, first + 1, depth - 1)
            node.update(featureids=self.dice.randrange(self.n_features), values=self.floats(1)[0],
                        modes=self.dice.choice(modes), truenodeids=first + 1, falsenodeids=second)
            return grow(tree, second, depth - 1)

        for tree in range(self.dice.choice([1, 2, 3, 7, 60])):
            grow(tree, 0, self.dice.choice([0, 1, 2, 4, 6]))
        for name in nodes[0]:
            self.attributes[f"nodes_{name}"] = [node[name] for node in nodes]
        if self.dice.random() < 0.3:
            del self.attributes["nodes_missing_value_tracks_true"]
        for name, column in zip(["treeids", "nodeids", "ids", "weights"], zip(*leaves)):
            self.attributes[f"{prefix}_{name}"] = list(column)

    def model(self):
        names, initializers = list(self.inputs), []
        if self.places is not None:
            initializers.append(numpy_helper.from_array(np.array(self.places, np.int64), "places"))
            names.append("places")
        node = helper.make_node(self.operator, names, list(self.outputs), domain="ai.onnx.ml", **self.attributes)
        value = lambda name, kind, shape: helper.make_tensor_value_info(name, TYPES[kind][0], shape)
        inputs = [value(name, kind, [None, rows.shape[1]]) for name, (kind, rows) in self.inputs.items()]
        n_axes = lambda name: 1 if name == "label" else 3 if self.operator == "OneHotEncoder" else 2
        outputs = [value(name, kind, [None] * n_axes(name)) for name, kind in self.outputs.items()]
        graph = helper.make_graph([node], "case", inputs, outputs, initializer=initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", self.version)], ir_version=8)


OPERATORS = [name for name in vars(Case) if name[0].isupper()]


def main():
    folder = pathlib.Path(sys.argv[1])
    n, seed = (int(argument) for argument in (sys.argv[2:] + ["550", "0"][len(sys.argv) - 2:]))
    shutil.rmtree(folder, ignore_errors=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    for place in range(n):
        case = Case(random.Random(seed + place), OPERATORS[place % len(OPERATORS)])
        model = case.model()
        feeds = {name: rows for name, (_, rows) in case.inputs.items()}
        try:
            session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            answers = session.run(None, feeds)
        except Exception:
            continue
        data = folder / f"{case.operator}_{place}" / "test_data_set_0"
        data.mkdir(parents=True)
        onnx.save(model, data.parent / "model.onnx")
        for role, values in (("input", feeds.values()), ("output", answers)):
            for index, value in enumerate(values):
                value = np.asarray(value)
                value = value.astype(object) if value.dtype.kind in "OUS" else value
                (data / f"{role}_{index}.pb").write_bytes(numpy_helper.from_array(value).SerializeToString())


main()
