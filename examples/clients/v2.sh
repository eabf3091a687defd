#!/bin/sh
# A prediction over the Open Inference Protocol with curl: with tensors as JSON, then with a row of four FP32 values as the
# body alone, which is answered in the binary form.
#
#   examples/clients/v2.sh [http://127.0.0.1:8080]
set -eu
url=${1:-http://127.0.0.1:8080}

curl -sSf "$url/v2/models/iris"
echo
curl -sSf "$url/v2/models/iris/infer" -d '{
  "id": "order-17",
  "inputs": [{"name": "X", "datatype": "FP32", "shape": [2, 4], "data": [5.1, 3.5, 1.4, 0.2, 6.7, 3.0, 5.2, 2.3]}]
}'
echo
# 5.0, 3.5, 1.5, 0.25 as little-endian floats.
printf '\000\000\240\100\000\000\140\100\000\000\300\077\000\000\200\076' |
  curl -sSf "$url/v2/models/iris/infer" -H 'inference-header-content-length: 0' --data-binary @- | tr -d '\000' | head -c 200
echo
curl -sSf "$url/v2/models/iris/stats"
echo
