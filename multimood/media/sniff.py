"""What a blob really is, told by its first bytes. Nothing is decoded here."""

from dataclasses import dataclass
from typing import Final

from multimood.media.errors import MediaError, MediaFault

EBML_HEADER_BYTES: Final = 4096
"""Matroska names its document type within the header element, which muxers keep far shorter than this."""


@dataclass(frozen=True, slots=True)
class Container:
    """A file format: the media type we call it by, the kinds it can carry, and FFmpeg's name of its demuxer."""

    media_type: str
    kinds: frozenset[str]
    demuxer: str


_AUDIO = frozenset({"audio"})
_BOTH = frozenset({"audio", "video"})

WAV = Container("audio/wav", _AUDIO, "wav")
FLAC = Container("audio/flac", _AUDIO, "flac")
MP3 = Container("audio/mpeg", _AUDIO, "mp3")
OGG = Container("audio/ogg", _AUDIO, "ogg")
M4A = Container("audio/mp4", _AUDIO, "mov")
MP4 = Container("video/mp4", _BOTH, "mov")
MOV = Container("video/quicktime", _BOTH, "mov")
WEBM = Container("video/webm", _BOTH, "matroska")
MKV = Container("video/x-matroska", _BOTH, "matroska")
AVI = Container("video/x-msvideo", _BOTH, "avi")

_QUICKTIME_ATOMS: Final = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_MP4_BRANDS: Final = (b"iso", b"mp4", b"avc1", b"3gp", b"3g2", b"dash", b"M4V", b"f4v", b"MSNV", b"cmf")


def sniff(data: bytes) -> Container:
    """Tell which container `data` (a file, or at least its first 4 KiB) is in.

    Raises `MediaError`: `empty` without a byte, `unsupported_type` for everything that is not on the list.
    """
    if not data:
        raise MediaError(MediaFault.EMPTY, "the file has no bytes")
    found = _riff(data) or _iso_media(data) or _ebml(data) or _elementary(data)
    if found is None:
        raise MediaError(
            MediaFault.UNSUPPORTED_TYPE,
            f"first bytes {data[:4].hex()}; accepted are WAV, FLAC, MP3, Ogg, MP4/M4A, MOV, WebM, Matroska and AVI",
        )
    return found


def identify(data: bytes, announced: str) -> str:
    """Tell the media type of `data`, which the sender announced as `announced` (e.g. "audio/wav; codecs=1").

    The two must agree in kind: a container that can carry both is named after the announced kind ("audio/webm"), a
    sound file announced as video is `unsupported_type`.
    """
    container = sniff(data)
    kind = announced.strip().lower().partition("/")[0]
    if kind not in container.kinds:
        raise MediaError(
            MediaFault.UNSUPPORTED_TYPE, f"announced as {kind[:16]!r}, but the bytes are {container.media_type}"
        )
    return f"{kind}/{container.media_type.partition('/')[2]}"


def _riff(data: bytes) -> Container | None:
    if data[:4] not in {b"RIFF", b"RF64"}:
        return None
    return {b"WAVE": WAV, b"AVI ": AVI}.get(data[8:12])


def _iso_media(data: bytes) -> Container | None:
    atom, brand = data[4:8], data[8:12]
    if atom == b"ftyp":
        if brand in {b"M4A ", b"M4B "}:
            return M4A
        if brand == b"qt  ":
            return MOV
        return MP4 if brand.startswith(_MP4_BRANDS) else None
    return MOV if atom in _QUICKTIME_ATOMS else None


def _ebml(data: bytes) -> Container | None:
    if data[:4] != b"\x1a\x45\xdf\xa3":
        return None
    header = data[:EBML_HEADER_BYTES]
    if b"\x42\x82" not in header:  # the DocType element
        return None
    return WEBM if b"webm" in header else MKV if b"matroska" in header else None


def _elementary(data: bytes) -> Container | None:
    if data[:4] == b"fLaC":
        return FLAC
    if data[:4] == b"OggS":
        return OGG
    return MP3 if data[:3] == b"ID3" or _is_mpeg_audio_frame(data) else None


def _is_mpeg_audio_frame(data: bytes) -> bool:
    """Tell an MPEG audio frame header of layer III (ISO/IEC 11172-3, 2.4.2.3): 11 sync bits, no reserved field."""
    header = int.from_bytes(data[:4])
    sync, version, layer = header >> 21, header >> 19 & 0b11, header >> 17 & 0b11
    bit_rate, sample_rate = header >> 12 & 0b1111, header >> 10 & 0b11
    layer_3, reserved, free_format, forbidden = 0b01, 0b01, 0b0000, 0b1111
    return (
        sync == 0b111_1111_1111  # noqa: PLR2004
        and version != reserved
        and layer == layer_3
        and bit_rate not in {free_format, forbidden}
        and sample_rate != 0b11  # noqa: PLR2004
    )
