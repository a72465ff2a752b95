"""Whose data is it, under which key does it lie, and how does it go away: subjects, data keys, sealing, erasure.

`docs/privacy.md` says what is where and for how long.
"""

from multimood.privacy.keyring import Keyring
from multimood.privacy.keys import DataKey, ErasedError, MasterKeys
from multimood.privacy.pseudonyms import Pseudonyms, Subject
from multimood.privacy.sealing import OVERHEAD, UnopenedError, key_id_of, seal, unseal

__all__ = [
    "OVERHEAD",
    "DataKey",
    "ErasedError",
    "Keyring",
    "MasterKeys",
    "Pseudonyms",
    "Subject",
    "UnopenedError",
    "key_id_of",
    "seal",
    "unseal",
]
