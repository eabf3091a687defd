"""Writes a data set of scikit-learn as data.csv with a pipeline.toml: what `gudgeon train` needs.

usage: sklearn_sets.py iris|diabetes|breast_cancer FOLDER
"""

import sys
from pathlib import Path

from sklearn import datasets

TASKS = {"iris": "multiclass", "diabetes": "regression", "breast_cancer": "binary"}


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    data = getattr(datasets, f"load_{name}")()
    names = [feature.replace(" ", "_").replace("(", "").replace(")", "") for feature in data.feature_names]
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "data.csv", "w") as file:
        file.write(",".join(["id", *names, "label"]) + "\n")
        for row, (values, label) in enumerate(zip(data.data, data.target)):
            label = float(label) if name == "diabetes" else data.target_names[label]
            file.write(",".join([str(row), *(f"{value:.7g}" for value in values), str(label)]) + "\n")
    quoted = ", ".join(f'"{feature}"' for feature in names)
    (folder / "pipeline.toml").write_text(
        f'task = "{TASKS[name]}"\n[data]\nfiles = ["data.csv"]\nlabel = "label"\nid = "id"\n'
        f'[[feature]]\nname = [{quoted}]\nkind = "numeric"\n'
        '[split]\nby = "hash"\nholdout = 0.3\nvalidation = 0.0\n[gbdt]\nn_trees_max = 40\nmin_rows_leaf = 5\n'
    )


if __name__ == "__main__":
    main()
