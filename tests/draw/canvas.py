import numpy as np


def frame(height=180, width=320, value=100):
    return np.full((height, width, 3), value, np.uint8)


def changed(before, after):
    return (before != after).any(axis=2)


def near(pixels, color, tolerance=30):
    return (np.abs(pixels.astype(int) - np.array(color)) <= tolerance).all(axis=-1)


def box(*values):
    return np.array([values], np.float32)


def square_map(number=1):
    labels = np.zeros((180, 320), np.uint8)
    labels[60:110, 100:180] = number
    return labels


DIAMOND = np.float32([[[140, 40], [190, 85], [140, 130], [90, 85]]])
