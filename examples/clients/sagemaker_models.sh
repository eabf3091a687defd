#!/bin/sh
# What SageMaker asks a multi-model container, with curl: load a model, list what is loaded, a prediction, unload it. The server was
# started with SAGEMAKER_MULTI_MODEL=true, and FOLDER/iris/model/1/model.onnx is there.
#
#   examples/clients/sagemaker_models.sh [http://127.0.0.1:8080 [/opt/ml/models]]
set -eu
url=${1:-http://127.0.0.1:8080}
folder=${2:-/opt/ml/models}

curl -sSf "$url/models" -H 'content-type: application/json' \
  -d "{\"model_name\": \"iris\", \"url\": \"$folder/iris/model\"}"
echo
curl -sSf "$url/models"
echo
printf 'a,b,c,d\n5.1,3.5,1.4,0.2\n' \
  | curl -sSf "$url/models/iris/invoke" -H 'content-type: text/csv' -H 'x-amzn-sagemaker-target-model: iris.tar.gz' --data-binary @-
echo
curl -sSf -X DELETE "$url/models/iris"
echo
