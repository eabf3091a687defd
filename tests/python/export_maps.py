#!/usr/bin/env python3
"""Makes the `map_` cases of tests/cases/models: graphs whose input is a map, by DictVectorizer or CastMap.

usage: export_maps.py FOLDER

A case's input is the table that stands in the map's place: a column a key, in the order of the vocabulary. The expected outputs are
onnxruntime's, asked with one map a row, as it takes no more. Needs skl2onnx 1.20, scikit-learn, onnx and onnxruntime. What
onnxruntime's Python takes no maps for (other values than floats) is recorded of the same graph with floats.
"""
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime as rt
from onnx import TensorProto as T, helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DictionaryType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

OUT = pathlib.Path(sys.argv[1])
KEYS = {"string": T.STRING, "int64": T.INT64}
VALUES = {"float": T.FLOAT, "double": T.DOUBLE, "int64": T.INT64, "string": T.STRING}


def answers(model, name, maps):
    options = rt.SessionOptions()
    options.intra_op_num_threads = 1
    session = rt.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    # onnxruntime's Python takes no empty map: a key that nothing knows says the same.
    unknown = "?" if any(isinstance(key, str) for row in maps for key in row) else 10**9
    rows = [session.run(None, {name: row or {unknown: 1.0}}) for row in maps]
    names = [output.name for output in session.get_outputs()]
    return names, [sum((list(row[k]) for row in rows), []) for k in range(len(names))]


def write(case, model, maps, keys, dtype=np.float32, floats=None):
    folder = OUT / f"map_{case}"
    data = folder / "test_data_set_0"
    data.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "model.onnx")
    name = model.graph.input[0].name
    table = np.array([[row.get(key, dtype()) for key in keys] for row in maps], dtype=object if dtype is str else dtype)
    (data / "input_0.pb").write_bytes(numpy_helper.from_array(table, name).SerializeToString())
    for k, (output, value) in enumerate(zip(*answers(floats or model, name, maps))):
        if isinstance(value[0], dict):
            rows = [{str(label): float(score) for label, score in row.items()} for row in value]
            (folder / f"output_{k}.{output}.json").write_text(json.dumps(rows))
            continue
        value = np.array(value, dtype=object if isinstance(value[0], str) else None)
        if floats:
            value = value.astype(dtype)
        (data / f"output_{k}.pb").write_bytes(numpy_helper.from_array(value, output).SerializeToString())
    print("ok", case)


def graph(nodes, key, value, outputs, opset=18):
    kind = helper.make_map_type_proto(KEYS[key], helper.make_tensor_type_proto(VALUES[value], []))
    outputs = [helper.make_tensor_value_info(name, VALUES[kind], None) for name, kind in outputs]
    made = helper.make_graph(nodes, "maps", [helper.make_value_info("x", kind)], outputs)
    opsets = [helper.make_opsetid("ai.onnx.ml", 3)] + ([helper.make_opsetid("", opset)] if opset else [])
    return helper.make_model(made, opset_imports=opsets, ir_version=8)


def ml(operator, output, **attributes):
    return helper.make_node(operator, ["x"], [output], domain="ai.onnx.ml", **attributes)


def cities(n_rows=12):
    names = ["Oslo", "Bergen", "Paris"]
    return [{f"city={names[k % 3]}": 1.0, "temp": 3.5 * k - 9, **({"rain": 0.25 * k} if k % 2 else {})} for k in range(n_rows)]


def sklearn(case, classifier, options=None):
    rows = cities()
    labels = np.array(["warm" if row["temp"] > 5 else "cold" for row in rows])
    vectorizer = DictVectorizer(sparse=False)
    pipeline = make_pipeline(vectorizer, classifier).fit(rows, labels)
    kind = DictionaryType(StringTensorType([1]), FloatTensorType([]))
    model = convert_sklearn(pipeline, initial_types=[("x", kind)], options=options, target_opset={"": 18, "ai.onnx.ml": 3})
    asked = rows + [{}, {"temp": 40.0, "city=Rome": 1.0}]
    write(case, model, asked, vectorizer.feature_names_)


sklearn("sk_logreg_zipmap", LogisticRegression())
forest = RandomForestClassifier(5, random_state=0)
sklearn("sk_forest", forest, {id(forest): {"zipmap": False}})

ints = [{5: 1.5, 1: -2.0}, {9: 1.0, -3: 0.5}, {1: float("nan"), 5: 1e30}]
write("ints", graph([ml("DictVectorizer", "y", int64_vocabulary=[5, 1, -3])], "int64", "float", [("y", "float")], 0), ints, [5, 1, -3])
wholes = [{"a": 4, "c": 8}, {"q": 1}, {"b": -7, "a": 1 << 20}]
whole = lambda value: graph([ml("DictVectorizer", "y", string_vocabulary=["a", "c", "b", "z"])], "string", value, [("y", value)])
write("whole_values", whole("int64"), wholes, ["a", "c", "b", "z"], np.int64, whole("float"))
write("doubles", whole("double"), wholes, ["a", "c", "b", "z"], np.float64, whole("float"))
write("several_readers", graph([
    ml("DictVectorizer", "first", string_vocabulary=["a", "b", "a"]),
    ml("DictVectorizer", "second", string_vocabulary=["c", "b"]),
    helper.make_node("Concat", ["second", "first"], ["y"], axis=1),
], "string", "float", [("y", "float"), ("second", "float")]), wholes, ["a", "b", "c"])
places = [{0: 1.5, 2: 2.75, 1: -3.99}, {7: 3.0, 1: 0.1}, {2: 1e9}]
write("cast_sparse", graph([
    ml("CastMap", "y", map_form="SPARSE", max_map=4), ml("CastMap", "whole", map_form="SPARSE", max_map=3, cast_to="TO_INT64"),
], "int64", "float", [("y", "float"), ("whole", "int64")]), places, [0, 1, 2, 3])
dense = [{0: 1.5, 2: 2.75, 1: -3.99}, {7: 3.0, 1: 0.1, -8: 5.0}]
model = graph([ml("CastMap", "y", map_form="DENSE")], "int64", "float", [("y", "float")])
write("cast_dense", model, [dict(enumerate(row[key] for key in sorted(row))) for row in dense], [0, 1, 2])
