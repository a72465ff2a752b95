"""Which brokers a command talks to."""

import os
from pathlib import Path

from pydantic import ValidationError

from multimood.errors import ConfigurationError
from multimood.local.endpoints import Endpoints
from multimood.settings import KafkaSettings, faults_of


def kafka_of(data: Path | None = None) -> KafkaSettings:
    """Those of MULTIMOOD_KAFKA_BROKERS, else those of the local system in the data folder; without one, the default.

    Raises ConfigurationError for settings that cannot work, UnavailableError when no local system runs.
    """
    if data is not None and "MULTIMOOD_KAFKA_BROKERS" not in os.environ:
        return Endpoints.of(data).kafka
    try:
        return KafkaSettings()
    except ValidationError as error:
        raise ConfigurationError("; ".join(f"{name}: {fault}" for name, fault in faults_of(error).items())) from None
