"""Media as an encoder has them: read from the store, opened, decoded in a process apart, taken away when encoded."""

from multimood.contracts.v1 import events_pb2 as pb
from multimood.encoding import MissingMediaError, reason_of
from multimood.errors import ConfigurationError, InvalidMediaError, NotFoundError
from multimood.media.apart import Decoders
from multimood.media.errors import MediaError
from multimood.media.limits import MediaLimits
from multimood.privacy import OVERHEAD
from multimood.privacy.disposal import Disposal
from multimood.privacy.media import MediaSeals
from multimood.settings import PrivacySettings, PseudonymSettings, StoreSettings
from multimood.store import Store


class SentMedia:
    """Of utterances. Without `seals` those that are sealed cannot be read, without `disposal` all are kept."""

    SETTINGS = (StoreSettings, PrivacySettings, PseudonymSettings)
    """What `of` reads from the environment."""

    def __init__(
        self, store: Store, decoders: Decoders, *, seals: MediaSeals | None = None, disposal: Disposal | None = None
    ) -> None:
        self.decoders = decoders
        self._store = store
        self._seals = seals
        self._disposal = disposal

    @classmethod
    def of(cls, decoders: int) -> "SentMedia":
        """By settings; at most so many files are decoded at once."""
        s3, privacy = StoreSettings(), PrivacySettings()
        store = Store(s3)
        return cls(
            store,
            Decoders(MediaLimits(), decoders),
            seals=MediaSeals.of(store, s3, privacy, PseudonymSettings()),
            disposal=Disposal(store, privacy.retention),
        )

    async def fetch(self, context: pb.Context, ref: pb.MediaRef) -> bytes:
        """Read a referenced object of the utterance's tenant, and open it if it is sealed.

        Raises MissingMediaError when the reference or what is behind it can never be used (another's, not there,
        erased, too large), UnavailableError when the store or the key store does not answer.
        """
        limit = self.decoders.limits.size_bytes
        if not ref.key:
            raise MissingMediaError(pb.MISSING_REASON_MEDIA_NOT_FOUND)
        try:
            if not ref.key_id:
                return await self._store.get(ref, tenant=context.tenant, limit=limit)
            if self._seals is None:
                raise ConfigurationError("media are sealed, but this service opens no seals")
            data = await self._store.get(ref, tenant=context.tenant, limit=limit + OVERHEAD)
            return await self._seals.open(ref, context, data)
        except NotFoundError:
            raise MissingMediaError(pb.MISSING_REASON_MEDIA_NOT_FOUND) from None
        except MediaError as error:
            raise MissingMediaError(reason_of(error)) from None
        except InvalidMediaError:
            raise MissingMediaError(pb.MISSING_REASON_MEDIA_REFUSED) from None

    async def dispose(self, context: pb.Context, encoded: pb.MediaRef, other: pb.MediaRef) -> None:
        """A medium is encoded: without consent it is not kept, unless the utterance's other one is the same object."""
        if self._disposal is not None:
            await self._disposal.of(context, encoded, (other,))

    async def ready(self) -> bool:
        """Ask whether media can be read now."""
        return await self._store.ready()

    async def close(self) -> None:
        """Give up what is owed, let go of the store, end the decoders."""
        if self._disposal is not None:
            await self._disposal.close()
        await self._store.close()
        await self.decoders.close()
