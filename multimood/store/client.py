"""The asynchronous client: the minio SDK in a bounded pool of threads, with time limits and typed errors."""

import asyncio
import hashlib
import io
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeVar

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, S3Error, ServerError

from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import MultimoodError
from multimood.media.errors import MediaError, MediaFault
from multimood.settings import StoreSettings
from multimood.store.errors import ChangedObjectError, MissingObjectError, StoreUnavailableError
from multimood.store.reference import check_reference
from multimood.telemetry import meter

T = TypeVar("T")

SINGLE_PUT_BYTES: Final = 5 << 20
"""S3's smallest part. What we put goes in one request: the part is as large as the object when that is more."""
PIECE_BYTES: Final = 1 << 20
LARGE_S: Final = 1800.0
"""Longest for an object that goes in parts: some gigabytes."""
_ABSENT: Final = frozenset({"NoSuchKey", "NoSuchBucket", "NoSuchObject", "ResourceNotFound"})
_CHANGED: Final = frozenset({HTTPStatus.PRECONDITION_FAILED, HTTPStatus.CONFLICT})
_REFUSED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_PRESIGNED_FOR: Final = timedelta(minutes=5)
_DENIED: Final = frozenset({"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"})

_duration = meter().create_histogram("multimood.store.duration", unit="ms", description="Calls of the S3 store")
_failures = meter().create_counter("multimood.store.failures", description="Failed calls of the S3 store, by reason")


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One line of a listing."""

    key: str
    size_bytes: int
    modified: datetime | None


class Store:
    """An S3 endpoint. At most `threads` calls are on their way, the others wait; none takes longer than `deadline_s`.

    Connection faults and 5xx answers are tried once more within the deadline, client errors never.
    """

    def __init__(
        self,
        settings: StoreSettings,
        *,
        deadline_s: float = 10.0,
        connect_s: float = 1.0,
        read_s: float = 5.0,
        threads: int = 16,
    ) -> None:
        self.media_bucket = settings.media_bucket
        self._endpoint = settings.endpoint
        self._deadline_s = deadline_s
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="store")
        retry = urllib3.Retry(
            total=1,
            status_forcelist=(500, 502, 503, 504),
            backoff_factor=0.05,
            allowed_methods=None,
            raise_on_status=False,
        )
        self._pool = urllib3.PoolManager(
            maxsize=threads, timeout=urllib3.Timeout(connect=connect_s, read=read_s), retries=retry
        )
        self._client = Minio(
            settings.endpoint,
            access_key=settings.access_key,
            secret_key=settings.secret_key.get_secret_value(),
            secure=settings.secure,
            region=settings.region,
            http_client=self._pool,
        )

    # --- media -----------------------------------------------------------------------------------------------------

    async def put(self, bucket: str, key: str, data: bytes, media_type: str) -> pb.MediaRef:
        """Write an object in one request and describe it. Raises StoreUnavailableError."""

        def call() -> bytes:
            part = max(SINGLE_PUT_BYTES, len(data))
            self._client.put_object(bucket, key, io.BytesIO(data), len(data), content_type=media_type, part_size=part)
            return hashlib.sha256(data).digest()

        sha256 = await self._run("put", call)
        return pb.MediaRef(bucket=bucket, key=key, sha256=sha256, size_bytes=len(data), media_type=media_type)

    async def get(
        self, ref: pb.MediaRef, *, tenant: str, limit: int, allowed_buckets: Collection[str] | None = None
    ) -> bytes:
        """Read a referenced object of `tenant`, at most `limit` bytes; by default from the media bucket only.

        Raises RefusedReferenceError, MediaError (too_large, before anything is read; empty), MissingObjectError when it
        is not there or its hash is another, StoreUnavailableError.
        """
        check_reference(ref, tenant=tenant, limit=limit, buckets=allowed_buckets or (self.media_bucket,))

        def call() -> bytes:
            data = self._download(ref.bucket, ref.key, limit)
            if hashlib.sha256(data).digest() != ref.sha256:
                raise MissingObjectError("hash_differs", "the object is not the one that was referred to")
            return data

        return await self._run("get", call)

    async def peek(self, ref: pb.MediaRef, *, tenant: str, limit: int, length: int = 4096) -> bytes:
        """Read the first `length` bytes of a referenced object; its hash is not checked. Raises like `get`."""
        check_reference(ref, tenant=tenant, limit=limit, buckets=(self.media_bucket,))

        def call() -> bytes:
            with closing(self._client.get_object(ref.bucket, ref.key, length=length)) as response:
                total = str(response.headers.get("Content-Range", "")).rpartition("/")[2]
                data: bytes = response.read(length)
                response.release_conn()
            size = int(total) if total.isdecimal() else len(data)
            if size != ref.size_bytes:
                raise MissingObjectError(
                    "size_differs", f"the object has {size} bytes, referred to are {ref.size_bytes}"
                )
            return data

        return await self._run("peek", call)

    # --- any object ------------------------------------------------------------------------------------------------

    async def read(self, bucket: str, key: str, *, limit: int) -> bytes:
        """Read an object whose key is our own. Raises MediaError when it is larger than `limit`, else like `get`."""
        return await self._run("read", lambda: self._download(bucket, key, limit))

    async def read_version(self, bucket: str, key: str, *, limit: int) -> tuple[bytes, str]:
        """Read an object of our own and the tag of what was read, for `put_version`. Raises like `read`."""

        def call() -> tuple[bytes, str]:
            with closing(self._client.get_object(bucket, key)) as response:
                data = _within(response, limit)
                response.release_conn()
                tag = str(response.headers.get("ETag") or "")
            if not tag:
                raise StoreUnavailableError("bad_answer", f"{self._endpoint} gave an object without an ETag")
            return data, tag

        return await self._run("read", call)

    async def put_version(self, bucket: str, key: str, data: bytes, media_type: str, *, replaces: str) -> None:
        """Write an object only if it still is what `read_version` read (its tag; empty: there must be none yet).

        Without that, a writer that was suspended in the middle of a call would undo what its successor wrote. A store
        that knows no conditional writes (it answers 501) is written to without. Raises ChangedObjectError,
        StoreUnavailableError.
        """
        condition = {"If-Match": replaces} if replaces else {"If-None-Match": "*"}

        def call() -> None:
            # The SDK's own put takes no conditions.
            url = self._client.get_presigned_url("PUT", bucket, key, expires=_PRESIGNED_FOR)
            described = {"Content-Type": media_type}
            answer = self._pool.request("PUT", url, body=data, headers=described | condition)
            if answer.status == HTTPStatus.NOT_IMPLEMENTED:
                answer = self._pool.request("PUT", url, body=data, headers=described)
            if answer.status in _CHANGED or (replaces and answer.status == HTTPStatus.NOT_FOUND):
                raise ChangedObjectError
            if answer.status != HTTPStatus.OK:
                reason = "denied" if answer.status in _REFUSED else "bad_answer"
                raise StoreUnavailableError(reason, f"{self._endpoint} answered a conditional PUT with {answer.status}")

        await self._run("put", call)

    async def put_file(self, bucket: str, key: str, file: Path, media_type: str) -> None:
        """Write an object from a file of any size, part by part. Raises StoreUnavailableError, OSError."""

        def call() -> None:
            self._client.fput_object(bucket, key, str(file), content_type=media_type)

        await self._run("put", call, within_s=LARGE_S)

    async def digest(self, bucket: str, key: str) -> bytes:
        """The SHA-256 of an object of any size, which is read piece by piece. Raises like `get`."""

        def call() -> bytes:
            found = hashlib.sha256()
            with closing(self._client.get_object(bucket, key)) as response:
                for piece in response.stream(PIECE_BYTES):
                    found.update(piece)
                response.release_conn()
            return found.digest()

        return await self._run("read", call, within_s=LARGE_S)

    async def list(self, bucket: str, prefix: str = "", *, most: int = 1000) -> Sequence[ObjectInfo]:
        """List the first `most` objects under a prefix in key order. Raises like `get`."""

        def call() -> list[ObjectInfo]:
            found: list[ObjectInfo] = []
            for item in self._client.list_objects(bucket, prefix=prefix, recursive=True):
                found.append(ObjectInfo(str(item.object_name), int(item.size or 0), item.last_modified))
                if len(found) == most:
                    break
            return found

        return await self._run("list", call)

    async def delete(self, bucket: str, key: str) -> None:
        """Remove an object; one that is not there is removed already. Raises StoreUnavailableError."""
        await self._run("delete", lambda: self._client.remove_object(bucket, key))

    async def ready(self) -> bool:
        """Tell whether the media bucket can be reached with our credentials."""
        try:
            return bool(await self._run("ready", lambda: self._client.bucket_exists(self.media_bucket), within_s=2.0))
        except MultimoodError:
            return False

    async def close(self) -> None:
        """Drop the connections; calls that hang are left to their time limits."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._pool.clear()

    # --- below -----------------------------------------------------------------------------------------------------

    def _download(self, bucket: str, key: str, limit: int) -> bytes:
        with closing(self._client.get_object(bucket, key)) as response:
            data = _within(response, limit)
            response.release_conn()
            return data

    async def _run(self, operation: str, call: Callable[[], T], *, within_s: float | None = None) -> T:
        started, limit_s = time.perf_counter(), within_s or self._deadline_s
        try:
            async with asyncio.timeout(limit_s):
                return await asyncio.get_running_loop().run_in_executor(self._threads, _typed, call, self._endpoint)
        except TimeoutError:
            _failures.add(1, {"operation": operation, "reason": "deadline"})
            raise StoreUnavailableError("deadline", f"{self._endpoint} took longer than {limit_s:g} s") from None
        except MultimoodError as error:
            _failures.add(1, {"operation": operation, "reason": str(getattr(error, "reason", error.code))})
            raise
        finally:
            _duration.record((time.perf_counter() - started) * 1000, {"operation": operation})


def _within(response: Any, limit: int) -> bytes:
    """The body of an answer, of at most `limit` bytes."""
    announced = int(response.headers.get("Content-Length") or 0)
    if announced > limit:
        raise MediaError(MediaFault.TOO_LARGE, f"{announced} bytes, allowed are {limit}")
    data: bytes = response.read(limit + 1)
    if len(data) > limit:
        raise MediaError(MediaFault.TOO_LARGE, f"more than the {limit} bytes allowed")
    return data


def _typed(call: Callable[[], T], endpoint: str) -> T:
    """Call, with the SDK's exceptions (whose texts quote keys) replaced by ours."""
    try:
        return call()
    except S3Error as error:
        raise _of_s3(error, endpoint) from None
    except (ServerError, InvalidResponseError) as error:
        raise StoreUnavailableError("bad_answer", f"{endpoint} answered with {type(error).__name__}") from None
    except urllib3.exceptions.HTTPError as error:
        raise StoreUnavailableError("no_answer", f"{endpoint} does not answer: {type(error).__name__}") from None


def _of_s3(error: Any, endpoint: str) -> MultimoodError:
    code = str(error.code)
    if code in _ABSENT:
        return MissingObjectError("no_such_object", f"{endpoint} says {code}")
    if code in _DENIED:
        return StoreUnavailableError(
            "denied",
            f"{endpoint} says {code}: check MULTIMOOD_S3_ACCESS_KEY, MULTIMOOD_S3_SECRET_KEY and the bucket's policy",
        )
    return StoreUnavailableError("bad_answer", f"{endpoint} says {code}")
