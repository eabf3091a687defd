"""Every call of tritonclient, over HTTP and gRPC, against a server that serves `flights` and `iris`.

    python oip_conformance.py HTTP GRPC OPS TOKEN

HTTP, GRPC and OPS are host:port. Prints one line a call and fails on the first that does not do what the client promises.
"""

import json
import sys
import time
import urllib.request

import grpc
import numpy as np
import tritonclient.grpc as tg
import tritonclient.http as th
from tritonclient.utils import InferenceServerException

HTTP, GRPC, OPS, TOKEN = sys.argv[1:5]
ADMIN = {"authorization": f"Bearer {TOKEN}", "x-gudgeon-actor": "conformance"}
ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], [5.9, 3.0, 4.2, 1.5]], dtype=np.float32)
MODEL, TEXT = "iris", "flights"
done = []


def call(name):
    done.append(name)
    print("ok", name)


def refused(function, *args, status=None, part="", **kwargs):
    try:
        function(*args, **kwargs)
    except InferenceServerException as error:
        assert status is None or status in (error.status() or ""), (error.status(), error)
        assert part in error.message(), error
        return
    raise AssertionError("it was not refused")


def flights_tensors(metadata):
    """Two flights, by the metadata's inputs: strings and numbers."""
    text = {"carrier": ["UA", "B6"], "origin": ["EWR", "JFK"], "dest": ["IAH", "Zürich"], "weekday": ["Tue", "Sat"]}
    tensors = []
    for spec in metadata["inputs"]:
        width = spec["shape"][1] if len(spec["shape"]) > 1 else 1
        if spec["datatype"] == "BYTES":
            values = np.array([[text[spec["name"]][row].encode()] for row in range(2)], dtype=np.object_)
        else:
            dtype = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64}[spec["datatype"]]
            values = np.array([[7 + row + column for column in range(width)] for row in range(2)], dtype=dtype)
        tensors.append((spec["name"], spec["datatype"], values))
    return tensors


def http_calls():
    client = th.InferenceServerClient(HTTP)
    assert client.is_server_live()
    call("http is_server_live")
    assert client.is_server_ready()
    call("http is_server_ready")
    assert client.is_model_ready(MODEL) and client.is_model_ready(MODEL, "1")
    assert not client.is_model_ready("none") and not client.is_model_ready(MODEL, "9")
    call("http is_model_ready")
    server = client.get_server_metadata()
    assert server["name"] == "gudgeon" and "binary_tensor_data" in server["extensions"], server
    call("http get_server_metadata")
    metadata = client.get_model_metadata(MODEL)
    assert metadata == client.get_model_metadata(MODEL, "1") and metadata["versions"] == ["1"], metadata
    call("http get_model_metadata")
    config = client.get_model_config(MODEL)
    assert config == client.get_model_config(MODEL, "1"), config
    assert config["name"] == MODEL and config["max_batch_size"] > 0, config
    assert config["input"][0]["data_type"] == "TYPE_FP32" and config["input"][0]["dims"] == [4], config
    call("http get_model_config")
    index = client.get_model_repository_index()
    assert {"name": MODEL, "version": "1", "state": "READY", "reason": ""} in index, index
    call("http get_model_repository_index")

    name = metadata["inputs"][0]["name"]
    names = [output["name"] for output in metadata["outputs"]]
    expected = None
    for binary_in in (True, False):
        for binary_out in (True, False):
            tensor = th.InferInput(name, list(ROWS.shape), "FP32")
            tensor.set_data_from_numpy(ROWS, binary_data=binary_in)
            outputs = [th.InferRequestedOutput(name, binary_data=binary_out) for name in names]
            result = client.infer(MODEL, [tensor], outputs=outputs, request_id="order-17")
            response = result.get_response()
            assert response["id"] == "order-17" and response["model_version"] == "1", response
            arrays = [result.as_numpy(name) for name in names]
            expected = expected or arrays
            assert all(same(a, b) for a, b in zip(arrays, expected)), (binary_in, binary_out)
            call(f"http infer binary_in={binary_in} binary_out={binary_out}")
    tensor = th.InferInput(name, list(ROWS.shape), "FP32")
    tensor.set_data_from_numpy(ROWS)
    assert all(same(client.infer(MODEL, [tensor]).as_numpy(n), e) for n, e in zip(names, expected))
    call("http infer without outputs")
    assert all(same(client.infer(MODEL, [tensor], model_version="1").as_numpy(n), e) for n, e in zip(names, expected))
    call("http infer by version")
    for algorithm in ("gzip", "deflate"):
        result = client.infer(MODEL, [tensor], request_compression_algorithm=algorithm)
        assert same(result.as_numpy(names[0]), expected[0])
        wide = np.repeat(ROWS, 500, axis=0)
        large = th.InferInput(name, list(wide.shape), "FP32")
        large.set_data_from_numpy(wide, binary_data=algorithm == "gzip")
        result = client.infer(MODEL, [large], request_compression_algorithm=algorithm,
                              response_compression_algorithm=algorithm)
        assert len(result.as_numpy(names[0])) == 1500
        call(f"http infer {algorithm}")
    one = client.infer(MODEL, [tensor], outputs=[th.InferRequestedOutput(names[-1])])
    assert [output["name"] for output in one.get_response()["outputs"]] == [names[-1]]
    call("http infer one output")
    waiting = client.async_infer(MODEL, [tensor])
    assert same(waiting.get_result().as_numpy(names[0]), expected[0])
    call("http async_infer")
    timed = client.infer(MODEL, [tensor], timeout=5_000_000, priority=1)
    assert same(timed.as_numpy(names[0]), expected[0])
    call("http infer with timeout and priority")
    raw = raw_request(client, ROWS[:1].tobytes())
    assert same(raw.as_numpy(names[0]), expected[0][:1])
    call("http infer raw")

    text = flights_tensors(client.get_model_metadata(TEXT))
    answers = []
    for binary in (True, False):
        inputs = []
        for tensor_name, datatype, values in text:
            text_tensor = th.InferInput(tensor_name, list(values.shape), datatype)
            # JSON has no bytes: strings go as text.
            if datatype == "BYTES" and not binary:
                values = np.array([[value.decode() for value in row] for row in values], dtype=np.object_)
            text_tensor.set_data_from_numpy(values, binary_data=binary)
            inputs.append(text_tensor)
        result = client.infer(TEXT, inputs)
        answers.append([result.as_numpy(output["name"]) for output in result.get_response()["outputs"]])
    assert all(same(a, b) for a, b in zip(*answers))
    call("http infer strings")

    refused(client.infer, "none", [tensor_of(name)], status="404")
    refused(client.infer, MODEL, [tensor_of("other")], status="400", part="inputs[0]")
    bad = th.InferInput(name, [3, 5], "FP32")
    bad.set_data_from_numpy(np.zeros((3, 5), np.float32))
    refused(client.infer, MODEL, [bad], status="400", part="shape")
    refused(client.infer, MODEL, [tensor_of(name)], model_version="9", status="404")
    refused(client.infer, MODEL, [tensor_of(name)], timeout=1, status="504")
    call("http refusals")

    stats = client.get_inference_statistics(MODEL)["model_stats"]
    assert [stat["version"] for stat in stats] == ["1"] and stats[0]["inference_stats"]["success"]["count"] > 10, stats
    assert stats[0]["inference_stats"]["fail"]["count"] >= 2 and stats[0]["execution_count"] > 0, stats
    assert stats[0]["last_inference"] > 1_600_000_000_000, stats
    assert stats == client.get_inference_statistics(MODEL, "1")["model_stats"]
    assert len(client.get_inference_statistics()["model_stats"]) > 1
    call("http get_inference_statistics")

    for function in (client.get_trace_settings, client.get_log_settings, client.get_system_shared_memory_status,
                     client.get_cuda_shared_memory_status, client.unregister_system_shared_memory,
                     client.unregister_cuda_shared_memory):
        refused(function, part="this server has no")
    refused(client.update_log_settings, {"log_info": True}, part="this server has no")
    refused(client.update_trace_settings, settings={"trace_level": "OFF"}, part="this server has no")
    refused(client.register_system_shared_memory, "r", "/k", 8, part="this server has no")
    call("http what is not there is said clearly")

    operator = th.InferenceServerClient(OPS)
    refused(operator.load_model, MODEL, status="401")
    refused(client.load_model, MODEL, headers=ADMIN, status="404")
    operator.unload_model(MODEL, headers=ADMIN)
    assert not client.is_model_ready(MODEL) and client.is_server_ready()
    index = {entry["name"]: entry for entry in client.get_model_repository_index()}
    assert index[MODEL]["state"] == "UNAVAILABLE" and index[MODEL]["reason"] == "unloaded", index
    refused(client.infer, MODEL, [tensor_of(name)], status="503")
    call("http unload_model")
    operator.load_model(MODEL, headers=ADMIN)
    assert client.is_model_ready(MODEL)
    assert same(client.infer(MODEL, [tensor]).as_numpy(names[0]), expected[0])
    refused(operator.load_model, MODEL, headers=ADMIN, config="{}", status="400")
    refused(operator.load_model, "none", headers=ADMIN, status="404")
    call("http load_model")
    return names, expected


def tensor_of(name):
    tensor = th.InferInput(name, list(ROWS.shape), "FP32")
    tensor.set_data_from_numpy(ROWS)
    return tensor


def raw_request(client, body):
    request = urllib.request.Request(f"http://{HTTP}/v2/models/{MODEL}/infer", data=body, method="POST",
                                     headers={"Inference-Header-Content-Length": "0",
                                              "Content-Type": "application/octet-stream"})
    with urllib.request.urlopen(request) as response:
        length = int(response.headers["Inference-Header-Content-Length"])
        return client.parse_response_body(response.read(), header_length=length)


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and (a.tobytes() == b.tobytes() if a.dtype != np.object_
                                                           else bool((a == b).all()))


def grpc_calls(names, expected):
    client = tg.InferenceServerClient(GRPC)
    assert client.is_server_live() and client.is_server_ready()
    call("grpc is_server_live")
    call("grpc is_server_ready")
    assert client.is_model_ready(MODEL) and client.is_model_ready(MODEL, "1") and not client.is_model_ready(MODEL, "9")
    call("grpc is_model_ready")
    assert client.get_server_metadata(as_json=True)["name"] == "gudgeon"
    call("grpc get_server_metadata")
    metadata = client.get_model_metadata(MODEL, as_json=True)
    assert metadata["versions"] == ["1"] and metadata["inputs"][0]["shape"] == ["-1", "4"], metadata
    name = metadata["inputs"][0]["name"]
    call("grpc get_model_metadata")
    config = client.get_model_config(MODEL).config
    assert config.name == MODEL and config.input[0].dims[:] == [4] and config.max_batch_size > 0, config
    assert config.HasField("dynamic_batching") and config.backend == "gudgeon", config
    call("grpc get_model_config")
    index = client.get_model_repository_index(as_json=True)["models"]
    assert {"name": MODEL, "version": "1", "state": "READY"} in index, index
    call("grpc get_model_repository_index")

    tensor = tg.InferInput(name, list(ROWS.shape), "FP32")
    tensor.set_data_from_numpy(ROWS)
    result = client.infer(MODEL, [tensor], request_id="order-18")
    assert result.get_response().id == "order-18" and result.get_response().model_version == "1"
    assert all(same(result.as_numpy(n), e) for n, e in zip(names, expected))
    call("grpc infer")
    result = client.infer(MODEL, [tensor], model_version="1", outputs=[tg.InferRequestedOutput(names[-1])])
    assert [output.name for output in result.get_response().outputs] == [names[-1]]
    call("grpc infer one output by version")
    for algorithm in ("gzip", "deflate"):
        assert same(client.infer(MODEL, [tensor], compression_algorithm=algorithm).as_numpy(names[0]), expected[0])
        call(f"grpc infer {algorithm}")
    got = []
    waiting = client.async_infer(MODEL, [tensor], callback=lambda result, error: got.append((result, error)))
    waiting_for(lambda: got)
    assert got[0][1] is None and same(got[0][0].as_numpy(names[0]), expected[0])
    call("grpc async_infer")
    timed = client.infer(MODEL, [tensor], client_timeout=5.0, timeout=5_000_000, priority=1)
    assert same(timed.as_numpy(names[0]), expected[0])
    call("grpc infer with timeouts")

    got = []
    client.start_stream(callback=lambda result, error: got.append((result, error)))
    for number in range(5):
        client.async_stream_infer(MODEL, [tensor], request_id=str(number))
    client.async_stream_infer("none", [tensor], request_id="wrong")
    client.async_stream_infer(MODEL, [tensor], request_id="last", enable_empty_final_response=True)
    waiting_for(lambda: len(got) == 7)
    client.stop_stream()
    assert [result.get_response().id for result, error in got[:5]] == list("01234")
    assert all(error is None and same(result.as_numpy(names[0]), expected[0]) for result, error in got[:5])
    assert got[5][1] is not None and "none" in got[5][1].message(), got[5]
    assert got[6][0].get_response().parameters["triton_final_response"].bool_param
    call("grpc stream")

    text = flights_tensors(client.get_model_metadata(TEXT, as_json=True) | {"inputs": [
        dict(spec, shape=[int(size) for size in spec["shape"]])
        for spec in client.get_model_metadata(TEXT, as_json=True)["inputs"]]})
    inputs = []
    for tensor_name, datatype, values in text:
        text_tensor = tg.InferInput(tensor_name, list(values.shape), datatype)
        text_tensor.set_data_from_numpy(values)
        inputs.append(text_tensor)
    assert client.infer(TEXT, inputs).get_response().outputs
    call("grpc infer strings")

    refused(client.infer, "none", [tensor], status="NOT_FOUND")
    refused(client.infer, MODEL, [tensor], model_version="9", status="NOT_FOUND")
    bad = tg.InferInput(name, [3, 5], "FP32")
    bad.set_data_from_numpy(np.zeros((3, 5), np.float32))
    refused(client.infer, MODEL, [bad], status="INVALID_ARGUMENT", part="shape")
    refused(client.infer, MODEL, [tensor], timeout=1, status="DEADLINE_EXCEEDED")
    call("grpc refusals")

    stats = client.get_inference_statistics(MODEL).model_stats
    assert len(stats) == 1 and stats[0].inference_stats.success.count > 5 and stats[0].batch_stats, stats
    assert len(client.get_inference_statistics().model_stats) > 1
    call("grpc get_inference_statistics")

    for function in (client.get_trace_settings, client.get_log_settings, client.get_system_shared_memory_status,
                     client.get_cuda_shared_memory_status, client.unregister_system_shared_memory,
                     client.unregister_cuda_shared_memory):
        refused(function, status="UNIMPLEMENTED", part="this server has no")
    refused(client.update_log_settings, {"log_info": True}, status="UNIMPLEMENTED")
    refused(client.update_trace_settings, settings={"trace_level": "OFF"}, status="UNIMPLEMENTED")
    refused(client.register_system_shared_memory, "r", "/k", 8, status="UNIMPLEMENTED")
    refused(client.register_cuda_shared_memory, "r", b"aGFuZGxl", 0, 8, status="UNIMPLEMENTED")
    call("grpc what is not there is said clearly")

    refused(client.unload_model, MODEL, status="UNAUTHENTICATED")
    refused(client.unload_model, MODEL, headers={"authorization": "Bearer wrong"}, status="UNAUTHENTICATED")
    client.unload_model(MODEL, headers=ADMIN)
    assert not client.is_model_ready(MODEL) and client.is_server_ready()
    refused(client.infer, MODEL, [tensor], status="UNAVAILABLE")
    call("grpc unload_model")
    client.load_model(MODEL, headers=ADMIN)
    assert client.is_model_ready(MODEL) and same(client.infer(MODEL, [tensor]).as_numpy(names[0]), expected[0])
    refused(client.load_model, MODEL, headers=ADMIN, config="{}", status="INVALID_ARGUMENT")
    refused(client.load_model, "none", headers=ADMIN, status="NOT_FOUND")
    call("grpc load_model")


def waiting_for(condition):
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come")


def typed_contents(names, expected):
    """Typed contents, as clients write them that were made from the protocol's own file."""
    from tritonclient.grpc import service_pb2, service_pb2_grpc

    channel = grpc.insecure_channel(GRPC)
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    client = tg.InferenceServerClient(GRPC)
    name = client.get_model_metadata(MODEL).inputs[0].name
    request = service_pb2.ModelInferRequest(model_name=MODEL)
    tensor = request.inputs.add(name=name, datatype="FP32", shape=ROWS.shape)
    tensor.contents.fp32_contents.extend(ROWS.flatten().tolist())
    response = stub.ModelInfer(request)
    assert not response.raw_output_contents
    result = tg.InferResult(response)
    for output, wanted in zip(response.outputs, expected):
        field = {"FP32": "fp32_contents", "INT64": "int64_contents", "BYTES": "bytes_contents"}[output.datatype]
        got = np.array(getattr(output.contents, field)[:], dtype=wanted.dtype).reshape(output.shape[:])
        assert same(got, wanted), (output.name, got, wanted)
    assert result.get_output(names[0]) is not None
    call("grpc typed contents")
    # The same rows in the v1 form.
    features = json.load(urllib.request.urlopen(f"http://{HTTP}/v1/models/{MODEL}/metadata"))
    body = json.dumps({"instances": ROWS.tolist()}).encode()
    v1 = json.load(urllib.request.urlopen(urllib.request.Request(f"http://{HTTP}/v1/models/{MODEL}:predict", data=body)))
    assert features and len(v1["predictions"]) == 3
    probabilities = next((e for e in expected if e.dtype == np.float32 and e.ndim == 2), None)
    if probabilities is not None:
        for row, prediction in zip(probabilities, v1["predictions"]):
            got = np.array(list(prediction["probabilities"].values()), np.float32)
            assert got.tobytes() == row.tobytes(), (got, row)
    call("v1, v2 and gRPC answers are the same bit for bit")
    request.raw_input_contents.append(ROWS.tobytes())
    code_of(stub.ModelInfer, request, grpc.StatusCode.INVALID_ARGUMENT)
    request = service_pb2.ModelInferRequest(model_name=MODEL)
    request.inputs.add(name=name, datatype="FP32", shape=[1, 4])
    request.raw_input_contents.append(b"\0" * 15)
    code_of(stub.ModelInfer, request, grpc.StatusCode.INVALID_ARGUMENT)
    request.raw_input_contents[0] = b"\0" * 16
    request.inputs[0].shape[0] = -1
    code_of(stub.ModelInfer, request, grpc.StatusCode.INVALID_ARGUMENT)
    request.inputs[0].datatype = "FP16"
    code_of(stub.ModelInfer, request, grpc.StatusCode.INVALID_ARGUMENT)
    call("grpc broken tensors are refused")


def code_of(function, request, code):
    try:
        function(request)
    except grpc.RpcError as error:
        assert error.code() == code, error
        return
    raise AssertionError("it was not refused")


def health_and_reflection():
    """grpc.health.v1 and reflection, with messages written by hand: neither client brings them along."""
    channel = grpc.insecure_channel(GRPC)
    check = channel.unary_unary("/grpc.health.v1.Health/Check")

    def asked(name):
        encoded = name.encode()
        return check(b"\x0a" + bytes([len(encoded)]) + encoded if name else b"")

    assert asked("") == asked("inference.GRPCInferenceService") == asked(MODEL) == b"\x08\x01"
    code_of(asked, "none", grpc.StatusCode.NOT_FOUND)
    watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
    assert next(iter(watch)) == b"\x08\x01"
    watch.cancel()
    call("grpc.health.v1")
    for version in ("v1", "v1alpha"):
        reflection = channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
        answer = next(iter(reflection(iter([b"\x3a\x00"]))))
        assert b"inference.GRPCInferenceService" in answer and b"grpc.health.v1.Health" in answer, answer
        call(f"grpc.reflection.{version}")


NAMES, EXPECTED = http_calls()
grpc_calls(NAMES, EXPECTED)
typed_contents(NAMES, EXPECTED)
health_and_reflection()
print(f"{len(done)} calls passed")
