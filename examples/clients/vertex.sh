#!/bin/sh
# What Vertex AI and SageMaker ask a container, with curl: its health, and a prediction by the default model.
#
#   examples/clients/vertex.sh [http://127.0.0.1:8080 [/predict [/health]]]
#
# /predict and /health are what AIP_PREDICT_ROUTE and AIP_HEALTH_ROUTE say; SageMaker's are /invocations and /ping.
set -eu
url=${1:-http://127.0.0.1:8080}
predict=${2:-/invocations}
health=${3:-/ping}

curl -sSf -o /dev/null -w '%{http_code}\n' "$url$health"
curl -sSf "$url$predict" -H 'content-type: application/json' \
  -d '{"instances": [[5.1, 3.5, 1.4, 0.2]], "parameters": {}}'
echo
