"""A prediction over gRPC, with `pip install tritonclient[grpc]`: one call, and a stream.

    python examples/clients/grpc_client.py [127.0.0.1:8081]
"""

import queue
import sys

import numpy as np
import tritonclient.grpc as triton

client = triton.InferenceServerClient(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8081")
rows = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]], dtype=np.float32)
name = client.get_model_metadata("iris").inputs[0].name
tensor = triton.InferInput(name, list(rows.shape), "FP32")
tensor.set_data_from_numpy(rows)
result = client.infer("iris", [tensor], client_timeout=5.0)
for output in result.get_response().outputs:
    print(output.name, result.as_numpy(output.name).tolist())

answers = queue.Queue()
client.start_stream(callback=lambda result, error: answers.put((result, error)))
for number in range(3):
    client.async_stream_infer("iris", [tensor], request_id=str(number))
for _ in range(3):
    result, error = answers.get(timeout=10)
    if error is not None:
        raise error
    print("answer to request", result.get_response().id)
client.stop_stream()
