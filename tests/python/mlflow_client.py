"""Asks a server as MLflow's own client of its scoring server does.

    python tests/python/mlflow_client.py HOST PORT
"""

import json
import sys

import numpy as np
import pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

host, port = sys.argv[1], int(sys.argv[2])
client = ScoringServerClient(host, port)


def ok(what):
    print("ok", what)


client.ping()
client.wait_server_ready(timeout=5)
ok("ping")
assert client.get_version().count(".") == 2, client.get_version()
ok("version")

rows = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]])
expected = client.invoke(json.dumps({"instances": rows.tolist()}))
assert len(expected["predictions"]) == 2, expected


def same(what, data, params=None):
    answer = client.invoke(data, params)
    assert answer == expected, (what, answer)
    frame = answer.get_predictions()
    assert len(frame) == 2, frame
    ok(what)


same("an array", rows)
same("a frame without names", pd.DataFrame(rows))
names = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
same("a frame with names", pd.DataFrame(rows, columns=names))
same("parameters", pd.DataFrame(rows, columns=names), {"threshold": 0.5})
same("a string", json.dumps({"inputs": rows.tolist()}))

try:
    client.invoke(pd.DataFrame(rows[:, :3]))
except Exception as error:
    assert "error code 400" in str(error) and "BAD_REQUEST" in str(error), error
    ok("an error")
else:
    raise AssertionError("three of four columns were taken")
