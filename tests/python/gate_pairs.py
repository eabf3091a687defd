"""30 made-up pairs of champion and challenger, each decided with scikit-learn's scores and a bootstrap of numpy's.

Prints one JSON object a pair: its gate (the text of gate.toml), what both models said about the holdout, the checks that
follow from it ({name: {champion, challenger, delta, ci_low, ci_high, error_of_bounds, verdict}}) and the verdict.
`error_of_bounds` is the standard error of the difference between a bound drawn here and one drawn elsewhere as often. A pair
whose decision hangs on the draws is refused: no two right programs need agree about it.
"""

import json
import sys

import numpy as np
from scipy import stats
from sklearn import metrics as sk

REPS = 2000
CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE
HIGHER = {"roc_auc", "pr_auc", "accuracy", "f1", "r2"}


def split(metric):
    name, _, at = metric.partition("@")
    return name, at


class Score:
    """A score of rows that count several times, checked against scikit-learn where each counts once."""

    def __init__(self, metric, y, p):
        self.name, at = split(metric)
        self.y, self.p = y, p
        if self.name == "cost":
            self.costs = [float(cost) for cost in at.split(":")]
            self.at = self.costs[0] / sum(self.costs)
        else:
            self.at = float(at) if at else None
        if self.name in ("roc_auc", "pr_auc"):
            _, group = np.unique(p, return_inverse=True)
            self.group = group
        self.losses = self.rows()
        whole, expected = self.of(np.ones(len(y))), self.by_scikit_learn()
        if expected is not None and abs(whole - expected) > 1e-9:
            sys.exit(f"{metric} of all rows is {whole}, scikit-learn says {expected}")

    def rows(self):
        """The loss of each row, for scores that are means."""
        y, p = self.y, self.p
        if self.name == "log_loss":
            return -np.log(np.clip(np.where(y == 1, p, 1 - p), 1e-15, 1 - 1e-15))
        if self.name == "brier":
            return (p - y) ** 2
        if self.name == "accuracy":
            return ((p >= self.at) == (y == 1)).astype(float)
        if self.name == "cost":
            called = p >= self.at
            return self.costs[0] * (called & (y == 0)) + self.costs[1] * (~called & (y == 1))
        if self.name in ("rmse",):
            return (y - p) ** 2
        if self.name == "mae":
            return np.abs(y - p)
        if self.name == "pinball":
            return np.maximum(self.at * (y - p), (self.at - 1) * (y - p))
        return None

    def of(self, w):
        if self.name in ("roc_auc", "pr_auc"):
            positive = np.bincount(self.group, w * (self.y == 1))
            negative = np.bincount(self.group, w * (self.y == 0))
            if positive.sum() == 0 or (self.name == "roc_auc" and negative.sum() == 0):
                return np.nan
            if self.name == "roc_auc":
                below = np.cumsum(negative) - negative
                return positive @ (below + negative / 2) / (positive.sum() * negative.sum())
            right, called = np.cumsum(positive[::-1]), np.cumsum((positive + negative)[::-1])
            precision = np.divide(right, called, out=np.zeros_like(right), where=called > 0)
            return positive[::-1] @ precision / positive.sum()
        if self.name == "f1":
            called, truth = self.p >= self.at, self.y == 1
            right, wrong = w @ (called & truth), w @ (called != truth)
            return 2 * right / (2 * right + wrong)
        if self.name == "r2":
            mean = w @ self.y / w.sum()
            return 1 - (w @ (self.y - self.p) ** 2) / (w @ (self.y - mean) ** 2)
        mean = w @ self.losses / w.sum()
        return np.sqrt(mean) if self.name == "rmse" else mean

    def by_scikit_learn(self):
        y, p = self.y, self.p
        return {
            "roc_auc": lambda: sk.roc_auc_score(y, p),
            "pr_auc": lambda: sk.average_precision_score(y, p),
            "log_loss": lambda: sk.log_loss(y, p, labels=[0, 1]),
            "brier": lambda: sk.brier_score_loss(y, p),
            "accuracy": lambda: sk.accuracy_score(y, p >= self.at),
            "f1": lambda: sk.f1_score(y, p >= self.at),
            "rmse": lambda: np.sqrt(sk.mean_squared_error(y, p)),
            "mae": lambda: sk.mean_absolute_error(y, p),
            "r2": lambda: sk.r2_score(y, p),
            "pinball": lambda: sk.mean_pinball_loss(y, p, alpha=self.at),
            "cost": lambda: self.costs[0] * np.mean((p >= self.at) & (y == 0))
            + self.costs[1] * np.mean((p < self.at) & (y == 1)),
        }[self.name]()


class Border(Exception):
    """The decision hangs on the draws."""


def clear(value, border, error, what):
    if abs(value - border) < 6 * error:
        raise Border(f"{what}: {value} is too near to {border}, with an error of {error}")


def bounds(deltas, delta):
    low, high = np.quantile(deltas, [ALPHA, CONFIDENCE])
    sd = np.std(deltas, ddof=1)
    error = np.sqrt(CONFIDENCE * ALPHA * 2 / REPS) / stats.norm.pdf(stats.norm.ppf(CONFIDENCE)) * sd
    return float(low), float(high), float(error)


def by_bound(low, high, error, threshold, what):
    clear(low, threshold, error, what)
    if low > threshold:
        return "PASS"
    clear(high, 0.0, error, what)
    return "FAIL" if high <= 0 else "INCONCLUSIVE"


def delong(y, a, b):
    def placements(scores):
        everything = stats.rankdata(scores)
        m, n = (y == 1).sum(), (y == 0).sum()
        v10 = (everything[y == 1] - stats.rankdata(scores[y == 1])) / n
        return v10, 1.0 - (everything[y == 0] - stats.rankdata(scores[y == 0])) / m

    (a10, a01), (b10, b01) = placements(a), placements(b)
    sd = np.sqrt(np.var(b10 - a10, ddof=1) / len(a10) + np.var(b01 - a01, ddof=1) / len(a01))
    z = stats.norm.ppf(CONFIDENCE)
    delta = b10.mean() - a10.mean()
    return float(delta - z * sd), float(delta + z * sd), 1e-9


def holm(p_values, what):
    order = np.argsort(p_values, kind="stable")
    rejected, alive = [False] * len(p_values), True
    for step, index in enumerate(order):
        limit = ALPHA / (len(p_values) - step)
        if alive:
            clear(p_values[index], limit, np.sqrt(max(p_values[index], 1 / REPS) * 2 / REPS), what)
        alive = alive and p_values[index] <= limit
        rejected[index] = bool(alive)
    return rejected


def draws(pair, seed):
    """The multiplicities of rows in each replicate; all comparisons of a pair share them."""
    random = np.random.default_rng(10_000 + seed)
    n = len(pair["y"])
    if pair["clusters"] is None:
        return [np.bincount(random.integers(0, n, n), minlength=n).astype(float) for _ in range(REPS)]
    names, of_row = np.unique(pair["clusters"], return_inverse=True)
    k = len(names)
    return [np.bincount(random.integers(0, k, k), minlength=k)[of_row].astype(float) for _ in range(REPS)]


def compare(metric, y, pair, weights, rows=None):
    a, b = pair
    rows = slice(None) if rows is None else rows
    scores = [Score(metric, y[rows], p[rows]) for p in (a, b)]
    sign = 1 if split(metric)[0] in HIGHER else -1
    values = [float(score.of(np.ones(len(y[rows])))) for score in scores]
    delta = sign * (values[1] - values[0])
    if metric == "roc_auc" and len(y[rows]) > 50_000:
        low, high, error = delong(y[rows], a[rows], b[rows])
        deltas = None
    else:
        deltas = np.array([sign * (scores[1].of(w[rows]) - scores[0].of(w[rows])) for w in weights])
        deltas = deltas[np.isfinite(deltas)]
        low, high, error = bounds(deltas, delta)
    figures = {"champion": values[0], "challenger": values[1], "delta": delta, "ci_low": low, "ci_high": high}
    return {**figures, "error_of_bounds": error}, deltas


def decide(pair, seed):
    y, a, b, metric = pair["y"], pair["champion"], pair["challenger"], pair["metric"]
    weights = draws(pair, seed) if len(y) <= 50_000 else []
    checks = {"holdout rows": {"verdict": "PASS" if len(y) >= 1000 else "INCONCLUSIVE"}}
    if pair["task"] == "binary":
        rarer = min(int((y == 1).sum()), int((y == 0).sum()))
        checks["holdout positives"] = {"verdict": "PASS" if rarer >= 100 else "INCONCLUSIVE"}
    for name, floor in pair["floor"].items():
        value = float(Score(name, y, b).of(np.ones(len(y))))
        better = value >= floor if split(name)[0] in HIGHER else value <= floor
        checks[f"floor {name}"] = {"challenger": value, "verdict": "PASS" if better else "FAIL"}
    found, _ = compare(metric, y, (a, b), weights)
    threshold = pair["min_delta"] if pair["rule"] == "superior" else -pair["margin"]
    verdict = by_bound(found["ci_low"], found["ci_high"], found["error_of_bounds"], threshold, "primary")
    checks[f"primary {metric}"] = {**found, "verdict": verdict}
    for name, worse in pair["guardrails"].items():
        found, _ = compare(name, y, (a, b), weights)
        threshold = -worse * abs(found["champion"])
        verdict = by_bound(found["ci_low"], found["ci_high"], found["error_of_bounds"], threshold, f"guardrail {name}")
        checks[f"guardrail {name}"] = {**found, "verdict": verdict}
    if pair["slices"] is not None:
        levels = np.unique(pair["slices"])
        family = [compare(metric, y, (a, b), weights, pair["slices"] == level) for level in levels]
        share = lambda values, at: (np.sum(values <= at) + 1) / (len(values) + 1)
        fine = holm([share(deltas, -pair["slice_margin"]) for _, deltas in family], "slices: not worse")
        worse = holm([share(-deltas, 0.0) for _, deltas in family], "slices: worse")
        for level, (found, _), is_fine, is_worse in zip(levels, family, fine, worse):
            verdict = "PASS" if is_fine else "FAIL" if is_worse else "INCONCLUSIVE"
            checks[f"slice group={level}"] = {**found, "verdict": verdict}
    verdicts = [check["verdict"] for check in checks.values()]
    verdict = next((word for word in ("FAIL", "INCONCLUSIVE") if word in verdicts), "PASS")
    return checks, verdict


def gate_text(pair, seed):
    lines = ["[primary]", f'metric = "{pair["metric"]}"', f'rule = "{pair["rule"]}"']
    lines += [f"min_delta = {float(pair['min_delta'])}", f"margin = {float(pair['margin'])}"]
    lines += [f"bootstrap = {{ reps = {REPS}, seed = {seed} }}"]
    if pair["clusters"] is not None:
        lines += ["[holdout]", 'cluster = "group_of_rows"']
    if pair["floor"]:
        lines += ["[floor]"] + [f'"{name}" = {value}' for name, value in pair["floor"].items()]
    for name, worse in pair["guardrails"].items():
        lines += ["[[guardrail]]", f'metric = "{name}"', f"max_worse_rel = {worse}"]
    if pair["slices"] is not None:
        lines += ["[[slice]]", 'column = "group"', "min_rows = 50", f"margin = {pair['slice_margin']}"]
    return "\n".join(lines) + "\n"


def binary(random, n, noises, rate=0.0):
    x = random.normal(size=n)
    y = (random.random(n) < 1 / (1 + np.exp(-(1.5 * x + rate)))).astype(int)
    said = [1 / (1 + np.exp(-(1.5 * (x + noise * random.normal(size=n)) / (1 + noise**2) + rate))) for noise in noises]
    return x, y, [np.round(p, 6) for p in said]


def regression(random, n, noises):
    x = random.normal(size=n)
    y = 3 * x + random.normal(size=n)
    return x, np.round(y, 6), [np.round(3 * x + noise * random.normal(size=n), 6) for noise in noises]


# metric, rows, noise of champion and challenger, and what differs from the usual
PAIRS = [
    ("roc_auc", 2000, 1.0, 0.2, {}),
    ("roc_auc", 2000, 0.2, 1.0, {}),
    ("roc_auc", 3000, 0.5, 0.5, {}),
    ("roc_auc", 3000, 0.5, 0.5, {"rule": "non_inferior", "margin": 0.05}),
    ("roc_auc", 60000, 0.6, 0.5, {}),
    ("roc_auc", 60000, 0.5, 0.6, {"min_delta": 0.01}),
    ("roc_auc", 800, 1.5, 0.1, {}),
    ("roc_auc", 2500, 0.9, 0.3, {"rate": -4.0}),
    ("pr_auc", 2500, 1.0, 0.2, {"rate": -2.0}),
    ("pr_auc", 2500, 0.2, 1.0, {"rate": -2.0}),
    ("log_loss", 2000, 1.0, 0.2, {"floor": {"roc_auc": 0.6}}),
    ("log_loss", 2000, 1.0, 0.2, {"floor": {"roc_auc": 0.95}}),
    ("log_loss", 1500, 0.3, 1.2, {}),
    ("log_loss", 1500, 0.6, 0.6, {"rule": "non_inferior", "margin": 0.05}),
    ("brier", 2000, 1.0, 0.3, {}),
    ("brier", 2000, 0.5, 0.52, {"rule": "non_inferior", "margin": 0.03}),
    ("accuracy@0.5", 3000, 1.5, 0.1, {}),
    ("accuracy@0.4", 2000, 0.6, 0.6, {}),
    ("f1@0.5", 2500, 1.5, 0.1, {}),
    ("f1@0.3", 2500, 0.1, 1.5, {}),
    ("cost@1:5", 3000, 1.5, 0.1, {}),
    ("cost@2:1", 3000, 0.1, 1.5, {}),
    ("roc_auc", 4000, 1.0, 0.2, {"guardrails": {"log_loss": 0.02}, "spoil": True}),
    ("roc_auc", 4000, 1.0, 0.2, {"guardrails": {"brier": 0.05, "log_loss": 0.05}}),
    ("roc_auc", 6000, 1.0, 0.2, {"slices": True, "slice_margin": 0.02}),
    ("roc_auc", 6000, 1.0, 0.2, {"slices": True, "slice_margin": 0.02, "spoil_slice": True}),
    ("roc_auc", 2400, 2.0, 0.1, {"clusters": 600}),
    ("rmse", 1500, 1.0, 0.6, {"guardrails": {"mae": 0.02}}),
    ("mae", 2100, 0.6, 0.6, {"rule": "non_inferior", "margin": 0.2, "slices": True, "slice_margin": 0.001}),
    ("pinball@0.9", 2000, 0.4, 1.2, {"guardrails": {"r2": 0.5}}),
]


def make(seed):
    metric, n, champion, challenger, more = PAIRS[seed]
    random = np.random.default_rng(1_000 + seed)
    is_binary = split(metric)[0] not in ("rmse", "mae", "pinball", "r2")
    if is_binary:
        _, y, (a, b) = binary(random, n, (champion, challenger), more.get("rate", 0.0))
    else:
        _, y, (a, b) = regression(random, n, (champion, challenger))
    groups = np.array(["east", "north", "west"])[random.integers(0, 3, n)] if more.get("slices") else None
    if more.get("spoil"):
        b = np.round(b**4, 6)
    if more.get("spoil_slice"):
        b = np.where(groups == "west", np.round(1 - b, 6), b)
    clusters = None
    if "clusters" in more:
        # Rows of a cluster are nearly the same: fewer are worth as much as they seem.
        clusters = np.arange(n) % more["clusters"]
        first = clusters
        y, a, b = y[first], a[first], b[first]
    usual = {"rule": "superior", "min_delta": 0.0, "margin": 0.005, "floor": {}, "guardrails": {}, "slice_margin": 0.02}
    pair = {**usual, **more, "metric": metric, "task": "binary" if is_binary else "regression"}
    return {**pair, "y": y, "champion": a, "challenger": b, "slices": groups, "clusters": clusters}


def main() -> None:
    problems = []
    for seed in range(len(PAIRS)):
        pair = make(seed)
        try:
            checks, verdict = decide(pair, seed)
        except Border as border:
            problems.append(f"pair {seed}, {pair['metric']}: {border}")
            continue
        as_list = lambda values: None if values is None else [str(value) for value in values]
        answer = {"gate": gate_text(pair, seed), "task": pair["task"], "checks": checks, "verdict": verdict}
        data = {"labels": pair["y"].tolist(), "champion": pair["champion"].tolist(), "challenger": pair["challenger"].tolist()}
        print(json.dumps({**answer, **data, "groups": as_list(pair["slices"]), "clusters": as_list(pair["clusters"])}))
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
