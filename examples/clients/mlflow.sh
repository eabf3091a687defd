#!/bin/sh
# Predictions in MLflow's forms with curl: a data frame as JSON, and a CSV.
#
#   examples/clients/mlflow.sh [http://127.0.0.1:8080]
set -eu
url=${1:-http://127.0.0.1:8080}

curl -sSf "$url/invocations" -H 'content-type: application/json' -d '{"dataframe_split": {
  "columns": ["sepal_length", "sepal_width", "petal_length", "petal_width"],
  "data": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]}}'
echo
printf 'sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n' \
  | curl -sSf "$url/invocations" -H 'content-type: text/csv' --data-binary @-
echo
