"""A picture for trained networks, which say nothing on noise: edges, shades, texture and a few lines of "text".

In: nothing. Out: the bytes of a PNG of WIDTH by HEIGHT, 8 bits, RGB, the same each time.
"""
import struct
import zlib

import numpy as np

WIDTH, HEIGHT, FINE = 640, 480, 2  # drawn FINE times as large, so that edges come out smooth


def over(picture, inside, colour):
    """Where `inside` is, the colour, [3] or [h, w, 3]."""
    picture[:] = np.where(inside[..., None], colour, picture)


def noise(random, h, w, size):
    """Smooth noise in [-1, 1]: random numbers every `size` pixels, and lines between them."""
    places = random.uniform(-1, 1, (h // size + 2, w // size + 2))
    for axis, extent in enumerate((h, w)):
        at = np.arange(extent) / size
        low, part = at.astype(int), (at % 1).reshape((-1, 1) if axis == 0 else (1, -1))
        places = np.take(places, low, axis) * (1 - part) + np.take(places, low + 1, axis) * part
    return places


def letters(random, x, y, left, top, height, rows, columns):
    """Cells of two by three strokes, as letters of no script."""
    across, down = (x - left) / (0.75 * height), (y - top) / (1.6 * height)
    column, row = np.floor(across).astype(int), np.floor(down).astype(int)
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows) & (down % 1 < 0.62) & (across % 1 < 0.7)
    strokes = random.uniform(0, 1, (rows, columns, 3, 2)) < 0.6
    strokes[random.uniform(0, 1, (rows, columns)) < 0.15] = False  # between words
    i, j = np.clip((down % 1 / 0.62 * 3).astype(int), 0, 2), np.clip((across % 1 / 0.7 * 2).astype(int), 0, 1)
    return inside & strokes[np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1), i, j]


def draw():
    """[HEIGHT, WIDTH, 3] in [0, 1]."""
    random = np.random.default_rng(1)
    h, w = HEIGHT * FINE, WIDTH * FINE
    y, x = (np.mgrid[0:h, 0:w] + 0.5) / FINE
    down = (y / HEIGHT)[..., None]
    picture = (1 - down) * (0.35, 0.55, 0.85) + down * (0.95, 0.85, 0.75)  # the sky
    picture += 0.06 * noise(random, h, w, 160)[..., None]
    over(picture, np.hypot(x - 500, y - 90) < 42, (1.0, 0.95, 0.7))
    hills = (250, 90, (0.42, 0.5, 0.55)), (300, 47, (0.3, 0.45, 0.3)), (370, 140, (0.36, 0.52, 0.2))
    for base, wave, colour in hills:
        shade = 1 + 0.25 * noise(random, h, w, 9) + 0.15 * noise(random, h, w, 70)
        over(picture, y > base + 30 * np.sin(x / wave) + 12 * np.cos(x / 31), shade[..., None] * colour)
    house, roof = (abs(x - 170) < 80) & (y > 250) & (y < 400), (y < 250) & (abs(x - 170) < (y - 180) * 1.4)
    mortar = (y % 12 < 1.5) | ((x + 12 * (y // 12 % 2)) % 24 < 1.5)
    over(picture, house, (0.8, 0.72, 0.62) - 0.12 * mortar[..., None])
    over(picture, roof, (0.6, 0.2, 0.15) * (0.8 + 0.2 * np.sin(y))[..., None])
    over(picture, house & (abs(x - 170) % 60 > 25) & (abs(y - 310) < 24), (0.2, 0.28, 0.36))
    sign = (x > 350) & (x < 590) & (y > 270) & (y < 430)
    over(picture, sign, (0.96, 0.96, 0.92))
    over(picture, letters(random, x, y, 365, 285, 20, 4, 14), (0.08, 0.08, 0.12))
    over(picture, (x > 462) & (x < 476) & (y >= 430), (0.35, 0.25, 0.18))
    picture += 0.015 * random.standard_normal(picture.shape)
    return np.clip(picture, 0, 1).reshape(HEIGHT, FINE, WIDTH, FINE, 3).mean((1, 3))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png():
    pixels = np.round(draw() * 255).astype(np.uint8).reshape(HEIGHT, -1)
    rows = np.pad(pixels, ((0, 0), (1, 0))).tobytes()  # a 0 before each row: no filter
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
