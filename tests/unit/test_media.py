"""Accepted files decode to what went in; everything else is refused with a label, quickly."""

import struct
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

sys.path.insert(0, str(Path(__file__).parents[1]))
from media_files import clip, sound, tone, turned

from multimood.errors import ConfigurationError, InvalidMediaError
from multimood.media import audio, video
from multimood.media.errors import MediaError, MediaFault
from multimood.media.limits import MediaLimits
from multimood.media.sniff import identify, sniff
from multimood.media.text import LENGTHS, TextTokenizer

pytestmark = pytest.mark.unit
LIMITS = MediaLimits()

SOUNDS = {
    "audio/wav": ("wav", "pcm_s16le", 16_000, "mono"),
    "audio/flac": ("flac", "flac", 16_000, "mono"),
    "audio/mpeg": ("mp3", "libmp3lame", 44_100, "mono"),
    "audio/ogg": ("ogg", "libopus", 48_000, "stereo"),
    "audio/mp4": ("ipod", "aac", 44_100, "mono"),
    "video/mp4": ("mp4", "aac", 44_100, "stereo"),
    "video/webm": ("webm", "libopus", 48_000, "mono"),
    "video/x-matroska": ("matroska", "pcm_s16le", 8_000, "mono"),
    "video/x-msvideo": ("avi", "pcm_s16le", 22_050, "stereo"),
    "video/quicktime": ("mov", "pcm_s16le", 16_000, "mono"),
}
CLIPS = [
    ("mp4", "mpeg4"),
    ("mp4", "libx264"),
    ("webm", "libvpx"),
    ("matroska", "libx264"),
    ("avi", "mjpeg"),
    ("mov", "mjpeg"),
]


def refused(reason: MediaFault, call, *args, **keywords) -> MediaError:
    with pytest.raises(InvalidMediaError) as caught:
        call(*args, **keywords)
    assert isinstance(caught.value, MediaError)
    assert caught.value.reason == reason, caught.value
    return caught.value


@pytest.mark.parametrize("media_type", SOUNDS)
def test_a_tone_survives_every_container(media_type):
    container, codec, rate, layout = SOUNDS[media_type]
    data = sound(container, codec, 1.0, rate, layout)
    assert sniff(data).media_type == media_type
    assert sniff(data[:4096]).media_type == media_type
    wave = audio.decode(data, LIMITS)
    assert wave.dtype == np.float32
    assert abs(len(wave) - 16_000) < 800
    assert abs(int(np.abs(np.fft.rfft(wave[:16_000])).argmax()) - 440 * min(len(wave), 16_000) // 16_000) <= 1
    assert 0.35 < np.abs(wave[4000:12_000]).max() < 0.45


@pytest.mark.parametrize(("container", "codec"), CLIPS)
def test_frames_are_evenly_spread(container, codec):
    frames = video.sample_frames(clip(2.0, container=container, codec=codec), LIMITS)
    assert frames.shape == (8, 448, 448, 3)
    assert frames.dtype == np.uint8
    red = frames[:, 300, 400, 0].astype(int)
    assert np.abs(red - np.arange(8) * 125 / 4).max() < 12
    assert frames[:, 20, 20, 2].min() > 230
    assert not frames[:, 336:].any(), "4:3 fills 336 of 448 rows, the rest is zero"


def test_a_long_clip_is_sampled_to_its_end():
    frames = video.sample_frames(clip(20.0, rate=10), LIMITS)
    assert len(frames) == 16
    red = frames[:, 300, 400, 0].astype(int)
    assert red[-1] > 220
    assert np.diff(red).min() > 5


def test_a_clip_without_a_duration_is_sampled_to_its_end():
    """As browsers record it: the container says nothing about its length."""
    frames = video.sample_frames(clip(20.0, rate=10, container="matroska", options={"live": "1"}), LIMITS)
    assert 8 <= len(frames) <= 16
    red = frames[:, 300, 400, 0].astype(int)
    assert red[-1] > 200
    assert np.diff(red).max() - np.diff(red).min() <= 10


def test_a_still_is_one_frame():
    assert video.sample_frames(clip(0.04), LIMITS).shape == (1, 448, 448, 3)


@pytest.mark.parametrize(
    ("matrix", "row", "column"), [((1, 0, 0, 1), 5, 5), ((0, 1, -1, 0), 5, 300), ((-1, 0, 0, -1), 300, 440)]
)
def test_a_clip_stored_sideways_is_turned_upright(matrix, row, column):
    frames = video.sample_frames(turned(clip(0.2), matrix), LIMITS)
    assert frames[0, row, column, 2] > 230
    assert frames[0, :, :, 2].astype(int).sum() < 448 * 448 * 60, "only one corner is blue"


def test_no_container_but_the_sniffed_one_is_opened():
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
    refused(MediaFault.UNSUPPORTED_TYPE, audio.decode, playlist, LIMITS)
    refused(MediaFault.UNSUPPORTED_TYPE, video.sample_frames, b"ffconcat version 1.0\nfile /etc/hostname\n", LIMITS)


@pytest.mark.parametrize(
    ("announced", "named"),
    [("audio/wav", "audio/wav"), ("audio/x-wav; codecs=1", "audio/wav"), (" Audio/anything", "audio/wav")],
)
def test_the_announced_type_need_only_agree_in_kind(announced, named):
    assert identify(sound("wav", "pcm_s16le", 0.1), announced) == named


def test_containers_of_both_kinds_are_named_after_the_announcement():
    webm = sound("webm", "libopus", 0.1, 48_000)
    assert identify(webm, "audio/webm;codecs=opus") == "audio/webm"
    assert identify(webm, "video/webm") == "video/webm"


@pytest.mark.parametrize("announced", ["video/mp4", "text/plain", "", "image/png"])
def test_sound_announced_as_something_else_is_refused(announced):
    refused(MediaFault.UNSUPPORTED_TYPE, identify, sound("flac", "flac", 0.1), announced)


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(64),
        b"%PDF-1.7" + bytes(64),
        b"PK\x03\x04" + bytes(64),
        b"hello",
        b"\xff\xd8\xff\xe0",
        b"RIFF",
    ],
)
def test_other_types_are_refused(data):
    refused(MediaFault.UNSUPPORTED_TYPE, sniff, data)


def test_an_error_never_repeats_the_content():
    secret = b"my name is Ada and I am so sad"
    error = refused(MediaFault.UNSUPPORTED_TYPE, sniff, secret)
    assert "Ada" not in str(error)


def test_nothing_is_empty():
    refused(MediaFault.EMPTY, audio.decode, b"", LIMITS)
    refused(MediaFault.EMPTY, audio.decode, sound("wav", "pcm_s16le", 1.0)[:78], LIMITS)


def test_limits_have_their_own_labels():
    long = sound("flac", "flac", 3.0)
    refused(MediaFault.TOO_LARGE, audio.decode, long, MediaLimits(size_bytes=100))
    refused(MediaFault.TOO_LONG, audio.decode, long, MediaLimits(duration_s=2.0))
    refused(MediaFault.TOO_LONG, video.sample_frames, clip(3.0), MediaLimits(duration_s=2.0))
    refused(MediaFault.TOO_LONG, video.sample_frames, clip(3.0), MediaLimits(frames=10))
    refused(MediaFault.TOO_LONG, video.sample_frames, clip(3.0), MediaLimits(decode_s=0.0))
    refused(MediaFault.RESOLUTION, video.sample_frames, clip(width=320, height=64), MediaLimits(width=200, height=200))
    many = sound("matroska", "pcm_s16le", 0.2, tracks=12)
    refused(MediaFault.TOO_MANY_STREAMS, audio.decode, many, LIMITS)
    assert len(audio.decode(many, MediaLimits(streams=12))) > 0


def test_the_wrong_kind_of_track():
    refused(MediaFault.NO_AUDIO_STREAM, audio.decode, clip(0.2), LIMITS)
    refused(MediaFault.NO_VIDEO_STREAM, video.sample_frames, sound("mp4", "aac", 0.2, 44_100), LIMITS)


def test_damaged_packets_are_left_out():
    data = bytearray(sound("mp3", "libmp3lame", 4.0, 44_100))
    data[len(data) // 2 : len(data) // 2 + 500] = bytes(500)
    assert len(audio.decode(bytes(data), LIMITS)) > 3 * 16_000


def test_a_truncated_file_gives_what_is_there():
    data = sound("flac", "flac", 4.0)
    wave = audio.decode(data[: len(data) // 2], LIMITS)
    assert 1 * 16_000 < len(wave) < 3 * 16_000


def test_an_absurd_sample_rate_is_refused():
    data = bytearray(sound("wav", "pcm_s16le", 1.0))
    at = data.index(b"fmt ") + 12
    for rate in (1, 100, 4_000_000_000):
        data[at : at + 4] = struct.pack("<I", rate)
        begin = time.monotonic()
        with pytest.raises(MediaError):
            audio.decode(bytes(data), LIMITS)
        assert time.monotonic() - begin < 2


def test_a_header_that_claims_gigapixels_is_refused_fast():
    """Rewrites the picture size in an AVI's stream format: the decoder must not allocate what it says."""
    data = bytearray(clip(0.4, container="avi", codec="mjpeg"))
    at = data.index(b"strf") + 12
    data[at : at + 8] = struct.pack("<ii", 60_000, 60_000)
    begin = time.monotonic()
    try:
        frames = video.sample_frames(bytes(data), LIMITS)
        assert frames.nbytes <= 16 * 448 * 448 * 3
    except MediaError as error:
        assert error.reason in {MediaFault.RESOLUTION, MediaFault.CORRUPT, MediaFault.EMPTY}  # noqa: PT017
    assert time.monotonic() - begin < 2


def test_silence_that_unpacks_to_hours_stops_at_the_limit():
    """A minute of FLAC silence is a few kilobytes; an hour of it must cost no more than the limit does."""
    begin = time.monotonic()
    data = sound("flac", "flac", 70.0)
    refused(MediaFault.TOO_LONG, audio.decode, data, LIMITS)
    assert time.monotonic() - begin < 10


# Values of transformers 5's WhisperFeatureExtractor (80 mels, un-padded) for the chirp below, at frames 0 and 1.
WHISPER = {
    0: (1.16854, 0.59725),
    5: (1.27897, 1.40941),
    17: (0.64309, 0.1341),
    40: (0.18192, -0.32583),
    79: (0.08927, -0.42093),
}


def chirp() -> np.ndarray:
    t = np.arange(32_000) / 16_000
    return (0.5 * np.sin(2 * np.pi * (200 + 900 * t) * t) + 0.05 * np.sin(2 * np.pi * 5000 * t)).astype(np.float32)


def test_log_mel_is_whispers():
    mel = audio.log_mel(chirp())
    assert mel.shape == (1, 80, 224)
    assert mel.dtype == np.float32
    for band, values in WHISPER.items():
        np.testing.assert_allclose(mel[0, band, :2], values, atol=2e-5)
    assert mel.max() == pytest.approx(1.4505112, abs=1e-5)
    assert mel.min() == pytest.approx(-0.5494888, abs=1e-5)


@pytest.mark.parametrize("samples", [0, 1, 399, 400, 5119, 5120, 5121, 160_000, 479_999, 480_000, 900_000])
def test_log_mel_lengths(samples):
    mel = audio.log_mel(np.zeros(samples, np.float32))
    frames = mel.shape[2]
    assert mel.shape[:2] == (1, 80)
    assert frames % 2 == 0
    assert frames == 3000 or frames % audio.FRAME_QUANTUM == 0
    assert min(samples, 480_000) <= frames * 160 < min(samples, 480_000) + 5120 + 160 * 32
    assert np.isfinite(mel).all()


def test_the_transcriber_hears_ten_seconds_of_silence_after_the_words():
    wave = tone(3.3)
    mel = audio.transcriber_mel(wave)
    assert mel.shape == (80, 1330)
    assert (mel[:, 340:] == mel.min()).all()
    assert audio.transcriber_mel(tone(20.0)).shape == (80, 3000)


def test_long_speech_is_cut_at_pauses_and_nothing_is_lost():
    wave = np.concatenate([tone(17.0), np.zeros(16_000, np.float32), tone(20.0)])
    refused(MediaFault.TOO_LONG, audio.transcriber_mel, wave)
    pieces = audio.split_speech(wave)
    np.testing.assert_array_equal(np.concatenate(pieces), wave)
    assert 17.0 * 16_000 <= len(pieces[0]) <= 18.0 * 16_000
    assert all(len(audio.transcriber_mel(piece)) == 80 for piece in pieces)


def test_pool_takes_only_rows_with_a_face():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4, 256)).astype(np.float32)
    face = np.zeros((4, 5), np.float32)
    face[[1, 3], 4] = 0.9
    probabilities = np.full((4, 7), 1 / 7, np.float32)
    pooled = video.pool(face, features, probabilities)
    assert pooled is not None
    embedding, found = pooled
    assert found == 2
    np.testing.assert_allclose(embedding[:256], features[[1, 3]].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(embedding[256:], features[[1, 3]].std(axis=0), rtol=1e-6)
    features[1] = np.nan
    again = video.pool(face, features, probabilities)
    assert again is not None
    assert again[1] == 1
    assert video.pool(np.zeros_like(face), features, probabilities) is None


@pytest.fixture
def tokenizer(tmp_path) -> TextTokenizer:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "i", "lost", "my", "job"]
    inner = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    inner.enable_truncation(4)
    inner.enable_padding(length=128)
    inner.save(str(tmp_path / "tokenizer.json"))
    return TextTokenizer(tmp_path / "tokenizer.json")


def test_tokens_are_padded_to_few_lengths(tokenizer):
    ids, mask = tokenizer.encode("i lost my job")
    assert ids.tolist() == [[2, 4, 5, 6, 7, 3] + [0] * 10]
    assert mask.tolist() == [[1] * 6 + [0] * 10]
    assert ids.dtype == mask.dtype == np.int64


@pytest.mark.parametrize("words", [0, 1, 13, 14, 15, 30, 62, 254, 255, 5000])
def test_tokens_of_any_number_of_words(tokenizer, words):
    ids, mask = tokenizer.encode("job " * words)
    assert ids.shape == mask.shape
    assert ids.shape[1] == next(n for n in LENGTHS if n >= min(256, words + 2))
    assert mask.sum() == min(256, words + 2)
    assert ids[0, mask.sum() - 1] == 3, "the closing token survives truncation"


def test_hostile_text_is_tokenised(tokenizer):
    for text in ("\ud800", "\x00" * 9, "é" * 100_000, " " * 10**6, "\u202e\U0010ffff", "a" * 10**6):
        ids, mask = tokenizer.encode(text)
        assert 2 <= mask.sum() <= 256
        assert ids.shape[1] in LENGTHS


def test_a_missing_tokenizer_says_what_to_do(tmp_path):
    with pytest.raises(ConfigurationError, match="make setup"):
        TextTokenizer(tmp_path / "none.json")
