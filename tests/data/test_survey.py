"""A look at pictures that only some installations can read."""

import pytest
from PIL import Image, ImageFile

from tests.data.pictures import noise, write_folder
from trainer.data import decode, survey

HEIC = b"\0\0\0\x18ftypheic" + bytes(40)


@pytest.fixture
def heif(monkeypatch):
    """A reader in the place of pillow-heif's, which knows one picture of 40 x 30."""

    class Reader(ImageFile.ImageFile):
        format = "HEIF"

        def _open(self):
            self._size, self._mode = (40, 30), "RGB"

    def register():
        monkeypatch.setitem(Image.OPEN, "HEIF", (Reader, lambda head: head[4:8] == b"ftyp"))
        return True

    monkeypatch.setattr(decode, "_register_heif", register)


def test_heic_pictures_are_counted_where_they_can_be_read(tmp_path, heif):
    write_folder(tmp_path, {"a.heic": HEIC, "b.heic": HEIC, "c.png": noise(0), "d.jpg": b"\xff"})
    found = survey.look(str(tmp_path))
    assert (found.count, found.sides_px) == (3, (24, 30, 30))
