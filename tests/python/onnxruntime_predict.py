"""What onnxruntime answers for real flights: the independent opinion that the server is held against.

usage: onnxruntime_predict.py MODEL.onnx DATA.csv.gz N_ROWS

Prints one JSON object: {"label": [...], "probabilities": [[...], ...]} for the first N_ROWS rows.
"""

import csv
import gzip
import itertools
import json
import sys

import numpy as np
import onnxruntime


def read(data: str, n_rows: int | None = None) -> list[dict[str, str]]:
    """The first rows of a file, or all of them, as text by column."""
    with gzip.open(data, "rt", newline="") as file:
        return list(itertools.islice(csv.DictReader(file), n_rows))


def answers(model: str, rows: list[dict[str, str]]) -> dict[str, np.ndarray]:
    """Every output of the graph for these rows, by name."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    inputs = {}
    for spec in session.get_inputs():
        texts = [row[spec.name] for row in rows]
        if spec.type == "tensor(string)":
            values = np.array(texts, dtype=object)
        else:
            values = np.array([float(text) if text else np.nan for text in texts], dtype=np.float32)
        inputs[spec.name] = values.reshape(-1, 1)
    names = [spec.name for spec in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs)))


def main() -> None:
    model, data, n_rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
    outputs = answers(model, read(data, n_rows))
    json.dump(
        {"label": outputs["label"].tolist(), "probabilities": outputs["probabilities"].astype(float).tolist()},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
