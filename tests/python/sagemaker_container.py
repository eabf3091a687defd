"""Asks a container as SageMaker does: its health, an invocation with its header fields, one over the limit.

    python tests/python/sagemaker_container.py HOST PORT
"""

import http.client
import sys

host, port = sys.argv[1], int(sys.argv[2])


def ask(method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(host, port, timeout=10)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read()


status, body = ask("GET", "/ping")
print(status, len(body))
headers = {
    "Content-Type": "text/csv",
    "Accept": "application/json",
    "X-Amzn-SageMaker-Custom-Attributes": "trace=1",
    "X-Amzn-SageMaker-Inference-Id": "17",
}
status, body = ask("POST", "/invocations", b"a,b,c,d\n5.1,3.5,1.4,0.2\n", headers)
assert body.startswith(b'{"predictions":['), body
print(status)
# Over SAGEMAKER_MAX_PAYLOAD_IN_MB: only declared, since the answer comes before the body.
connection = http.client.HTTPConnection(host, port, timeout=10)
connection.putrequest("POST", "/invocations")
connection.putheader("Content-Length", str(2 << 20))
connection.endheaders()
print(connection.getresponse().status)
