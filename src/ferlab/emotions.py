"""The seven classes of FER-2013, in the order that every array, file and table here uses."""

EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
"""Class names in canonical order: alphabetical, the order of the Kaggle folders."""

CSV_EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""The class of each code 0-6 in `fer2013.csv` and its kin: another order, met in files alone."""
