"""Makes a challenger out of the sample model: challenger.py KIND MODEL OUT.

permuted  the classes change places, so that every answer is wrong
slow      a run takes many times as long; the answers are the same
failing   a run fails on flights of 1,000 miles and more; the other answers are the same
"""

import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper


def constant(graph, name, values):
    graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    return name


def renamed(graph, output):
    """Gives the output's maker another name to write to, so that what follows can write the output."""
    inner = output + "_inner"
    for node in graph.node:
        node.input[:] = [inner if name == output else name for name in node.input]
        node.output[:] = [inner if name == output else name for name in node.output]
    return inner


def permuted(graph):
    inner = renamed(graph, "probabilities")
    constant(graph, "swap", np.array([1, 0], dtype=np.int64))
    graph.node.append(helper.make_node("Gather", [inner, "swap"], ["probabilities"], axis=1))
    inner = renamed(graph, "label")
    constant(graph, "one", np.array([1], dtype=np.int64))
    graph.node.append(helper.make_node("Sub", ["one", inner], ["label"]))


def slow(graph):
    inner = renamed(graph, "probabilities")
    width, layers = 384, 24
    random = np.random.default_rng(1)
    constant(graph, "wide", random.random((2, width), dtype=np.float32) / 2)
    at = "wide_0"
    graph.node.append(helper.make_node("MatMul", [inner, "wide"], [at]))
    for layer in range(layers):
        constant(graph, f"weights_{layer}", random.random((width, width), dtype=np.float32) / width)
        graph.node.append(helper.make_node("MatMul", [at, f"weights_{layer}"], [f"wide_{layer + 1}"]))
        at = f"wide_{layer + 1}"
    constant(graph, "narrow", np.full((width, 2), 1e-12, dtype=np.float32))
    graph.node.append(helper.make_node("MatMul", [at, "narrow"], ["little"]))
    graph.node.append(helper.make_node("Add", [inner, "little"], ["probabilities"]))


def failing(graph):
    inner = renamed(graph, "probabilities")
    constant(graph, "thousand", np.array([1000], dtype=np.float32))
    constant(graph, "nothing", np.zeros((1,), dtype=np.float32))
    # A place behind the end of a table of one value, for every flight of 1,000 miles and more.
    graph.node.append(helper.make_node("Div", ["distance", "thousand"], ["far"]))
    graph.node.append(helper.make_node("Cast", ["far"], ["place"], to=onnx.TensorProto.INT64))
    graph.node.append(helper.make_node("Gather", ["nothing", "place"], ["zero"], axis=0))
    graph.node.append(helper.make_node("Add", [inner, "zero"], ["probabilities"]))


kind, source, target = sys.argv[1:]
model = onnx.load(source)
{"permuted": permuted, "slow": slow, "failing": failing}[kind](model.graph)
onnx.checker.check_model(model)
onnx.save(model, target)
