"""Holds a registered version against onnx.checker and onnxruntime: every golden case must come out.

usage: check_export.py VERSION_FOLDER

Prints one JSON object: {"golden_rows": n, "largest_relative_difference": of the numbers, to 1 or to the value if larger}.
A class that differs ends it with an error.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

DTYPES = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64, "BYTES": object}


def tensor(case) -> np.ndarray:
    values = [np.nan if value is None else value for value in case["data"]]
    return np.array(values, dtype=DTYPES[case["datatype"]]).reshape(case["shape"])


def main() -> None:
    folder = Path(sys.argv[1])
    model = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    golden = json.loads((folder / "golden.json").read_text())
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = {case["name"]: tensor(case) for case in golden["inputs"]}
    names = [case["name"] for case in golden["outputs"]]
    largest = 0.0
    for case, got in zip(golden["outputs"], session.run(names, inputs)):
        want = tensor(case)
        if got.shape != want.shape:
            sys.exit(f"output {case['name']}: expected the shape {want.shape}, got {got.shape}")
        if want.dtype.kind == "f":
            largest = max(largest, float(np.max(np.abs(got - want) / np.maximum(1.0, np.abs(want)))))
        elif not np.array_equal(got, want):
            sys.exit(f"output {case['name']}: expected {want}, got {got}")
    json.dump({"golden_rows": len(next(iter(inputs.values()))), "largest_relative_difference": largest}, sys.stdout)


if __name__ == "__main__":
    main()
