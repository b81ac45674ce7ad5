"""The seven classes of FER-2013, in the order that every array, file and table here uses."""

EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
"""Class names in canonical order: alphabetical, the order of the Kaggle folders."""
