"""A prediction in the v1 form, with Python's own library.

    python examples/clients/v1.py [http://127.0.0.1:8080]
"""

import json
import sys
import urllib.request

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
rows = {"instances": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]}
with urllib.request.urlopen(f"{url}/v1/models/iris:predict", data=json.dumps(rows).encode()) as response:
    answer = json.load(response)
print(answer["model_version"], answer["predictions"])
