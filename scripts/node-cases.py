#!/usr/bin/env python3
"""Writes the cases of the ONNX standard's own test suite, of ai.onnx and ai.onnx.ml, as folders of model and data.

usage: node-cases.py FOLDER

They come from the `onnx` package (onnx.backend.test.case.node), so their number depends on its version. Cases whose inputs or
outputs are no tensors are left out: gudgeon serves tensors.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases


def tensor(value, name: str) -> bytes:
    array = np.asarray(value)
    if array.dtype.kind in "OUS":
        array = array.astype(object)
    return numpy_helper.from_array(array, name).SerializeToString()


def write(case, folder: Path) -> bool:
    model = case.model
    values = [value for inputs, outputs in case.data_sets for value in [*inputs, *outputs]]
    kinds = [value.type.WhichOneof("value") for value in [*model.graph.input, *model.graph.output]]
    if any(kind != "tensor_type" for kind in kinds) or not all(isinstance(value, np.ndarray | np.generic) for value in values):
        return False
    data = folder / case.name / "test_data_set_0"
    data.mkdir(parents=True)
    onnx.save(model, data.parent / "model.onnx")
    inputs, outputs = case.data_sets[0]
    for role, given, declared in [("input", inputs, model.graph.input), ("output", outputs, model.graph.output)]:
        for index, (value, info) in enumerate(zip(given, declared)):
            (data / f"{role}_{index}.pb").write_bytes(tensor(value, info.name))
    return True


def main() -> None:
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    written = {case.name: write(case, folder) for case in collect_testcases(None) if case.model is not None}
    print(f"{sum(written.values())} of {len(written)} cases (onnx {onnx.__version__})")


if __name__ == "__main__":
    main()
