"""Videos: what is read of real containers, and that what comes out has their times, sound, subtitles and chapters."""

import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from atelier.tasks.images.codec import BadImage, ImageLimits
from atelier.tasks.video.encode import VideoConfig, encode_chunk
from atelier.tasks.video.frames import read_frames
from atelier.tasks.video.index import VideoIndex, cut, read_index
from atelier.tasks.video.join import join, read_provenance
from tests.tasks.video.clips import clip, frame_pixels, packets, times_of

LIMITS = ImageLimits()
VARIABLE = [512 * number + 70 * (number % 3) for number in range(20)]
CONTAINERS: dict[str, dict[str, Any]] = {
    "phone.mp4": {"times": VARIABLE, "rotation": 90, "sounds": 1},
    "plain.mp4": {},
    "two-tracks.mkv": {"sounds": 2},
    "subtitled.mkv": {"subtitle": True, "chapter": True, "sounds": 1},
    "subtitled.mp4": {"subtitle": True, "chapter": True, "sounds": 1},
    "ten-bit.mkv": {"pix_fmt": "yuv420p10le"},
    "interlaced.mkv": {"interlaced": True},
    "web.webm": {"codec": "libvpx-vp9", "sounds": 1},
    "old.avi": {"codec": "mpeg4"},
    "edited.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "camera.m2ts": {"sounds": 1},
    "odd.mp4": {"size": (66, 50)},
}


def index_of(path: Path, **options: Any) -> VideoIndex:
    *_, index = read_index(path, LIMITS, **options)
    assert isinstance(index, VideoIndex)
    return VideoIndex.from_json(json.loads(json.dumps(index.to_json())))


def unpainted(path: Path, index: VideoIndex, codec: Any = "av1") -> list[bytes]:
    """The chunks of a video whose frames stay as they are."""
    chunks = [read_frames(path, index, index.chunk(number)) for number in range(len(index.cuts))]
    return [encode_chunk(frames, index, VideoConfig(codec), 95) for frames in chunks]


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_comes_out_has_the_times_and_packets_of_what_went_in(name: str, tmp_path: Path) -> None:
    source = clip(tmp_path / name, **CONTAINERS[name])
    index = index_of(source)
    format = {".mp4": "mp4", ".mov": "mp4", ".webm": "webm"}.get(source.suffix, "mkv")
    chunks, out = unpainted(source, index), tmp_path / f"out.{format}"
    assert join(chunks, source, index, out, format, b"<provenance/>") == []
    again = tmp_path / "again"
    join(chunks, source, index, again, format, b"<provenance/>")
    assert again.read_bytes() == out.read_bytes()
    assert read_provenance(out) == b"<provenance/>"

    exact = format == "mp4" or source.suffix in (".mkv", ".webm")  # Matroska counts milliseconds
    rounding = Fraction(0) if exact else Fraction(1, 1000)
    first, second = times_of(source), times_of(out)
    assert len(first) == len(second) == 20
    assert max(abs(a - b) for a, b in zip(first, second, strict=True)) <= rounding
    before, after = (packets(path, "audio", "subtitle") for path in (source, out))
    assert [one[2] for one in before] == [one[2] for one in after]
    assert all(abs(a[1] - b[1]) <= rounding for a, b in zip(before, after, strict=True))
    with av.open(str(out)) as made:
        assert made.metadata.get("title") == (None if source.suffix == ".m2ts" else "a moving square")
        assert len(made.chapters()) == CONTAINERS[name].get("chapter", False)
        assert abs((made.duration or 0) - 1e6 * float(second[-1] + Fraction(1, 25) - min(second[0], 0))) < 60_000


def test_frames_are_upright_in_right_colours_and_the_same_from_anywhere(tmp_path: Path) -> None:
    source = clip(tmp_path / "clip.mp4", 40, rotation=90)
    index = index_of(source)
    assert (index.width, index.height, index.frames, index.keys[:3]) == (48, 64, 40, (0, 12, 24))
    whole = read_frames(source, index, range(40))
    shown = np.stack([np.rot90(frame_pixels(number)) for number in range(40)])
    assert np.abs(np.stack(whole).astype(int) - shown).mean() < 6  # chroma has half the size
    assert abs((np.stack(whole).astype(int) - shown).mean()) < 1
    assert [x.tobytes() for x in read_frames(source, index, range(17, 31))] == [x.tobytes() for x in whole[17:31]]
    assert read_frames(source.read_bytes(), index, range(39, 40))[0].tobytes() == whole[39].tobytes()
    assert read_frames(source, index, range(2), longest=32)[1].shape == (32, 24, 3)


@pytest.mark.parametrize("codec", ["av1", "vp9", "h264"])
def test_a_chunk_is_the_same_bytes_each_time_and_near_its_frames(codec: str, tmp_path: Path) -> None:
    index = index_of(clip(tmp_path / "clip.mp4", 9))
    frames = [frame_pixels(number) for number in range(9)]
    made = encode_chunk(frames, index, VideoConfig(codec), 95)  # type: ignore[arg-type]
    assert made == encode_chunk(frames, index, VideoConfig(codec), 95)  # type: ignore[arg-type]
    with av.open(io.BytesIO(made)) as container:
        assert [packet.is_keyframe for packet in container.demux(video=0) if packet.size] == [True] + [False] * 8
    with av.open(io.BytesIO(made)) as container:
        back = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(int)
    assert abs((back - np.stack(frames)).mean()) < 3


def test_chunks_begin_at_key_frames_and_are_never_long() -> None:
    assert cut(10, [0], 64 * 48) == [0]
    assert cut(200, [0, 50, 100, 190], 64 * 48) == [0, 50, 100, 164]
    assert cut(130, [0], 64 * 48) == [0, 64, 128]
    assert cut(40, [0], 4096 * 2304) == [0, 8, 16, 24, 32]


def test_what_cannot_be_read_says_why_and_what_is_left(tmp_path: Path) -> None:
    whole = clip(tmp_path / "whole.mkv", 50, sounds=1).read_bytes()
    cut_off = tmp_path / "cut.mkv"
    cut_off.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadImage, match=r"ends after .* seconds: \d+ frames can be read, and --salvage paints these"):
        index_of(cut_off)
    assert 5 < index_of(cut_off, salvage=True).frames < 50
    (tmp_path / "text.mp4").write_text("no video at all")
    with pytest.raises(BadImage, match="cannot be read"):
        index_of(tmp_path / "text.mp4")
    clip(tmp_path / "alpha.webm", 3, codec="libvpx-vp9", pix_fmt="yuva420p")
    with pytest.raises(BadImage, match="transparent"):
        index_of(tmp_path / "alpha.webm")
    with pytest.raises(BadImage, match="pixels, more than"):
        next(read_index(clip(tmp_path / "large.mp4", 2), ImageLimits(max_pixels=1000)))
    mistitled = clip(tmp_path / "title.mp4", 3)
    mistitled.write_bytes(mistitled.read_bytes().replace(b"a moving square", b"a moving \xff\xfequar"))
    assert index_of(mistitled).frames == 3
    (tmp_path / "link.mp4").symlink_to(tmp_path / "whole.mkv")
    with pytest.raises(BadImage, match="cannot be read"):
        index_of(tmp_path / "link.mp4")


def test_a_playlist_reads_no_other_file(tmp_path: Path) -> None:
    secret = clip(tmp_path / "secret.m2ts", 5)
    playlist = tmp_path / "list.mp4"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n")
    with pytest.raises(BadImage, match="cannot be read"):
        index_of(playlist)
    playlist.write_text(f"ffconcat version 1.0\nfile '{secret}'\n")
    with pytest.raises(BadImage, match="cannot be read"):
        index_of(playlist)


@pytest.mark.parametrize("damage", [{"cuts": [5]}, {"times": []}, {"width": "wide"}, {"more": 1}])
def test_a_damaged_index_is_refused(damage: dict[str, Any], tmp_path: Path) -> None:
    index = index_of(clip(tmp_path / "clip.mp4", 3)).to_json()
    with pytest.raises(ValueError, match=r".+"):
        VideoIndex.from_json(json.loads(json.dumps(index | damage)))
