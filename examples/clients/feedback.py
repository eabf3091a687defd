"""A prediction, and later what really happened, with Python's own library. The server remembers predictions where it was
started with --feedback-rows.

    python examples/clients/feedback.py [http://127.0.0.1:8080]
"""

import json
import sys
import urllib.request

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
rows = {"instances": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]}
with urllib.request.urlopen(f"{url}/v1/models/iris:predict", data=json.dumps(rows).encode()) as response:
    request_id = response.headers["x-request-id"]
    print(json.load(response)["predictions"])

happened = [{"id": request_id, "row": 0, "label": "0"}, {"id": request_id, "row": 1, "label": "1"}]
with urllib.request.urlopen(f"{url}/v1/models/iris:feedback", data=json.dumps(happened).encode()) as response:
    print(json.load(response))
