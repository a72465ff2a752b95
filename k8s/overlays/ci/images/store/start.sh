#!/bin/sh
# Its listeners beside S3 have no Service, and the policies keep other pods away. The only identity is that of the variables.
set -eu
umask 077
printf '{"identities": [{"name": "multimood", "credentials": [{"accessKey": "%s", "secretKey": "%s"}], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}' \
  "$MULTIMOOD_S3_ACCESS_KEY" "$MULTIMOOD_S3_SECRET_KEY" > /tmp/identities.json
cd /tmp
exec weed -logtostderr mini -dir=/data -ip=127.0.0.1 -ip.bind=0.0.0.0 -s3.config=/tmp/identities.json -s3.port=8333 \
  -bucket=multimood-media,multimood-experience,multimood-keys \
  -s3.port.iceberg=0 -s3.port.lance=0 -webdav=false -admin.ui=false -master.telemetry=false -s3.localSocket=/tmp/s3.sock
