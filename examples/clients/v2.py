"""A prediction over the Open Inference Protocol, with `pip install tritonclient[http]`: tensors go in the binary form.

    python examples/clients/v2.py [127.0.0.1:8080]
"""

import sys

import numpy as np
import tritonclient.http as triton

client = triton.InferenceServerClient(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8080")
rows = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]], dtype=np.float32)
name = client.get_model_metadata("iris")["inputs"][0]["name"]
tensor = triton.InferInput(name, list(rows.shape), "FP32")
tensor.set_data_from_numpy(rows)
result = client.infer("iris", [tensor])
for output in result.get_response()["outputs"]:
    print(output["name"], result.as_numpy(output["name"]).tolist())
