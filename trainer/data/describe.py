"""What is said of a finished data set, and of a source that gave nothing.

Owns the manifest's content and the words for an empty result. Decides nothing
about pictures.
"""

from typing import Any, cast

import numpy as np
import PIL

from trainer import __version__
from trainer.data import decode, dedup, encode, resizing
from trainer.data.findings import Findings
from trainer.data.ledger import KEPT, NO_PICTURE, REJECTED, Ledger
from trainer.data.options import PrepareOptions
from trainer.data.rejection import REMEDIES
from trainer.data.shards import (
    Counts,
    Encoding,
    Manifest,
    Resize,
    Shard,
    SourceInfo,
    fingerprint,
)
from trainer.errors import DataError

_SIZES_PX = (512, 256, 128, 64, 32, 16, 8)


def describe(
    ledger: Ledger,
    options: PrepareOptions,
    wanted: dict[str, Any],
    source: SourceInfo,
    shards: tuple[Shard, ...],
) -> Manifest:
    """Returns the manifest.

    Args:
        ledger: Holds what became of every file.
        options: What was asked for.
        wanted: The same as it is recorded.
        source: Where the pictures came from.
        shards: What was written.
    """
    drawn = source.address.startswith("drawn:")
    library = f"pillow {PIL.__version__}"
    filter_name = "none: drawn at this size" if drawn else resizing.FILTER_NAME
    return Manifest(
        size_px=options.size_px,
        encoding=cast(Encoding, options.encoding),
        resize=Resize(filter=filter_name, library=library),
        crop="drawn" if drawn else options.crop,
        decoding={} if drawn else _settings(options),
        source=source,
        options=wanted,
        versions=versions(options),
        counts=_counts(ledger, shards),
        shards=shards,
        fingerprint=fingerprint(options.size_px, options.encoding, shards),
    )


def _counts(ledger: Ledger, shards: tuple[Shard, ...]) -> Counts:
    validation = sum(shard.records for shard in shards if shard.split == "validation")
    return Counts(
        train=ledger.count(KEPT) - validation,
        validation=validation,
        rejected=ledger.count(REJECTED),
        not_pictures=ledger.count(NO_PICTURE),
        reasons=Findings(ledger.database).reasons(),
    )


def versions(options: PrepareOptions) -> dict[str, str]:
    """Returns the versions of what may change a pixel."""
    found = {"catgan": __version__, "pillow": PIL.__version__, "numpy": np.__version__}
    if options.crop == "face":
        import cv2

        found["opencv"] = cv2.__version__
    return found


def _settings(options: PrepareOptions) -> dict[str, Any]:
    """Returns the choices behind the options."""
    settings: dict[str, Any] = {
        **decode.DECODING,
        options.encoding: encode.SETTINGS[options.encoding],
    }
    if options.crop == "landmarks":
        from trainer.data import crop_landmarks

        settings["landmarks"] = crop_landmarks.SETTINGS
    if options.crop == "face":
        from trainer.data import crop_face

        settings["face"] = crop_face.SETTINGS
    if options.dedup:
        settings["dedup"] = dedup.SETTINGS
    return settings


def must_have_pictures(ledger: Ledger, address: str) -> None:
    """Raises DataError where no picture is left, with the reasons counted."""
    if ledger.count(KEPT):
        return
    findings = Findings(ledger.database)
    reasons = findings.reasons()
    if not reasons:
        others = ledger.count(NO_PICTURE)
        raise DataError(
            f"{address} holds no pictures" + (f", only {others:,} other files" if others else ""),
            expected="files in JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIF format",
            remedy="give the folder or archive that holds them; archives inside folders are "
            "not opened",
        )
    counted = "; ".join(f"{count:,} {reason}" for reason, count in reasons.items())
    raise DataError(
        f"none of the {sum(reasons.values()):,} files of {address} can be used: {counted}",
        expected="at least one picture",
        remedy=_remedy(findings, next(iter(reasons))),
    )


def _remedy(findings: Findings, reason: str) -> str:
    side = findings.median_small_side()
    if reason == "smaller than asked for" and side:
        fitting = next((size for size in _SIZES_PX if size <= side), None)
        if fitting:
            return f"--size {fitting}: half of them are at least {side} px"
    return REMEDIES[reason]
