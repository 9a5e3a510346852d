"""The real pictures, whole. Slow; the default run has parts of it in `test_prepare.py`."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.data.pictures import contents
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare
from trainer.data.shards import MAX_SHARD_BYTES

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("name", "size", "count"), [("cats128", 64, 4374), ("cats256", 256, 800)])
def test_cat_faces(tmp_path, shared_data, name, size, count):
    source = shared_data / f"{name}.zip"
    options = PrepareOptions(size_px=size, dedup=True)
    manifest = prepare(str(source), str(tmp_path / "set"), options)
    counts = manifest.counts
    # Near-duplicates were taken out of these before.
    assert (counts.train + counts.validation, counts.rejected) == (count, 0)
    assert counts.validation == round(0.05 * count)
    assert len(manifest.split("train")) % 16 == 0
    assert max(shard.bytes for shard in manifest.shards) <= MAX_SHARD_BYTES
    pictures = contents(tmp_path / "set", manifest)
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(data))) for data in pictures.values()])
    assert pixels.shape == (count, size, size, 3)
    # Faces lie in the middle: it differs from the rim in the mean picture.
    mean = pixels.mean(0)
    assert np.abs(mean[size // 2, size // 2] - mean[0, 0]).max() > 5


def test_landmarks(tmp_path, shared_data):
    options = PrepareOptions(size_px=64, crop="landmarks", val_fraction=0)
    manifest = prepare(str(shared_data / "cat-landmarks"), str(tmp_path / "set"), options)
    assert manifest.counts.train == 23
    assert manifest.counts.reasons == {"smaller than asked for": 1}
