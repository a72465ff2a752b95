"""The models that this version ships: what each is, what it was made from, under which licence, and its very bytes."""

from multimood.models.installed import Found, State, look
from multimood.models.shipped import Model, manifest, recorded

__all__ = ["Found", "Model", "State", "look", "manifest", "recorded"]
