"""What gRPC calls meet at the limits and at the end of a server that serves `iris`.

    python oip_limits.py GRPC MESSAGE_BYTES_MAX

Refuses a message over the limit, then keeps a stream open; prints "open", and the status with which the stream ended.
"""

import queue
import sys

import grpc
import numpy as np
import tritonclient.grpc as tg
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

GRPC, BYTES_MAX = sys.argv[1], int(sys.argv[2])
client = tg.InferenceServerClient(GRPC)
name = client.get_model_metadata("iris").inputs[0].name


def tensor(n_rows):
    tensor = tg.InferInput(name, [n_rows, 4], "FP32")
    tensor.set_data_from_numpy(np.ones((n_rows, 4), np.float32))
    return tensor


assert client.infer("iris", [tensor(1000)]).get_response().outputs
for algorithm in (None, "gzip"):
    try:
        client.infer("iris", [tensor(BYTES_MAX // 16 + 1)], compression_algorithm=algorithm)
        raise AssertionError("a message over the limit was taken")
    except InferenceServerException as error:
        assert error.status() == "StatusCode.RESOURCE_EXHAUSTED", error
channel = grpc.insecure_channel(GRPC)
requests = queue.Queue()
stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
answers = stub.ModelStreamInfer(iter(requests.get, None))
request = service_pb2.ModelInferRequest(model_name="iris", id="first")
request.inputs.add(name=name, datatype="FP32", shape=[1, 4]).contents.fp32_contents.extend([1, 2, 3, 4])
requests.put(request)
assert next(answers).infer_response.id == "first"
print("open", flush=True)
try:
    next(answers)
    raise AssertionError("an answer to nothing")
except grpc.RpcError as error:
    print(error.code().name, flush=True)
requests.put(None)
