"""What FER-2013's images are: of seven classes, in the order that all here uses, 48×48 pixels."""

EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
"""Class names in canonical order: alphabetical, the order of the Kaggle folders."""

CSV_EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""The class of each code 0-6 in `fer2013.csv` and its kin: another order, met in files alone."""

IMAGE_SIZE = 48
"""Side of an image, pixels."""
