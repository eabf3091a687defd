"""A server's gRPC port inside TLS that wants an API key, asked by tritonclient.

    python oip_secured.py ADDRESS CA_FILE KEY MODEL

Prints "ok" where probes are answered without a key, everything else with one, in either field.
"""

import sys

import tritonclient.grpc as tg
from tritonclient.utils import InferenceServerException

ADDRESS, CA_FILE, KEY, MODEL = sys.argv[1:]
client = tg.InferenceServerClient(ADDRESS, ssl=True, root_certificates=CA_FILE)
assert client.is_server_live() and client.is_server_ready()
for headers in ({}, {"x-api-key": "another"}, {"authorization": f"Basic {KEY}"}):
    try:
        client.get_model_metadata(MODEL, headers=headers)
        raise AssertionError(f"answered with {headers}")
    except InferenceServerException as error:
        assert error.status() == "StatusCode.UNAUTHENTICATED", error
for headers in ({"x-api-key": KEY}, {"authorization": f"Bearer {KEY}"}):
    assert client.get_model_metadata(MODEL, headers=headers).name == MODEL
print("ok")
