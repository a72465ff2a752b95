"""Hostile media: real files of every kind, made here and then damaged, and files built to lie or to blow up. Seeded."""

import io
import random
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from functools import cache

import av
import numpy as np
from media_files import clip, sound

EXACT = {"fflags": "+bitexact"}
"""No random ids, no dates: the same file each time."""

SOUNDS = {
    "wav": ("wav", "pcm_s16le", 16_000),
    "wav_float": ("wav", "pcm_f32le", 48_000),
    "wav_adpcm": ("wav", "adpcm_ima_wav", 22_050),
    "flac": ("flac", "flac", 16_000),
    "mp3": ("mp3", "libmp3lame", 44_100),
    "ogg_opus": ("ogg", "libopus", 48_000),
    "m4a": ("ipod", "aac", 44_100),
    "webm_opus": ("webm", "libopus", 48_000),
    "mkv_pcm": ("matroska", "pcm_s16le", 8_000),
    "mov_alac": ("mov", "alac", 44_100),
    "avi_pcm": ("avi", "pcm_s16le", 22_050),
}
CLIPS = {
    "mp4_h264": ("mp4", "libx264"),
    "mp4_mpeg4": ("mp4", "mpeg4"),
    "mp4_hevc": ("mp4", "libx265"),
    "webm_vp8": ("webm", "libvpx"),
    "webm_vp9": ("webm", "libvpx-vp9"),
    "mkv_h264": ("matroska", "libx264"),
    "avi_mjpeg": ("avi", "mjpeg"),
    "avi_mpeg4": ("avi", "mpeg4"),
    "mov_mjpeg": ("mov", "mjpeg"),
}


@cache
def honest(name: str) -> bytes:
    """A real file of a kind."""
    if name in SOUNDS:
        return _sound(*SOUNDS[name])
    container, codec = CLIPS[name]
    return clip(0.6, rate=15, container=container, codec=codec, options=EXACT)


def _sound(container: str, codec: str, rate: int) -> bytes:
    if codec not in {"pcm_f32le", "alac", "adpcm_ima_wav"}:
        return sound(container, codec, 0.4, rate)
    out = io.BytesIO()
    kind = {"pcm_f32le": "flt", "alac": "s16p", "adpcm_ima_wav": "s16"}[codec]
    with av.open(out, "w", format=container, options=EXACT) as mux:
        stream = mux.add_stream(codec, rate=rate, layout="mono")
        size = stream.codec_context.frame_size or 1024
        for at in range(0, rate // 2, size):
            wave = np.sin(np.arange(at, at + size) / 20)[None] * 0.3
            made = wave.astype(np.float32) if kind == "flt" else (wave * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(made, kind, "mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
            mux.mux(stream.encode(frame))
        mux.mux(stream.encode(None))
    return out.getvalue()


# --- built to lie --------------------------------------------------------------------------------------------------


def hours_of_silence(chance: random.Random) -> bytes:
    """FLAC frames of a few bytes that stand for 4096 samples each."""
    data = sound("flac", "flac", 1.0)
    return data + data[-40:] * chance.choice((100, 20_000))


def many_samples(chance: random.Random) -> bytes:
    """An MP4 whose tables claim millions of samples of one size: an index of gigabytes in a few hundred bytes."""
    data = bytearray(honest(chance.choice(("mp4_mpeg4", "mp4_h264", "m4a"))))
    count = chance.choice((10**6, 3 * 10**7, 10**8, 2**31 - 1, 2**32 - 1))
    at = data.index(b"stsz") + 8
    data[at : at + 8] = struct.pack(">II", chance.choice((1, 100, 10**6)), count)
    at = data.index(b"stts") + 8
    data[at : at + 12] = struct.pack(">III", 1, count, chance.choice((0, 1, 2**31 - 1)))
    at = data.index(b"stsc") + 8
    data[at : at + 16] = struct.pack(">IIII", 1, 1, count, 1)
    return bytes(data)


def huge_tables(chance: random.Random) -> bytes:
    """Every count in an MP4's tables as large as a number can be."""
    data = bytearray(honest(chance.choice(("mp4_mpeg4", "mp4_h264", "mov_mjpeg", "mov_alac"))))
    for name in (b"stsz", b"stts", b"stsc", b"stco", b"elst", b"ctts", b"dref", b"stsd"):
        at = data.find(name)
        if at > 0 and chance.random() < 0.5:
            data[at + 8 : at + 12] = struct.pack(">I", chance.choice((2**31 - 1, 2**32 - 1, 10**7, 10**6)))
    return bytes(data)


def gigapixels(chance: random.Random) -> bytes:
    """A picture size in the headers that no machine can hold."""
    width, height = chance.choice(
        ((60_000, 60_000), (1, 65_535), (0, 0), (16_384, 16_384), (65_535, 1), (2**31 - 1, 8))
    )
    name = chance.choice(("avi_mjpeg", "avi_mpeg4", "mov_mjpeg", "mp4_h264", "mp4_mpeg4"))
    data = bytearray(honest(name))
    if name.startswith("avi"):
        at = data.index(b"strf") + 12
        data[at : at + 8] = struct.pack("<ii", width, height)
    else:
        at = data.index(b"stsd") + 12 + 4 + 28
        data[at : at + 4] = struct.pack(">HH", width & 0xFFFF, height & 0xFFFF)
    for at in _all(data, b"\xff\xc0\x00\x11\x08"):  # in each JPEG as well
        data[at + 5 : at + 9] = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
    return bytes(data)


def grows_on_the_way(chance: random.Random) -> bytes:
    """Pictures that become larger than the headers say once decoding has begun."""
    return grown(*chance.choice(((1904, 1904), (2560, 1904), (4000, 1904), (4000, 64))))


def grown(width: int, height: int) -> bytes:
    """A clip of 64 x 48 with some pictures of this size in it."""
    small = clip(0.4, rate=25, container="avi", codec="mjpeg")
    large = clip(0.2, rate=25, width=width, height=height, container="avi", codec="mjpeg")
    begin, other = small.index(b"movi") + 4, large.index(b"movi") + 4
    return small[:begin] + large[other : other + 4_000_000] + small[begin:]


def many_tracks(chance: random.Random) -> bytes:
    """More streams than anyone speaks."""
    return sound("matroska", "pcm_s16le", 0.1, tracks=chance.choice((8, 9, 60, 120)))


def many_atoms(chance: random.Random) -> bytes:
    """An MP4 with its track, or its whole head, thousands of times."""
    data = honest("mp4_mpeg4")
    moov = data.index(b"moov") - 4
    size = int.from_bytes(data[moov : moov + 4])
    if chance.random() < 0.5:
        return data + data[moov : moov + size] * chance.choice((10, 2_000))
    trak = data.index(b"trak") - 4
    track = data[trak : trak + int.from_bytes(data[trak : trak + 4])]
    times = chance.choice((9, 300, 5_000))
    head = (size + len(track) * times).to_bytes(4) + data[moov + 4 : moov + size] + track * times
    return data[:moov] + head + data[moov + size :]


def nested_atoms(chance: random.Random) -> bytes:
    """Boxes in boxes."""
    inner = b""
    for _ in range(chance.choice((50, 5_000))):
        inner = (len(inner) + 8).to_bytes(4) + chance.choice((b"moov", b"trak", b"mdia", b"udta")) + inner
    return b"\x00\x00\x00\x14ftypisom\x00\x00\x02\x00isom" + inner


def compressed_head(chance: random.Random) -> bytes:
    """A QuickTime head that is packed: kilobytes that unpack to gigabytes."""
    plain = chance.choice((1 << 20, 1 << 28))
    packed = zlib.compress(bytes(plain), 9)
    cmvd = (len(packed) + 12).to_bytes(4) + b"cmvd" + chance.choice((plain, 2**31 - 1, 2**32 - 1)).to_bytes(4) + packed
    dcom = (12).to_bytes(4) + b"dcomzlib"
    cmov = (8 + len(dcom) + len(cmvd)).to_bytes(4) + b"cmov" + dcom + cmvd
    return (8 + len(cmov)).to_bytes(4) + b"moov" + cmov


def cover_picture(chance: random.Random) -> bytes:
    """An MP3 with a picture in its tag, of a size that lies."""
    size = chance.choice((10, 5_000, 2**27))
    picture = b"\x00image/png\x00\x03\x00\x89PNG\r\n\x1a\n" + bytes(chance.choice((0, 100, 200_000)))
    frame = b"APIC" + size.to_bytes(4) + b"\x00\x00" + picture
    total = chance.choice((len(frame), 2**28 - 1))
    safe = bytes(total >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + safe + frame + honest("mp3")


def refers_elsewhere(chance: random.Random) -> bytes:
    """Files whose content is said to be in another file, or at an address."""
    target = chance.choice((b"file:///etc/hostname", b"/etc/passwd", b"http://127.0.0.1:9/x", b"concat:/etc/passwd"))
    texts = (
        b"#EXTM3U\n#EXTINF:1,\n" + target + b"\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile '" + target + b"'\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
        b"[playlist]\nFile1=" + target + b"\n",
    )
    if chance.random() < 0.4:
        text = chance.choice(texts)
        head = chance.choice(
            (b"", b"ID3\x03\x00\x00\x00\x00\x00\x00", honest("wav")[:44], b"OggS", b"\x00\x00\x00\x08wide")
        )
        return head + text
    return outside_data(honest(chance.choice(("mov_mjpeg", "mov_alac", "mp4_mpeg4", "m4a"))), target)


def outside_data(data: bytes, target: bytes) -> bytes:
    """The MP4 or MOV with its data reference pointing elsewhere: an `alis` or `url ` that is not this file."""
    at = data.index(b"dref")
    size = int.from_bytes(data[at - 4 : at])
    url = b"\x00\x00\x00\x00" + target + b"\x00"
    entry = (8 + len(url)).to_bytes(4) + b"url " + url
    box = (16 + len(entry)).to_bytes(4) + b"dref" + bytes(4) + (1).to_bytes(4) + entry
    grown = bytearray(data[: at - 4] + box + data[at - 4 + size :])
    more = len(box) - size
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):  # the boxes around it
        place = grown.index(name) - 4
        grown[place : place + 4] = (int.from_bytes(grown[place : place + 4]) + more).to_bytes(4)
    return bytes(grown)


def lying_wave(chance: random.Random) -> bytes:
    """A WAV whose format says anything."""
    data = bytearray(honest("wav"))
    at = data.index(b"fmt ") + 8
    rate = chance.choice((0, 1, 7, 16_000, 192_000, 2**31 - 1, 2**32 - 1))
    channels = chance.choice((0, 1, 2, 9, 64, 65_535))
    bits, tag = chance.choice((0, 1, 8, 16, 24, 32, 64, 65_535)), chance.choice((1, 3, 6, 7, 0x11, 0x55, 0xFFFE, 0x161))
    block = chance.choice((0, 1, 2, 65_535))
    data[at : at + 16] = struct.pack("<HHIIHH", tag, channels, rate, chance.choice((0, rate, 2**32 - 1)), block, bits)
    return bytes(data)


def chained(chance: random.Random) -> bytes:
    """Whole files one after another, of one kind or of several."""
    names = [*SOUNDS, *CLIPS]
    first = honest(chance.choice(names))
    return first * chance.choice((2, 50)) if chance.random() < 0.5 else first + honest(chance.choice(names)) + first


BUILT: dict[str, Callable[[random.Random], bytes]] = {
    one.__name__: one
    for one in (
        hours_of_silence, many_samples, huge_tables, gigapixels, grows_on_the_way, many_tracks, many_atoms,
        nested_atoms, compressed_head, cover_picture, refers_elsewhere, lying_wave, chained,
    )
}  # fmt: skip

# --- damage --------------------------------------------------------------------------------------------------------

EXTREMES = (
    b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x01",
    b"\xff" * 8, bytes(8), b"\x01" + bytes(7), b"\x08\xff\xff\xff\xff\xff\xff\xff",
)  # fmt: skip


def damaged(data: bytes, chance: random.Random) -> bytes:
    """The file with bytes overwritten, most often in its head; cut, doubled in part, or with another's head."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 12, 60))):
        at = chance.randrange(min(800, len(out)) if chance.random() < 0.6 else len(out))
        new = chance.choice(EXTREMES) if chance.random() < 0.5 else chance.randbytes(chance.choice((1, 1, 2, 8)))
        out[at : at + len(new)] = new
    at = chance.randrange(len(out))
    change = chance.random()
    if change < 0.15:
        del out[at:]
    elif change < 0.25:
        out[at:at] = out[at // 2 : at]
    elif change < 0.3:
        other = honest(chance.choice([*SOUNDS, *CLIPS]))
        out[: min(at, 64)] = other[: min(at, 64)]
    elif change < 0.35:
        out[at:at] = bytes(chance.choice((1, 4096, 1 << 20)))
    return bytes(out)


def case_of(target: str, chance: random.Random) -> bytes:
    """Make a file of a target; the same chance gives the same one."""
    if target in BUILT:
        data = BUILT[target](chance)
        return damaged(data, chance) if chance.random() < 0.2 else data
    data = damaged(honest(target), chance)
    return resealed(data) if target.startswith("ogg") and chance.random() < 0.7 else data


def resealed(data: bytes) -> bytes:
    """The Ogg file with the checksum of every page made right again: else damage never gets past the page."""
    out = bytearray(data)
    starts = [at for at in _all(data, b"OggS") if at + 27 <= len(data)]
    for at, end in zip(starts, [*starts[1:], len(data)], strict=True):
        out[at + 22 : at + 26] = bytes(4)
        out[at + 22 : at + 26] = _ogg_checksum(out[at:end]).to_bytes(4, "little")
    return bytes(out)


def _ogg_checksum(page: bytes | bytearray) -> int:
    """CRC-32 with polynomial 0x04c11db7, neither reflected nor inverted (RFC 3533, section 6)."""
    crc = 0
    for byte in page:
        crc = (crc << 8 ^ CRC_TABLE[crc >> 24 ^ byte]) & 0xFFFFFFFF
    return crc


def _crc_entry(index: int) -> int:
    crc = index << 24
    for _ in range(8):
        crc = crc << 1 ^ (0x04C11DB7 if crc & 1 << 31 else 0)
    return crc & 0xFFFFFFFF


CRC_TABLE = tuple(map(_crc_entry, range(256)))
TARGETS = (*SOUNDS, *CLIPS, *BUILT)


def _all(data: bytes | bytearray, needle: bytes) -> list[int]:
    found, at = [], data.find(needle)
    while at >= 0:
        found.append(at)
        at = data.find(needle, at + 1)
    return found
