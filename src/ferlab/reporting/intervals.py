"""95 % intervals of accuracies, and of the difference of two."""

import math

_Z = 1.959964  # 97.5 % quantile of the standard normal distribution


def wilson_interval(accuracy: float, n: int) -> tuple[float, float]:
    """Return the 95 % score interval of an accuracy (Wilson 1927, JASA 22:209-212), in [0, 1].

    It stays honest for few images and near 0 and 1. Its centre lies closer to 50 % than
    `accuracy`, by less than 0.03 points from 7,178 images on.

    Args:
        accuracy: share of correct predictions, in [0, 1].
        n: the number of images it was measured on.

    Raises:
        ValueError: `n` is not positive.
    """
    if n < 1:
        raise ValueError(f"an accuracy needs at least one image; got n={n}")
    scale = 1 + _Z**2 / n
    centre = (accuracy + _Z**2 / (2 * n)) / scale
    half_width = _Z * math.sqrt(accuracy * (1 - accuracy) / n + _Z**2 / (4 * n**2)) / scale
    return max(centre - half_width, 0.0), min(centre + half_width, 1.0)


def paired_interval(n: int, first_alone: int, second_alone: int) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two accuracies on the same images.

    Wald's with half an image added to each of the four cells (Agresti & Min 2005, Statistics in
    Medicine 24:729-740), which holds its level for few discordant images too.

    Args:
        n: images.
        first_alone: those that the first gets right and the second wrong.
        second_alone: the reverse.
    """
    total, first, second = n + 2, first_alone + 0.5, second_alone + 0.5
    middle = (first - second) / total
    spread = math.sqrt(first + second - (first - second) ** 2 / total)
    half_width = _Z * spread / total
    return max(middle - half_width, -1.0), min(middle + half_width, 1.0)
