"""A prediction with MLflow's own client of its scoring server (pip install mlflow-skinny pandas scipy).

    python examples/clients/mlflow_client.py [127.0.0.1:8080]
"""

import sys

import pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

host, port = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8080").split(":")
client = ScoringServerClient(host, int(port))
columns = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
answer = client.invoke(pd.DataFrame([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]], columns=columns))
print(answer["model_version"], answer.get_predictions().to_dict(orient="records"))
