"""Every call of kserve's clients, REST and gRPC, against a server that serves `iris`.

    python oip_kserve.py HTTP GRPC

HTTP and GRPC are host:port. A program of its own: kserve's messages and tritonclient's have the same names, and one process
cannot have both. Prints one line a call and fails on the first that does not do what the client promises.
"""

import asyncio
import json
import sys
import urllib.request

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

HTTP, GRPC = sys.argv[1:3]
MODEL = "iris"
ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], [5.9, 3.0, 4.2, 1.5]], dtype=np.float32)


def call(name):
    print("ok", name)


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


async def kserve_calls():
    rest = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    base = f"http://{HTTP}"
    assert await rest.is_server_live(base) is True
    call("kserve REST is_server_live")
    assert await rest.is_server_ready(base) is True
    call("kserve REST is_server_ready")
    assert await rest.is_model_ready(base, MODEL) is True
    call("kserve REST is_model_ready")
    name = json.load(urllib.request.urlopen(f"{base}/v2/models/{MODEL}"))["inputs"][0]["name"]
    body = {"inputs": [{"name": name, "datatype": "FP32", "shape": [3, 4], "data": ROWS.tolist()}]}
    answer = await rest.infer(base, body, model_name=MODEL)
    expected = answer.outputs[0].as_numpy()
    assert len(expected) == 3
    call("kserve REST infer of a dict")
    for binary in (True, False):
        tensor = InferInput(name, list(ROWS.shape), "FP32")
        tensor.set_data_from_numpy(ROWS, binary_data=binary)
        request = InferRequest(MODEL, [tensor], request_id="order-19", parameters={"binary_data_output": binary})
        response = await rest.infer(base, request, model_name=MODEL)
        assert response.id == "order-19" and same(response.outputs[0].as_numpy(), expected), response
        call(f"kserve REST infer binary={binary}")
    v1 = InferenceRESTClient(RESTConfig(protocol="v1", retries=0))
    assert await v1.is_server_live(base) is True
    assert await v1.is_model_ready(base, MODEL) is True
    answer = await v1.infer(base, {"instances": ROWS.tolist()}, model_name=MODEL)
    assert len(answer["predictions"]) == 3
    await v1.close()
    await rest.close()
    call("kserve REST v1")

    client = InferenceGRPCClient(GRPC, retries=0)
    assert await client.is_server_live() and await client.is_server_ready()
    call("kserve gRPC is_server_live")
    call("kserve gRPC is_server_ready")
    assert await client.is_model_ready(MODEL)
    call("kserve gRPC is_model_ready")
    for binary in (True, False):
        tensor = InferInput(name, list(ROWS.shape), "FP32")
        tensor.set_data_from_numpy(ROWS, binary_data=binary)
        response = await client.infer(InferRequest(MODEL, [tensor], request_id="order-20"))
        assert response.id == "order-20" and same(response.outputs[0].as_numpy(), expected), response
        call(f"kserve gRPC infer raw={binary}")
    await client.close()


asyncio.run(kserve_calls())
