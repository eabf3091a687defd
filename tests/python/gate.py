"""The gate decided independently, with scikit-learn's score and a bootstrap of its own.

Reads one JSON object a line from standard input: {"labels": [0, 1, ...], "champion": [p, ...], "challenger": [p, ...],
"min_delta": 0.0, "confidence": 0.95, "reps": 1000}; writes one a line: {"champion", "challenger", "delta", "ci_low",
"ci_high", "verdict"}. The bounds are one-sided percentiles of the paired bootstrap; above 50,000 rows the normal bounds
of the paired placement values (DeLong, 1988), computed here from ranks.
"""

import json
import sys

import numpy as np
from scipy import stats
from sklearn.metrics import roc_auc_score


def placements(labels, scores):
    """DeLong's placement values: of each positive among the negatives, of each negative among the positives."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    everything = stats.rankdata(scores)
    m, n = len(positive), len(negative)
    v10 = (everything[labels == 1] - stats.rankdata(positive)) / n
    v01 = 1.0 - (everything[labels == 0] - stats.rankdata(negative)) / m
    return v10, v01


def bounds_by_delong(labels, champion, challenger, confidence):
    (a10, a01), (b10, b01) = placements(labels, champion), placements(labels, challenger)
    delta = np.mean(b10) - np.mean(a10)
    variance = np.var(b10 - a10, ddof=1) / len(a10) + np.var(b01 - a01, ddof=1) / len(a01)
    z = stats.norm.ppf(confidence)
    return delta - z * np.sqrt(variance), delta + z * np.sqrt(variance)


class WeightedAuc:
    """The area under the ROC curve of rows that count several times: sorted once, so that a replicate costs one pass."""

    def __init__(self, labels, scores):
        _, self.group = np.unique(scores, return_inverse=True)
        self.positive = labels == 1
        whole = self.of(np.ones(len(labels)))
        expected = roc_auc_score(labels, scores)
        if abs(whole - expected) > 1e-12:
            sys.exit(f"the area of all rows is {whole}, scikit-learn says {expected}")

    def of(self, weights):
        positive = np.bincount(self.group, weights * self.positive)
        negative = np.bincount(self.group, weights * ~self.positive)
        below = np.cumsum(negative) - negative
        return positive @ (below + negative / 2) / (positive.sum() * negative.sum())


def bounds_by_bootstrap(labels, champion, challenger, confidence, reps):
    random = np.random.default_rng(20130901)
    areas = [WeightedAuc(labels, scores) for scores in (champion, challenger)]
    deltas = []
    while len(deltas) < reps:
        rows = random.integers(0, len(labels), len(labels))
        if 0 < labels[rows].sum() < len(rows):
            first, second = (area.of(np.bincount(rows, minlength=len(labels))) for area in areas)
            deltas.append(second - first)
    return np.quantile(deltas, 1 - confidence), np.quantile(deltas, confidence)


def decide(case) -> dict:
    labels, champion, challenger = (np.asarray(case[key]) for key in ("labels", "champion", "challenger"))
    auc = [roc_auc_score(labels, scores) for scores in (champion, challenger)]
    if len(labels) > 50_000:
        low, high = bounds_by_delong(labels, champion, challenger, case["confidence"])
    else:
        low, high = bounds_by_bootstrap(labels, champion, challenger, case["confidence"], case["reps"])
    verdict = "PASS" if low > case["min_delta"] else "INCONCLUSIVE" if high > 0 else "FAIL"
    answer = {"champion": auc[0], "challenger": auc[1], "delta": auc[1] - auc[0]}
    return {**answer, "ci_low": float(low), "ci_high": float(high), "verdict": verdict}


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(decide(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
