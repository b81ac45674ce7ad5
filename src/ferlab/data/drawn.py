"""Faces drawn by the program: a stand-in for FER-2013 that needs no download."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from tqdm import tqdm

from ferlab.checks import check_choice, check_integer
from ferlab.data.audit import FER2013_COUNTS
from ferlab.data.store import SPLITS, ImageStore
from ferlab.emotions import EMOTIONS, IMAGE_SIZE

_Points = NDArray[np.complex128]
_ZOOM = 4  # drawn larger, then averaged down, which smooths the edges
_ALONG = np.linspace(-1, 1, 13)  # from end to end of an eye, a brow, a mouth
_BOW = 1 - _ALONG**2
_CIRCLE = np.exp(2j * np.pi * np.arange(24) / 24)
_ACROSS = np.linspace(-1, 1, IMAGE_SIZE, dtype=np.float32)  # of the image, left to right
_DOWN = _ACROSS[:, None]


@dataclass(frozen=True)
class Expression:
    """What a face does; 1 is half the width of the face."""

    brow_inner: float  # up
    brow_outer: float  # up
    brow_arch: float
    brow_pull: float  # towards the nose
    eye_upper: float  # from the middle of the eye up to the lid
    eye_lower: float  # and down
    eye_droop: float  # outer corner down
    nose_wrinkle: float  # depth, 0-1
    cheek_fold: float  # depth, 0-1, from the nose past the corners of the mouth
    mouth_curve: float  # corners up
    mouth_width: float  # half of it
    lip_raise: float  # upper lip above the line of the mouth
    jaw_drop: float  # lower lip below it
    blunt: float  # 0: the open mouth ends in points, 1: in a box
    teeth: float  # share of the open mouth, from above; from below too if it is blunt
    sneer: float  # upper lip up on one side


# fmt: off
_FULL = {emotion: np.array(rows) / 100 for emotion, rows in {
    #            ----- brow ------  ---- eye ----  nose cheek ------------ mouth ------------
    #            in   out arch pull  up  low droop fold fold  curve wid lip jaw blunt teeth sneer
    "angry":    [(-24, 12,  0, 10,    8,  6, -7,     0,   0,  -10, 32,   0,  0,   0,  0,  0),
                 (-24, 12,  0, 10,    8,  6, -7,     0,  60,   -6, 40,  11, 15, 100, 38,  0)],
    "disgust":  [(-16, -6,  2,  6,    5,  2,  0,   100, 100,  -14, 36,  10,  2,   0, 90, 20),
                 (-16, -6,  2,  6,    5,  2,  0,   100, 100,  -10, 36,  10, 16,   0, 20, 10)],
    "fear":     [( 26,  2, -2, 10,   24, 16,  4,     0,   0,   -8, 50,   6, 14, 100, 35,  0),
                 ( 26,  2, -2, 10,   24, 16,  4,     0,   0,  -12, 46,   8, 22,  80, 20,  0)],
    "happy":    [(  2,  2, 10,  0,   10,  2,  0,     0, 100,   20, 54,   0, 26,   0, 60,  0),
                 (  2,  2, 10,  0,   10,  2,  0,     0, 100,   20, 50,   0,  0,   0,  0,  0)],
    "neutral":  [(  0,  0,  6,  0,   13,  9,  0,     0,   0,    0, 36,   0,  0,   0,  0,  0)],
    "sad":      [( 18,-12, -3,  4,    5,  7,  8,     0,   0,  -18, 32,   0,  3,   0, 20,  0)],
    "surprise": [( 22, 22, 16, -2,   22, 16,  0,     0,   0,    0, 21,  14, 30,  20,  0,  0)],
}.items()}  # each emotion's expressions at full strength, in percent; a face shows one of them
# fmt: on
_NEUTRAL = _FULL["neutral"][0]
_LEAST, _MOST = (limit(np.concatenate(list(_FULL.values())), axis=0) for limit in (np.min, np.max))


@dataclass(frozen=True)
class _Pen:
    """Draws complex points, x to the right, y down, in half widths of the face; shade 1 is skin."""

    draw: ImageDraw.ImageDraw
    skin: float  # grey level
    yaw: float
    unit: complex  # half the face's width in drawn pixels, turned by the roll of the head
    origin: complex

    def fill(self, points: _Points, shade: float) -> None:
        self.draw.polygon(self._place(points), fill=min(245, int(self.skin * shade)))

    def stroke(self, points: _Points, shade: float, width: float = 0.05) -> None:
        self.draw.line(self._place(points), int(self.skin * shade), round(width * abs(self.unit)))

    def _place(self, points: _Points) -> list[float]:
        # a turn of the head moves its middle most and leaves the outline where it is
        turned = points + self.yaw * np.maximum(0, 1 - points.real**2)
        placed: list[float] = (turned * self.unit + self.origin).view(np.float64).tolist()
        return placed


def draw_face(emotion: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a face that shows `emotion`: (48, 48), grey levels 0-255.

    Identity, pose, light, background, blur, noise and the strength of the expression are random.

    Raises:
        FerlabError: `emotion` is not one of EMOTIONS.
    """
    full = _FULL[check_choice("emotion", emotion, EMOTIONS)]
    shown = _NEUTRAL + rng.uniform(0.35, 1.1) * (full[rng.integers(len(full))] - _NEUTRAL)
    shown += 0.1 * (_MOST - _LEAST) * rng.standard_normal(len(shown))
    face = Expression(*np.clip(shown, _LEAST, _MOST).tolist())
    side = IMAGE_SIZE * _ZOOM
    image = Image.new("L", (side, side), int(rng.uniform(20, 235)))
    unit = side * rng.uniform(0.37, 0.44) * np.exp(1j * rng.normal(0, 0.12))
    origin = side * (0.5 + 0.46j + 0.03 * complex(*rng.standard_normal(2)))
    skin, yaw = rng.uniform(95, 215), rng.normal(0, 0.13)
    _draw_head(_Pen(ImageDraw.Draw(image), skin, yaw, unit, origin), face, rng)
    return _photograph(image, rng)


def _draw_head(pen: _Pen, face: Expression, rng: np.random.Generator) -> None:
    hair, volume = rng.uniform(0.1, 0.9), rng.uniform(1.05, 1.2)
    bald, drop = rng.random() < 0.2, rng.choice((0.15, -0.3, -0.3))
    narrow = 1 - rng.uniform(0, 0.28) * np.maximum(0, _CIRCLE.imag) ** 2  # towards the chin
    outline = _CIRCLE.real * narrow + 1j * _CIRCLE.imag * rng.uniform(1.25, 1.4)
    pen.fill(1.9 * _CIRCLE.real + 1j * _CIRCLE.imag + 2.4j, rng.uniform(0.2, 1.2))  # shoulders
    pen.fill(np.array([-0.6 + 0.8j, 0.6 + 0.8j, 0.6 + 1.5j, -0.6 + 1.5j]), 0.65)  # neck
    for ear in (-1, 1):
        pen.fill(ear + 0.14 * _CIRCLE.real + 0.26j * _CIRCLE.imag, 0.8)
    if not bald:
        pen.fill(volume * _CIRCLE.real + 1j * (1.4 * volume * _CIRCLE.imag + drop), hair)
    for size, shade in ((1, 0.82), (0.94, 0.93), (0.86, 1)):  # rounds the cheeks
        pen.fill(size * outline, shade)
    _draw_nose(pen, face, rng)
    if rng.random() < 0.15:
        x = 0.93 * _ALONG
        beard = x + 1j * (0.62 - 0.5 * x**4 - 0.14 * np.maximum(0, 1 - 4 * x**2))
        pen.fill(np.append(beard, outline[1:12]), 0.3 + 0.5 * hair)
    _draw_mouth(pen, face, rng)
    _draw_eyes(pen, face, rng)
    if not bald:
        line = -rng.uniform(0.72, 1) + rng.uniform(-0.25, 0.25) * _ALONG + 0.35 * _ALONG**4
        pen.fill(np.append(_ALONG + 1j * line, 1.03 * outline[:11:-1]), hair)
    if rng.random() < 0.08:  # a hand before the face
        spot = rng.uniform(-0.8, 0.8) + 1j * rng.uniform(-0.4, 1.2)
        for start in spot + 0.17j * np.arange(4):
            pen.stroke(start + np.array([0, np.copysign(1.5, spot.real) + 0.5j]), 0.9, 0.15)


def _draw_nose(pen: _Pen, face: Expression, rng: np.random.Generator) -> None:
    tip, width = rng.uniform(0.22, 0.32) - 0.06 * face.nose_wrinkle, rng.uniform(0.16, 0.23)
    for level in (-0.2, -0.08, 0.04):
        wrinkle = 0.16 * _ALONG + 1j * (level + 0.05 * _ALONG**2)
        pen.stroke(wrinkle, 1 - 0.35 * face.nose_wrinkle)
    ridge = np.array([0.09 - 0.1j, 0.12 + 1j * tip])
    pen.stroke(ridge if rng.random() < 0.5 else -ridge.conj(), 0.86, 0.06)
    pen.stroke(width * _ALONG + 1j * (tip + 0.06 * _BOW), 0.7)
    for side in (-1, 1):
        pen.fill(side * 0.09 + 0.045 * _CIRCLE + 1j * tip, 0.45)
        x = np.array([width + 0.06, 0.9 * face.mouth_width + 0.1, face.mouth_width + 0.12])
        pen.stroke(side * x + 1j * np.array([tip, 0.45, 0.65]), 1 - 0.28 * face.cheek_fold)


def _draw_mouth(pen: _Pen, face: Expression, rng: np.random.Generator) -> None:
    x = face.mouth_width * rng.uniform(0.9, 1.1) * _ALONG
    lip = rng.uniform(0.03, 0.075) * np.sqrt(_BOW)
    opening = (1 - face.blunt) * _BOW + face.blunt * (1 - _ALONG**6)
    one_side = np.maximum(0, 1 - (2 * _ALONG - 1) ** 2)[:: rng.choice((-1, 1))]
    line = x + 1j * (rng.uniform(0.68, 0.76) - face.mouth_curve * (_ALONG**2 - 0.5))
    top = line - 1j * (face.lip_raise * opening + face.sneer * one_side)
    bottom = line + 1j * face.jaw_drop * opening
    gap = bottom - top
    lips = np.append(top - 1j * lip, (bottom + 1.3j * lip)[::-1])
    pen.fill(lips, rng.uniform(0.55, 0.8))
    if gap.imag.max() > 0.05:
        pen.fill(np.append(top, bottom[::-1]), 0.2)
        pen.fill(np.append(top, (top + face.teeth * gap)[::-1]), 1.4)
        pen.fill(np.append(bottom - face.blunt * min(face.teeth, 0.5) * gap, bottom[::-1]), 1.4)
    else:
        pen.stroke(line, 0.35)


def _draw_eyes(pen: _Pen, face: Expression, rng: np.random.Generator) -> None:
    height, centre, half = rng.uniform(-0.3, -0.2), rng.uniform(0.39, 0.46), rng.uniform(0.2, 0.25)
    gaze = rng.normal(0, 0.03) + 1j * rng.normal(0, 0.01)
    iris, brow, glasses = rng.uniform(0.2, 0.5), rng.uniform(0.2, 0.55), rng.random() < 0.12
    thick = rng.uniform(0.035, 0.065) * (1.2 - 0.5 * _ALONG)
    rest, rise = height - rng.uniform(0.27, 0.33), (face.brow_inner + face.brow_outer) / 2
    level = rest - rise - (face.brow_outer - face.brow_inner) / 2 * _ALONG - face.brow_arch * _BOW
    for lift in (0.12, 0.27):
        pen.stroke(0.45 * _ALONG + 1j * (rest - rise - lift - 0.06 * _BOW), 1 - 1.4 * max(rise, 0))
    for side in (-1, 1):
        middle = side * centre + 1j * height
        corners = middle + (side * half + 1j * face.eye_droop) * _ALONG  # from the nose outwards
        upper, lower = corners - 1j * face.eye_upper * _BOW, corners + 1j * face.eye_lower * _BOW
        pen.fill(middle + 0.3 * _CIRCLE.real + 0.24j * _CIRCLE.imag, 0.93)  # socket
        pen.fill(np.append(upper, lower[::-1]), 1.35)
        disc = middle + gaze + 0.13 * _CIRCLE
        lids = (np.interp(disc.real, lid.real[::side], lid.imag[::side]) for lid in (upper, lower))
        pen.fill(disc.real + 1j * np.clip(disc.imag, *lids), iris)
        pen.stroke(upper, 0.35, 0.06)
        pen.stroke(lower, 0.65, 0.035)
        frown = np.array([0.1 * side - 0.1j, 0.07 * side + 0.2j]) + 1j * rest
        pen.stroke(frown, 1 - 3.5 * max(face.brow_pull, 0))
        x = side * (centre + 1.25 * half * _ALONG - face.brow_pull * (1 - _ALONG) / 2)
        pen.fill(np.append(x + 1j * (level - thick), (x + 1j * (level + thick))[::-1]), brow)
        if glasses:
            pen.stroke(middle + 0.3 * _CIRCLE[np.arange(25) % 24], 0.25)
            pen.stroke(np.array([0.1 * side, 0]) + 1j * height, 0.25)


def _photograph(image: Image.Image, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the drawing lit from one side, out of focus and noisy: (48, 48)."""
    small = image.reduce(_ZOOM).filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.8)))
    across, down = rng.normal(0, 0.22), rng.normal(0, 0.22)
    light = 1 + across * _ACROSS + down * _DOWN - 0.12 * (_ACROSS**2 + _DOWN**2)
    lit: NDArray[np.float32] = np.asarray(small, np.float32) * light
    grey = rng.uniform(0.7, 1.2) * (lit - 128) + rng.normal(128, 15)
    grey += rng.uniform(1, 8) * rng.standard_normal(grey.shape, dtype=np.float32)
    return grey.clip(0, 255).astype(np.uint8)


def draw_store(size: int, seed: int) -> ImageStore:
    """Return `size` drawn faces in FER-2013's proportions of splits and classes.

    Equal seeds give equal stores; a larger size gives the same faces and more.

    Raises:
        FerlabError: `size` is not an integer >= 70, or `seed` not an integer >= 0.
    """
    check_integer("data.size", size, at_least=70, at_most=10**6)
    check_integer("seed", seed, at_least=0)
    shares = _share(size, tuple(map(sum, FER2013_COUNTS.values())), 0)
    faces = [
        (SPLITS.index(split), label, index)
        for (split, weights), share in zip(FER2013_COUNTS.items(), shares, strict=True)
        for label, count in enumerate(_share(share, weights, 2 if split == "training" else 1))
        for index in range(count)
    ]
    images = np.empty((size, 1, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    for row, face in enumerate(tqdm(faces, "drawing", unit="face", disable=None, leave=False)):
        images[row, 0] = draw_face(EMOTIONS[face[1]], np.random.default_rng([seed, *face]))
    splits, labels, _ = np.array(faces).T
    names = [f"drawn/{SPLITS[split]}/{EMOTIONS[label]}/{i:06d}.png" for split, label, i in faces]
    return ImageStore.from_arrays(images, labels, splits.astype(np.uint8), np.array(names))


def _share(size: int, weights: tuple[int, ...], fewest: int) -> list[int]:
    """Return `size` divided in proportion to `weights`, no part under `fewest` (Sainte-Laguë)."""
    shares = [fewest] * len(weights)
    for _ in range(size - sum(shares)):  # never takes one back, as largest remainders would
        shares[max(range(len(weights)), key=lambda i: weights[i] / (shares[i] + 0.5))] += 1
    return shares
