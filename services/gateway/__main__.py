import argparse
import asyncio
import logging
import sys

from pydantic import ValidationError

from multimood import telemetry
from multimood.errors import MultimoodError
from multimood.settings import (
    HealthSettings,
    KafkaSettings,
    PrivacySettings,
    PseudonymSettings,
    StoreSettings,
    TelemetrySettings,
    describe,
    faults_of,
)
from services.gateway.server import GatewayServer
from services.gateway.settings import GatewaySettings

logger = logging.getLogger("services.gateway")

READS = (
    GatewaySettings, KafkaSettings, StoreSettings, PrivacySettings, PseudonymSettings, HealthSettings,
    TelemetrySettings,
)  # fmt: skip


async def _serve() -> int:
    return await GatewayServer(GatewaySettings(), KafkaSettings(), StoreSettings(), HealthSettings()).run()


def main() -> int:
    """Run the gateway. Exit codes: 0 after SIGTERM, 2 when the configuration cannot work."""
    argparse.ArgumentParser(
        prog="python -m services.gateway",
        description="The gRPC door for platforms: takes utterances, streams replies back.",
        epilog="environment:\n" + describe(READS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    try:
        telemetry.setup("gateway", TelemetrySettings())
        return asyncio.run(_serve())
    except MultimoodError as error:
        logger.critical("cannot start", extra={"code": error.code, "reason": str(error)})
    except ValidationError as error:
        logger.critical("a setting cannot work", extra={"settings": error.title, "faults": faults_of(error)})
    return 2


if __name__ == "__main__":
    sys.exit(main())
