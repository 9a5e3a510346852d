"""Bad sources, pictures and archives."""

import gzip
import io
import zipfile

from PIL import Image

from tests.cli.bad_input import bad


@bad(3, "kats", "cats")
def source_missing(place):
    (place.folder / "cats").mkdir()
    return ["prepare", "kats", "set"]


@bad(3, "no pictures")
def source_empty(place):
    (place.folder / "cats").mkdir()
    return ["prepare", "cats", "set"]


@bad(3, "no pictures", "2 other files")
def source_without_pictures(place):
    place.file("cats/a.txt", "x")
    place.file("cats/b.csv", "x")
    return ["prepare", "cats", "set"]


@bad(3, "smaller than asked for", "--size 32")
def pictures_too_small(place):
    place.picture("cats/a.png")
    return ["prepare", "cats", "set", "--size", "64"]


@bad(3, "not square", "--crop center")
def pictures_not_square(place):
    place.picture("cats/a.png", width=70)
    return ["prepare", "cats", "set", "--size", "32", "--crop", "none"]


@bad(3, "no landmarks", ".cat")
def pictures_without_landmarks(place):
    place.picture("cats/a.png")
    return ["prepare", "cats", "set", "--size", "32", "--crop", "landmarks"]


@bad(3, "1 empty file", "1 text in place of a picture")
def pictures_that_are_none(place):
    place.file("cats/a.jpg")
    place.file("cats/b.jpg", "<!DOCTYPE html><html><body>404</body></html>")
    return ["prepare", "cats", "set"]


@bad(3, "cut short")
def picture_cut_short(place):
    path = place.picture("cats/a.png", 64, 64)
    path.write_bytes(path.read_bytes()[:2000])
    return ["prepare", "cats", "set", "--size", "32"]


@bad(3, "too many pixels")
def picture_that_is_a_bomb(place):
    stream = io.BytesIO()
    Image.new("1", (11_000, 11_000)).save(stream, "png")
    place.file("cats/a.png", stream.getvalue())
    return ["prepare", "cats", "set"]


@bad(3, "cats.zip", "neither a zip nor a tar")
def archive_that_is_none(place):
    place.file("cats.zip", "PK, nearly")
    return ["prepare", "cats.zip", "set"]


@bad(3, "cats.zip")
def archive_cut_short(place):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.write(place.picture("a.png"), "a.png")
    place.file("cats.zip", stream.getvalue()[:-30])
    return ["prepare", "cats.zip", "set"]


@bad(3, "cats.tar.gz")
def archive_with_a_broken_stream(place):
    place.file("cats.tar.gz", gzip.compress(bytes(10_000))[:-20])
    return ["prepare", "cats.tar.gz", "set"]


@bad(2, "drawn:many")
def drawn_cats_without_a_number(place):
    return ["prepare", "drawn:many", "set"]


@bad(2, "4", "8 to 1024", "--size 64")
def prepared_size_out_of_range(place):
    return ["prepare", "drawn:9", "set", "--size", "4"]


@bad(2, "0.9", "--val-fraction 0.05")
def everything_held_out(place):
    return ["prepare", "drawn:9", "set", "--val-fraction", "0.9"]


@bad(2, "gone.txt")
def exclude_list_missing(place):
    return ["prepare", "drawn:9", "set", "--exclude", "gone.txt"]


@bad(2, "workers is 0")
def no_workers(place):
    return ["prepare", "drawn:9", "set", "--workers", "0"]


@bad(2, "a folder of its own")
def data_set_on_top_of_its_source(place):
    place.picture("cats/a.png")
    return ["prepare", "cats", "cats", "--size", "32"]


@bad(2, "datasets/tiny")
def data_set_over_another(place):
    place.dataset()
    return ["prepare", "drawn:9", "datasets/tiny", "--size", "32"]


@bad(3, "no pictures")
def bare_pictures_without_any(place):
    place.file("cats/a.txt", "x")
    return ["train", "--pictures", "cats"]


@bad(3, "too small", "7 px", "at least 32 px")
def bare_pictures_too_small(place):
    place.picture("cats/a.png", 9, 7)
    return ["train", "--pictures", "cats"]
