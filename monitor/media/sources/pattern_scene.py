"""What the synthetic camera sees: a calm recovery bay, someone at work in it, the bay's name and a clock.

Draws with OpenCV into arrays, and no more: no file, no clock (the moment is an argument), no encoder. Nothing in it is
a picture of anyone. It moves all the time, so that anyone can see that it is live.
"""

from __future__ import annotations

import math
import random
import time
import zlib

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

_SHIFT = 4  # OpenCV's fractional bits: figures move by sixteenths of a pixel
_FINE = 1 << _SHIFT
_SUPERSAMPLE = 2
_NOISE_FIELDS = 8
_LONGEST_LABEL = 36
_WALK_SECONDS = 18.0
_BREATH_SECONDS = 4.5
_SKIN: tuple[Colour, ...] = ((176, 196, 228), (128, 158, 200), (96, 124, 168), (150, 178, 216))
_BLANKETS: tuple[Colour, ...] = ((168, 142, 96), (150, 168, 112), (120, 140, 190), (176, 136, 142))
_WALLS: tuple[Colour, ...] = ((214, 224, 224), (222, 224, 212), (212, 220, 230), (220, 216, 222))
_SCRUBS: tuple[Colour, ...] = ((150, 128, 52), (128, 96, 60), (140, 140, 70), (120, 88, 96))

cv2.setNumThreads(1)  # a picture this small gains nothing from a pool
time.localtime()  # glibc reads the time zone now, and not when reading files is not possible any more


class Scene:
    """One bay. The same label always looks the same. `width` and `height` in pixels, both even."""

    def __init__(self, label: str, width: int, height: int) -> None:
        self._label = label if len(label) <= _LONGEST_LABEL else label[: _LONGEST_LABEL - 1] + "…"
        self._width, self._height = width, height
        self._scale = height / 360
        rng = random.Random(zlib.crc32(label.encode()))  # noqa: S311  (colours, not secrets)
        self._blanket, self._scrubs = rng.choice(_BLANKETS), rng.choice(_SCRUBS)
        self._wall, self._skin = rng.choice(_WALLS), rng.choice(_SKIN)
        self._carer_skin = rng.choice(_SKIN)
        self._phase = rng.random()
        self._font = cv2.FontFace("sans")
        self._background = self._paint_background()
        fields = np.random.default_rng(7).normal(0.0, 1.1, (_NOISE_FIELDS, height, width))
        self._noise = np.clip(np.rint(fields), -4, 4).astype(np.int8)
        self._frame = 0

    def draw(self, moment_ms: float) -> Image:
        """The picture of this moment (service time) as planar YUV 4:2:0, an array of (height * 3 / 2, width)."""
        picture = self._background.copy()
        seconds = moment_ms / 1000
        self._draw_carer(picture, seconds)
        self._draw_bed(picture, seconds)
        self._draw_text(picture, moment_ms)
        planes: Image = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420), np.uint8)
        luma = planes[: self._height]
        cv2.add(luma, self._noise[self._frame % _NOISE_FIELDS], dst=luma, dtype=cv2.CV_8U)
        self._frame += 1
        return planes

    # ---- what stands still -------------------------------------------------------------------------------------------

    def _paint_background(self) -> Image:
        factor = self._scale * _SUPERSAMPLE
        width, height = self._width * _SUPERSAMPLE, self._height * _SUPERSAMPLE
        floor = round(248 * factor)
        down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
        canvas = np.empty((height, width, 3), np.float32)
        canvas[:] = np.array(self._wall, np.float32) * (1.0 - 0.16 * down)
        canvas[floor:] = np.array((128, 146, 160), np.float32) * (0.86 + 0.3 * (down[floor:] - down[floor]))
        image = canvas.astype(np.uint8)

        def box(x: float, y: float, right: float, bottom: float, colour: Colour) -> None:
            start, end = (round(x * factor), round(y * factor)), (round(right * factor), round(bottom * factor))
            cv2.rectangle(image, start, end, colour, -1)

        box(0, 242, 640, 249, (188, 196, 198))  # skirting
        box(452, 40, 596, 172, (236, 240, 240))  # window, its sky and sill
        for row in range(52):
            box(460, 48 + row * 2.24, 588, 50.4 + row * 2.24, (244 - row, 226 - row // 3, 196 + row // 2))
        box(521, 48, 527, 164, (236, 240, 240))
        box(446, 168, 602, 177, (226, 232, 234))
        for fold in range(9):  # the bay's curtain, drawn aside
            shade = 14 * math.sin(fold * 1.9)
            box(12 + fold * 9, 52, 21 + fold * 9, 256, _shade((196, 186, 166), shade))
        box(0, 48, 128, 52, (150, 156, 160))
        box(392, 196, 446, 286, (164, 190, 208))  # bedside cabinet, two drawers, a lamp
        box(396, 204, 442, 232, (176, 202, 220))
        box(396, 238, 442, 266, (176, 202, 220))
        box(414, 216, 424, 219, (110, 130, 146))
        box(414, 250, 424, 253, (110, 130, 146))
        box(417, 168, 421, 196, (120, 136, 150))
        shade_at = np.array([[406, 168], [432, 168], [426, 142], [412, 142]], np.float32) * factor
        cv2.fillPoly(image, [shade_at.astype(np.int32)], (190, 226, 244))
        box(566, 222, 590, 258, (92, 116, 150))  # a plant by the window
        for angle in range(-70, 71, 20):
            tip = (578 + 34 * math.sin(math.radians(angle)), 222 - 44 * math.cos(math.radians(angle)))
            middle = (round((578 + tip[0]) / 2 * factor), round((222 + tip[1]) / 2 * factor))
            axes = (round(5.5 * factor), round(24 * factor))
            cv2.ellipse(image, middle, axes, angle, 0, 360, _shade((88, 142, 96), angle / 5), -1, cv2.LINE_AA)
        return self._with_light(image)

    def _with_light(self, image: Image) -> Image:
        """A glow by the lamp, light from the window on the floor, and the corners a little darker."""
        small = cv2.resize(image, (self._width, self._height), interpolation=cv2.INTER_AREA).astype(np.float32)
        rows, columns = np.mgrid[0 : self._height, 0 : self._width].astype(np.float32)
        rows, columns = rows / self._scale, columns / self._scale
        lamp = np.exp(-(((columns - 419) / 95) ** 2) - ((rows - 160) / 80) ** 2)
        floor = np.exp(-(((columns - 470) / 120) ** 2) - ((rows - 318) / 34) ** 2)
        corner = 1.0 - 0.24 * (((columns - 320) / 420) ** 2 + ((rows - 170) / 300) ** 2)
        lit = small * corner[..., None] + lamp[..., None] * (12.0, 26.0, 40.0) + floor[..., None] * (18.0, 22.0, 26.0)
        image_out: Image = np.clip(lit, 0, 255).astype(np.uint8)
        return image_out

    # ---- what moves --------------------------------------------------------------------------------------------------

    def _draw_bed(self, picture: Image, seconds: float) -> None:
        breath = math.sin(2 * math.pi * (seconds / _BREATH_SECONDS + self._phase))
        self._box(picture, 120, 214, 132, 318, (168, 176, 180))  # head board, frame, legs
        self._box(picture, 132, 286, 372, 296, (150, 158, 164))
        self._box(picture, 146, 296, 154, 322, (120, 128, 134))
        self._box(picture, 352, 296, 360, 322, (120, 128, 134))
        self._box(picture, 132, 262, 372, 286, (232, 236, 236))  # mattress
        self._ellipse(picture, 172, 256, 38, 13, (242, 246, 246), -8)  # pillow
        self._ellipse(picture, 178, 239, 15, 16, self._skin, 0)
        self._ellipse(picture, 171, 231, 15, 11, _shade((58, 74, 96), -20), -20)  # hair
        self._ellipse(picture, 178, 240, 13, 13, self._skin, 0)
        rise = 2.4 * breath
        self._ellipse(picture, 262, 268, 92, 26 + rise, self._blanket, 0)
        self._ellipse(picture, 232, 262, 52, 24 + rise * 1.4, _shade(self._blanket, 10), 0)
        self._box(picture, 170, 270, 368, 292, _shade(self._blanket, -12))
        self._ellipse(picture, 208, 262, 12, 17 + rise, (240, 244, 244), 10)  # the sheet, turned over
        for fold in range(5):
            x = 216 + fold * 34
            self._line(picture, (x, 272), (x + 6, 290), _shade(self._blanket, -26), 1.2)

    def _draw_carer(self, picture: Image, seconds: float) -> None:
        """Someone who walks to and fro behind the bed, and stands still at each end for a while."""
        turn = (seconds / _WALK_SECONDS + self._phase) % 1.0
        there = 1 - abs(2 * turn - 1)
        eased = min(1.0, max(0.0, (there - 0.12) / 0.76))
        x = 222 + 250 * (eased * eased * (3 - 2 * eased))
        step = math.sin(x / 7.0)
        moving = 0.0 < eased < 1.0
        swing = 9 * step if moving else 0.0
        bob = abs(step) * 1.6 if moving else 0.5 * math.sin(seconds * 1.3)
        top = 92 - bob
        dark = _shade(self._scrubs, -26)
        self._ellipse(picture, x, 292, 26, 5, (104, 120, 132), 0)  # shadow
        self._line(picture, (x - 6, top + 112), (x - 6 - swing, 286), dark, 13)
        self._line(picture, (x + 6, top + 112), (x + 6 + swing, 286), _shade(dark, 8), 13)
        self._ellipse(picture, x - 6 - swing + 3, 289, 9, 4, (236, 238, 238), 0)
        self._ellipse(picture, x + 6 + swing + 3, 289, 9, 4, (236, 238, 238), 0)
        self._line(picture, (x + 12, top + 52), (x + 18 - swing, top + 98), _shade(self._scrubs, -12), 9)
        self._ellipse(picture, x + 18 - swing, top + 101, 5, 5, self._carer_skin, 0)
        self._line(picture, (x, top + 58), (x, top + 108), self._scrubs, 32)
        self._line(picture, (x - 12, top + 52), (x - 18 + swing, top + 98), _shade(self._scrubs, 10), 9)
        self._ellipse(picture, x - 18 + swing, top + 101, 5, 5, self._carer_skin, 0)
        self._line(picture, (x, top + 30), (x, top + 42), self._carer_skin, 10)
        self._ellipse(picture, x, top + 22, 13, 16, self._carer_skin, 0)
        self._ellipse(picture, x - 1, top + 13, 14, 11, (50, 62, 84), 0)
        self._box(picture, x + 4, top + 58, x + 12, top + 68, (232, 236, 238))  # name badge

    def _draw_text(self, picture: Image, moment_ms: float) -> None:
        scale = self._scale
        clock = time.strftime("%H:%M:%S", time.localtime(moment_ms / 1000)) + f".{int(moment_ms / 100) % 10}"
        bar = picture[: round(34 * scale)]
        cv2.convertScaleAbs(bar, dst=bar, alpha=0.42)
        size, base = round(19 * scale), round(24 * scale)
        cv2.putText(picture, self._label, (round(14 * scale), base), (250, 250, 250), self._font, size, 500)
        left = self._width - round(122 * scale)
        for index, char in enumerate(clock):  # digit by digit in columns: the clock does not tremble
            narrow = sum(1 for before in clock[:index] if not before.isdigit())
            x = left + round((index * 12 - narrow * 5.5) * scale)
            cv2.putText(picture, char, (x, base), (250, 250, 250), self._font, size, 500)
        if int(moment_ms / 500) % 2 == 0:
            self._ellipse(picture, self._width / scale - 136, 17, 4.5, 4.5, (96, 214, 120), 0)

    # ---- brushes (coordinates of a picture 360 high) -----------------------------------------------------------------

    def _fine(self, x: float, y: float) -> tuple[int, int]:
        return round(x * self._scale * _FINE), round(y * self._scale * _FINE)

    def _ellipse(
        self, picture: Image, x: float, y: float, wide: float, high: float, colour: Colour, tilt: float
    ) -> None:
        cv2.ellipse(picture, self._fine(x, y), self._fine(wide, high), tilt, 0, 360, colour, -1, cv2.LINE_AA, _SHIFT)

    def _line(
        self, picture: Image, start: tuple[float, float], end: tuple[float, float], colour: Colour, thick: float
    ) -> None:
        width = max(1, round(thick * self._scale))
        cv2.line(picture, self._fine(*start), self._fine(*end), colour, width, cv2.LINE_AA, _SHIFT)

    def _box(self, picture: Image, x: float, y: float, right: float, bottom: float, colour: Colour) -> None:
        cv2.rectangle(picture, self._fine(x, y), self._fine(right, bottom), colour, -1, cv2.LINE_AA, _SHIFT)


def _shade(colour: Colour, by: float) -> Colour:
    blue, green, red = (max(0, min(255, round(part + by))) for part in colour)
    return blue, green, red
