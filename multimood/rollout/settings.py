from pydantic_settings import BaseSettings, SettingsConfigDict


class RolloutSettings(BaseSettings):
    """Where `multimood rl promote` puts a policy into service; its options say otherwise."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_ROLLOUT_", use_attribute_docstrings=True)

    repository: str = ""
    """Triton's model repository, as Triton reads it: a folder, s3://bucket/path, or s3://https://host:port/bucket/path.
    With Triton's own AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, else the store's. Empty: the local system's."""
    triton: str = ""
    """host:port of Triton's HTTP interface; behind a name with several addresses each server is told. Empty: the local
    system's."""
    audit: str = ""
    """Folder for the audit records. Empty: audit/rollouts/ in the experience bucket."""
