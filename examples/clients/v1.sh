#!/bin/sh
# A prediction in the v1 form with curl.
#
#   examples/clients/v1.sh [http://127.0.0.1:8080]
set -eu
url=${1:-http://127.0.0.1:8080}

curl -sSf "$url/v1/models/iris:predict" -d '{"instances": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]}'
echo
