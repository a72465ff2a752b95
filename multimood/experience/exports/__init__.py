"""The log in the forms that other libraries read: TRL, Minari, Open Bandit Pipeline, Hugging Face datasets."""

from multimood.experience.exports.export import KINDS, Exported, Kind, NothingToExportError, Wishes, export

__all__ = ["KINDS", "Exported", "Kind", "NothingToExportError", "Wishes", "export"]
