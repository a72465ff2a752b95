#!/bin/sh
# A new volume is formatted, then the broker takes the place of this shell and gets SIGTERM itself.
set -eu
export CLASSPATH='/opt/kafka/libs/*'
config=/tmp/server.properties
# Clients of other namespaces (KEDA) need more than the Service's short name.
cp /opt/kafka/server.properties "$config"
echo "advertised.listeners=PLAINTEXT://${ADVERTISED_HOST:-kafka}:9092" >> "$config"
[ -e /data/kafka/meta.properties ] ||
  java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC kafka.tools.StorageTool format --cluster-id "$(tr -d - < /proc/sys/kernel/random/uuid | cut -c 1-22)" --config "$config"
exec java -Xms128m -Xmx512m -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError -Djava.awt.headless=true \
  -Dlog4j2.configurationFile=/opt/kafka/log4j2.properties kafka.Kafka "$config"
