"""How well LightGBM ranks the flights of September to December, trained on those before: its defaults, two threads.

usage: lightgbm_auc.py DATA_FOLDER
"""

import json
import sys
from pathlib import Path

import lightgbm
import numpy as np
from sklearn.metrics import roc_auc_score

import onnxruntime_predict

CATEGORIES = ["carrier", "origin", "dest", "weekday"]
NO_FEATURES = ["flight_id", "time", "late"]


def main() -> None:
    files = sorted(Path(sys.argv[1]).glob("2013-*.csv.gz"))
    rows = [row for file in files for row in onnxruntime_predict.read(file)]
    features = [name for name in rows[0] if name not in NO_FEATURES]
    matrix = np.empty((len(rows), len(features)), dtype=np.float32)
    for place, name in enumerate(features):
        texts = [row[name] for row in rows]
        if name in CATEGORIES:
            codes = {level: code for code, level in enumerate(sorted(set(texts)))}
            matrix[:, place] = [codes[text] for text in texts]
        else:
            matrix[:, place] = [float(text) if text else np.nan for text in texts]
    late = np.array([int(row["late"]) for row in rows])
    is_train = np.array([row["time"] < "2013-09-01" for row in rows])
    categorical = [features.index(name) for name in CATEGORIES]
    data = lightgbm.Dataset(matrix[is_train], late[is_train], categorical_feature=categorical)
    booster = lightgbm.train({"objective": "binary", "num_threads": 2, "verbosity": -1}, data, num_boost_round=100)
    auc = roc_auc_score(late[~is_train], booster.predict(matrix[~is_train]))
    counts = {"train_rows": int(is_train.sum()), "holdout_rows": int((~is_train).sum())}
    json.dump({"roc_auc": float(auc), **counts}, sys.stdout)


if __name__ == "__main__":
    main()
