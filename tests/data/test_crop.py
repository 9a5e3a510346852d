"""Which part of a picture is taken, and that nothing is stretched, enlarged or aliased."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainer.data.crop import crop_and_resize
from trainer.data.crop_landmarks import face_square, parse_landmarks
from trainer.data.decode import decode
from trainer.data.rejection import Rejected

# A face 100 px wide between the ears' outer ends, eyes level, upright.
FACE = np.array(
    [[80, 90], [120, 90], [100, 125], [50, 70], [55, 30], [75, 55], [125, 55], [145, 30], [150, 70]]
)


def text_of(points: np.ndarray) -> str:
    return "9 " + " ".join(f"{value:.3f}" for value in points.reshape(-1))


def turned(points: np.ndarray, degrees: float, about=(100, 100)) -> np.ndarray:
    angle = math.radians(degrees)
    matrix = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return (points - about) @ matrix.T + about


def gradient(width: int, height: int) -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 0 * x], -1).astype(np.uint8))


def test_center_takes_the_largest_square():
    result = np.asarray(crop_and_resize(gradient(300, 100), "center", 50)).astype(int)
    assert result.shape == (50, 50, 3)
    assert abs(result[:, 0, 0].mean() - 255 * 101 / 299) < 2
    assert abs(result[:, -1, 0].mean() - 255 * 198 / 299) < 2
    assert result[0, :, 1].max() < 4
    assert result[-1, :, 1].min() > 251


def test_none_takes_square_pictures_only():
    assert crop_and_resize(gradient(100, 100), "none", 50).size == (50, 50)
    assert crop_and_resize(gradient(200, 199), "none", 50).size == (50, 50)
    with pytest.raises(Rejected, match="not square: 120x100"):
        crop_and_resize(gradient(120, 100), "none", 50)


def test_a_picture_of_the_size_asked_for_stays_as_it_is():
    image = gradient(64, 64)
    np.testing.assert_array_equal(crop_and_resize(image, "center", 64), image)


def test_nothing_is_enlarged():
    with pytest.raises(Rejected, match="63 px, asked for 64") as caught:
        crop_and_resize(gradient(100, 63), "center", 64)
    assert caught.value.side_px == 63


def test_resizing_is_antialiased():
    board = np.indices((256, 256)).sum(0) % 2 * 255
    image = Image.fromarray(np.repeat(board[..., None], 3, 2).astype(np.uint8))
    result = np.asarray(crop_and_resize(image, "center", 32)).astype(int)
    assert np.abs(result - 127).max() < 6


# --- landmarks ---


@pytest.mark.parametrize("degrees", [0, 7, -30, 90, 180])
def test_eyes_become_level_at_their_place(degrees):
    points = turned(FACE, degrees)
    image = Image.new("RGB", (200, 200))
    for eye, colour in ((0, (255, 0, 0)), (1, (0, 255, 0))):
        x, y = points[eye].round().astype(int)
        image.paste(colour, (x - 2, y - 2, x + 3, y + 3))
    result = np.asarray(crop_and_resize(image, "landmarks", 100, text_of(points))).astype(float)
    found = []
    for channel in (0, 1):
        weight = result[..., channel]
        rows, columns = np.indices(weight.shape) + 0.5
        found.append([(weight * along).sum() / weight.sum() for along in (columns, rows)])
    (left_x, left_y), (right_x, right_y) = found
    assert abs(left_y - right_y) < 1.2
    assert abs((left_x + right_x) / 2 - 50) < 1.2
    assert abs((left_y + right_y) / 2 - 40) < 1.2
    assert abs(right_x - left_x - 40) < 1.5


@given(st.floats(-180, 180), st.floats(0.5, 3), st.floats(-20, 20))
def test_the_square_is_as_wide_as_the_ears_are_apart(degrees, scale, shift):
    points = turned(FACE, degrees) * scale + shift + 200
    square = face_square(points, 2000, 2000)
    assert square.side_px == pytest.approx(100 * scale)
    corners = square.corners()
    sides = np.linalg.norm(np.roll(corners, -1, 0) - corners, axis=1)
    np.testing.assert_allclose(sides, square.side_px)
    eyes = points[:2].mean(0)
    inside = np.array([(eyes - square.origin) @ square.right, (eyes - square.origin) @ square.down])
    np.testing.assert_allclose(inside / square.side_px, [0.5, 0.4], atol=1e-9)


def test_a_level_face_is_filtered_like_any_other_picture():
    """Turning costs no sharpness: at no turn the result is that of a plain resize."""
    noise = np.random.RandomState(0).randint(0, 256, (400, 400, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((800, 800), Image.Resampling.BICUBIC)
    points = FACE * 4.0
    square = face_square(points, 800, 800)
    left, top = square.origin
    box = (left, top, left + square.side_px, top + square.side_px)
    plain = image.resize((100, 100), Image.Resampling.LANCZOS, box=box)
    ours = crop_and_resize(image, "landmarks", 100, text_of(points))
    difference = np.asarray(plain).astype(int) - np.asarray(ours)
    assert np.abs(difference).max() <= 2


def test_what_lies_outside_is_a_mirror_image():
    points = FACE - [60, 0]
    image = gradient(200, 200)
    result = np.asarray(crop_and_resize(image, "landmarks", 100, text_of(points))).astype(int)
    # The picture begins at x = 10 of the square: left of it red falls, then rises.
    assert result[50, 0, 0] > result[50, 9, 0] < result[50, 30, 0]


def moved(index: int, x: float, y: float) -> np.ndarray:
    points = FACE.astype(float)
    points[index] = x, y
    return points


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (moved(1, 80, 90), "eyes 0.0 px apart"),
        (moved(2, 100, 60), "mouth not below the eyes"),
        (moved(2, 190, 125), "mouth not between the ears"),
        (FACE * [1, -1] + [0, 200], "mouth not below the eyes"),
        (FACE[[1, 0, 2, 6, 7, 8, 3, 4, 5]], "mouth not below the eyes"),
        (FACE[[0, 1, 2, 6, 7, 8, 3, 4, 5]], "left ear not left of the right"),
        (moved(4, 55, 150), "ears not above the eyes"),
        (moved(4, 55, -90), "ears too high"),
        (moved(8, 70, 70), "ears 0.5 times as far apart as the eyes"),
        (FACE + 1000, "an eye lies outside of 200x200"),
        (moved(7, 255, 30), "a point lies 55 px outside"),
    ],
)
def test_what_cannot_be_a_face_is_rejected(points, said):
    with pytest.raises(Rejected, match=said) as caught:
        crop_and_resize(gradient(200, 200), "landmarks", 16, text_of(points))
    assert caught.value.reason == "landmarks cannot be a face"


@pytest.mark.parametrize(
    "text", ["", "9", "9 1 2 3", "8 " + "1 " * 18, "9 " + "x " * 18, "9 " + "nan " * 18, "ä\0"]
)
def test_files_that_are_no_landmarks_are_rejected(text):
    with pytest.raises(Rejected, match="expected 9 and 18 numbers"):
        crop_and_resize(gradient(200, 200), "landmarks", 16, text)


def test_small_faces_faces_at_the_edge_and_missing_landmarks_are_rejected():
    with pytest.raises(Rejected, match="100 px, asked for 101"):
        crop_and_resize(gradient(200, 200), "landmarks", 101, text_of(FACE))
    with pytest.raises(Rejected, match=r"face cut off by the edge: \d+% outside"):
        crop_and_resize(gradient(200, 108), "landmarks", 16, text_of(FACE))
    with pytest.raises(Rejected, match="no landmarks"):
        crop_and_resize(gradient(200, 200), "landmarks", 16, None)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=18, max_size=18))
def test_any_numbers_give_a_square_or_a_reason(numbers):
    try:
        points = parse_landmarks("9 " + " ".join(map(repr, numbers)))
        assert face_square(points, 500, 400).side_px > 0
    except Rejected:
        return


def test_real_faces(shared_data):
    """All 24 photographs of the CAT data set give a face; two have points outside."""
    sides = {}
    for path in sorted((shared_data / "cat-landmarks").glob("*.jpg")):
        text = path.with_name(path.name + ".cat").read_text()
        crop = crop_and_resize(decode(path.read_bytes()), "landmarks", 48, text)
        assert crop.size == (48, 48)
        points = parse_landmarks(text)
        sides[path.name] = np.linalg.norm(points[8] - points[3])
    assert len(sides) == 24
    assert min(sides, key=sides.get) == "00000001_008.jpg"


# --- faces ---


def test_faces_that_are_found_are_where_the_landmarks_say(shared_data):
    from trainer.data.crop_face import face_box

    found = 0
    for path in sorted((shared_data / "cat-landmarks").glob("*.jpg")):
        points = parse_landmarks(path.with_name(path.name + ".cat").read_text())
        try:
            left, top, right, bottom = face_box(decode(path.read_bytes()), 16)
        except Rejected as why:
            assert why.reason == "no cat face found"  # noqa: PT017  (either way is right)
            continue
        if path.name == "00000003_015.jpg":  # its landmarks are wrong
            continue
        found += 1
        assert right - left == pytest.approx(bottom - top)
        assert (points[:3] > [left, top]).all()
        assert (points[:3] < [right, bottom]).all()
    assert found >= 12


def test_no_face_is_found_where_there_is_none():
    with pytest.raises(Rejected, match="no cat face found: in 300x200"):
        crop_and_resize(gradient(300, 200), "face", 32)
