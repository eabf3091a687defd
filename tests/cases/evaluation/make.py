"""Makes scores.json beside it: what scikit-learn and scipy say about small seeded cases.

Needs numpy, scipy and scikit-learn. DeLong's variance is computed here from its definition (all pairs), which shares no
code or algorithm with the mid-rank form in the crate.
"""

import json
import pathlib

import numpy as np
from sklearn import metrics as sk


def delong(y, a, b):
    def placements(s):
        pos, neg = s[y == 1], s[y == 0]
        psi = (pos[:, None] > neg[None, :]) + 0.5 * (pos[:, None] == neg[None, :])
        return psi.mean(axis=1), psi.mean(axis=0)

    (pa, na), (pb, nb) = placements(a), placements(b)
    return float(np.var(pb - pa, ddof=1) / len(pa) + np.var(nb - na, ddof=1) / len(na))


def calibration_error(y, p):
    at = np.minimum((p * 10).astype(int), 9)
    return float(sum(abs((p[at == b] - y[at == b]).sum()) for b in range(10)) / len(y))


def binary(y, p):
    return {
        "roc_auc": sk.roc_auc_score(y, p),
        "pr_auc": sk.average_precision_score(y, p),
        "log_loss": sk.log_loss(y, np.clip(np.column_stack([1 - p, p]), 1e-15, 1 - 1e-15)),
        "brier": sk.brier_score_loss(y, p),
        "accuracy@0.5": sk.accuracy_score(y, p >= 0.5),
        "accuracy@0.3": sk.accuracy_score(y, p >= 0.3),
        "f1@0.5": sk.f1_score(y, p >= 0.5),
        "f1@0.25": sk.f1_score(y, p >= 0.25),
        "calibration_error": calibration_error(y, p),
    }


def main():
    rng = np.random.default_rng(20)
    cases = []
    for name, n, digits in [("smooth", 300, 6), ("ties", 400, 1), ("rare", 500, 3)]:
        logit = rng.normal(size=n) - (2.5 if name == "rare" else 0)
        y = (rng.uniform(size=n) < 1 / (1 + np.exp(-logit))).astype(int)
        a, b = (np.round(1 / (1 + np.exp(-(logit + rng.normal(size=n) * sd))), digits) for sd in (1.0, 0.5))
        cases.append({"name": name, "kind": "binary", "labels": y.tolist(), "first": a.tolist(), "second": b.tolist(),
                      "metrics": binary(y, a), "metrics_second": binary(y, b), "delong_variance": delong(y, a, b)})
    x = rng.normal(size=(200, 3))
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    y = np.array([rng.choice(3, p=row) for row in p])
    onehot = np.eye(3)[y]
    cases.append({"name": "three classes", "kind": "multiclass", "labels": y.tolist(), "first": p.ravel().tolist(),
                  "metrics": {"log_loss": sk.log_loss(y, p), "accuracy@0.5": sk.accuracy_score(y, p.argmax(axis=1)),
                              "brier": float(((p - onehot) ** 2).sum(axis=1).mean())}})
    y = rng.gamma(2.0, 10.0, size=250)
    f = y * 0.8 + rng.normal(size=250) * 5
    cases.append({"name": "regression", "kind": "regression", "labels": y.tolist(), "first": f.tolist(),
                  "metrics": {"rmse": sk.root_mean_squared_error(y, f), "mae": sk.mean_absolute_error(y, f),
                              "r2": sk.r2_score(y, f), "pinball@0.9": sk.mean_pinball_loss(y, f, alpha=0.9)}})
    text = json.dumps({"cases": cases}, indent=None, separators=(",", ":"), default=float)
    pathlib.Path(__file__).with_name("scores.json").write_text(text + "\n")


main()
