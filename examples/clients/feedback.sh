#!/bin/sh
# A prediction under an id of the caller's, and later what really happened, with curl. The server remembers predictions where it
# was started with --feedback-rows.
#
#   examples/clients/feedback.sh [http://127.0.0.1:8080]
set -eu
url=${1:-http://127.0.0.1:8080}

curl -sSf "$url/v1/models/iris:predict" -H 'x-request-id: order-18' -d '{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
echo
curl -sSf "$url/v1/models/iris:feedback" -d '{"id": "order-18", "label": "0"}'
echo
