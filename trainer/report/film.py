"""The grids of a run as a film in which cats emerge.

Owns the frames, their captions, and a file that stays within its limit. GIF and WebP are
Pillow's, MP4 is PyAV's, which is an extra (`pip install av`).
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from trainer import storage
from trainer.errors import ConfigError, DataError
from trainer.report import grids
from trainer.report.run_view import RunView, read_run

_CAPTION_PX = 18
_GREY, _BLACK, _LIGHT = (150, 150, 150), (0, 0, 0), (235, 235, 235)
# The last picture is what one wants to look at.
_LAST_SECS = 2.0
_SMALLER = 0.8
_LEAST_FRAMES, _LEAST_SIDE_PX = 4, 96


@dataclass(frozen=True)
class FilmOptions:
    """What film is wanted.

    Attributes:
        across, down: Pictures of the grid that are shown.
        frames: At most.
        frames_per_sec: Speed.
        side_px: Width, at most.
        most_mb: Size of the file, at most.
    """

    across: int = 6
    down: int = 4
    frames: int = 60
    frames_per_sec: float = 8.0
    side_px: int = 480
    most_mb: float = 5.0


def film(address: str, out: str, wish: FilmOptions) -> dict[str, Any]:
    """Writes a film of a run's fixed-latent grids.

    Args:
        address: Of the run.
        out: File or object, ending in .gif, .webp or .mp4.
        wish: See `FilmOptions`.

    Returns:
        `out`, `frames`, `bytes`, `width`, `height`.

    Raises:
        ConfigError: The ending is unknown, or PyAV is missing.
        DataError: The run has fewer than two grids, or the film cannot be made that small.
        CheckpointError, StorageError: See `read_run`.
    """
    encode = _encoder(out)
    run = read_run(address)
    if len(run.samples) < 2:
        raise DataError(
            f"{run.address} has {len(run.samples)} sample grids",
            expected="at least two, which training draws every samples.every_steps",
            remedy="train on, or with samples.every_steps=100",
        )
    pictures, data = _fitting(run, wish, encode)
    place, name = storage.split_address(out)
    folder = storage.open_folder(place)
    folder.write(name, data)
    return {
        "out": folder.address_of(name),
        "frames": len(pictures),
        "bytes": len(data),
        "width": pictures[0].width,
        "height": pictures[0].height,
    }


def _fitting(run: RunView, wish: FilmOptions, encode: Callable) -> tuple[list[Image.Image], bytes]:
    """Makes the film smaller until it is within the limit: fewer frames, then fewer pixels."""
    # No film has more frames than there are grids: it would be made again and be the same.
    most = min(wish.frames, len(run.samples))
    frames, side_px = most, wish.side_px
    drawn: dict[int, Image.Image] = {}
    while True:
        pictures = frames_of(run, wish, frames, side_px, drawn)
        data = encode(pictures, wish.frames_per_sec)
        if len(data) <= wish.most_mb * 1e6:
            return pictures, data
        if frames * _SMALLER >= max(_LEAST_FRAMES, most / 3):
            frames = int(frames * _SMALLER)
        elif side_px * _SMALLER >= _LEAST_SIDE_PX:
            side_px = int(side_px * _SMALLER)
        else:
            raise DataError(
                f"{len(pictures)} frames of {pictures[0].width} px have {len(data) / 1e6:.1f} MB",
                expected=f"at most {wish.most_mb:g} MB",
                remedy="allow more with --most-mb, or show fewer pictures with --across and --down",
            )


def frames_of(
    run: RunView, wish: FilmOptions, frames: int, side_px: int, drawn: dict[int, Image.Image]
) -> list[Image.Image]:
    """Draws the frames, all of one even size; `drawn` keeps grids that were read before."""
    last = run.samples[-1]
    pictures = []
    for step in grids.chosen(run.samples, frames):
        if step not in drawn:
            drawn[step] = grids.first_pictures(
                grids.read_grid(run, step), run.config.dataset.size_px, wish.across, wish.down
            )
        pictures.append(_frame(drawn[step], side_px, step, last, run.global_batch))
    first = pictures[0].size
    return [picture if picture.size == first else picture.resize(first) for picture in pictures]


def _frame(part: Image.Image, side_px: int, step: int, last: int, batch: int) -> Image.Image:
    """A grid's part with the pictures seen below it, and a bar of how far the run is."""
    if part.width <= side_px:
        part = grids.enlarged(part, side_px)
    else:
        part = part.resize((side_px, part.height * side_px // part.width), Image.Resampling.LANCZOS)
    # Video wants even sides.
    width, height = part.width // 2 * 2, (part.height + _CAPTION_PX) // 2 * 2
    frame = Image.new("RGB", (width, height), _BLACK)
    frame.paste(part, (0, 0))
    pen, font = ImageDraw.Draw(frame), ImageFont.load_default(13)
    pen.rectangle((0, part.height, round(width * step / max(1, last)), part.height + 2), fill=_GREY)
    pen.text((4, part.height + 4), f"{step * batch:,} pictures seen", _LIGHT, font=font)
    return frame


def _encoder(out: str) -> Callable[[Sequence[Image.Image], float], bytes]:
    ending = out.rpartition(".")[2].lower()
    found = {"gif": _gif, "webp": _webp, "mp4": _mp4}.get(ending)
    if found is None:
        raise ConfigError(
            f"--out {out} does not say what kind of film",
            expected="a name that ends in .gif, .webp or .mp4",
            remedy="--out cats.webp",
        )
    if ending == "mp4":
        _av()
    return found


def _millis(count: int, frames_per_sec: float) -> list[int]:
    return [round(1000 / frames_per_sec)] * (count - 1) + [round(1000 * _LAST_SECS)]


def _gif(pictures: Sequence[Image.Image], frames_per_sec: float) -> bytes:
    # One palette for all: a palette for each makes the colours flicker.
    palette = pictures[-1].quantize(256, dither=Image.Dither.NONE)
    told = [picture.quantize(palette=palette) for picture in pictures]
    return _saved("GIF", told, frames_per_sec, optimize=False)


def _webp(pictures: Sequence[Image.Image], frames_per_sec: float) -> bytes:
    return _saved("WEBP", pictures, frames_per_sec, quality=70, method=3)


def _saved(form: str, pictures: Sequence[Image.Image], rate: float, **how: Any) -> bytes:
    buffer = io.BytesIO()
    pictures[0].save(
        buffer,
        format=form,
        save_all=True,
        append_images=pictures[1:],
        duration=_millis(len(pictures), rate),
        loop=0,
        **how,
    )
    return buffer.getvalue()


def _mp4(pictures: Sequence[Image.Image], frames_per_sec: float) -> bytes:
    av = _av()
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("h264", rate=Fraction(frames_per_sec).limit_denominator(1000))
        stream.width, stream.height = pictures[0].size
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "23"}
        held = [pictures[-1]] * max(1, round(frames_per_sec * _LAST_SECS))
        for picture in [*pictures, *held]:
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def _av() -> Any:
    try:
        import av
    except ImportError:
        raise ConfigError(
            "MP4 needs PyAV, which is not installed",
            expected="the extra `film`",
            remedy="pip install av, or --out cats.webp",
        ) from None
    return av
