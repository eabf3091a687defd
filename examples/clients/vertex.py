"""What Vertex AI and SageMaker ask a container, with Python's own library: its health, and a prediction by the default model.

    python examples/clients/vertex.py [http://127.0.0.1:8080 [/predict [/health]]]

/predict and /health are what AIP_PREDICT_ROUTE and AIP_HEALTH_ROUTE say; SageMaker's are /invocations and /ping.
"""

import json
import sys
import urllib.request

url, predict, health = (sys.argv[1:] + ["http://127.0.0.1:8080", "/invocations", "/ping"][len(sys.argv) - 1 :])[:3]
with urllib.request.urlopen(url + health) as response:
    print(response.status)
rows = {"instances": [[5.1, 3.5, 1.4, 0.2]], "parameters": {}}
request = urllib.request.Request(url + predict, json.dumps(rows).encode(), {"content-type": "application/json"})
with urllib.request.urlopen(request) as response:
    print(json.load(response)["predictions"])
