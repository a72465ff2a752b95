#!/bin/sh
# A new volume is formatted, then the broker takes the place of this shell and gets SIGTERM itself.
set -eu
export CLASSPATH='/opt/kafka/libs/*'
config=/opt/kafka/server.properties
[ -e /data/kafka/meta.properties ] ||
  java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC kafka.tools.StorageTool format --cluster-id "$(tr -d - < /proc/sys/kernel/random/uuid | cut -c 1-22)" --config "$config"
exec java -Xms128m -Xmx512m -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError -Djava.awt.headless=true \
  -Dlog4j2.configurationFile=/opt/kafka/log4j2.properties kafka.Kafka "$config"
