"""The gate of `flights` decided without gudgeon: onnxruntime answers, scikit-learn scores, gate.py decides.

usage: gate_of_versions.py CHAMPION.onnx CHALLENGER.onnx FROM UNTIL DATA.csv.gz...

Prints gate.py's answer about the rows of the files from one time to before another, with "n", their number, and "error_of_bounds": the standard error of
the difference between a bound drawn here and one drawn elsewhere from 1,000 replicates; 0 where a formula gives the bounds.
"""

import json
import sys

import numpy as np
from scipy import stats

import gate
import onnxruntime_predict

CONFIDENCE = 0.95
REPS = 1000
REPS_ELSEWHERE = 1000


def error_of_bounds(n_rows: int, width: float) -> float:
    if n_rows > 50_000:
        return 0.0
    # Of a quantile: sqrt(p (1 - p) / reps) / density. The deltas are near normal; two bounds are `width` apart.
    z = stats.norm.ppf(CONFIDENCE)
    sd = width / (2 * z)
    variance = CONFIDENCE * (1 - CONFIDENCE) * (1 / REPS + 1 / REPS_ELSEWHERE)
    return float(np.sqrt(variance) / stats.norm.pdf(z) * sd)


def main() -> None:
    champion, challenger, first, end, *files = sys.argv[1:]
    rows = [row for file in files for row in onnxruntime_predict.read(file) if first <= row["time"] < end]
    case = {"labels": [int(row["late"]) for row in rows], "min_delta": 0.0, "confidence": CONFIDENCE, "reps": REPS}
    for name, model in (("champion", champion), ("challenger", challenger)):
        case[name] = onnxruntime_predict.answers(model, rows)["probabilities"][:, 1].astype(float)
    answer = gate.decide(case)
    error = error_of_bounds(len(rows), answer["ci_high"] - answer["ci_low"])
    json.dump({**answer, "n": len(rows), "error_of_bounds": error}, sys.stdout)


if __name__ == "__main__":
    main()
