"""Numbers that others have published, as they printed them, with what is known of their making."""

from dataclasses import dataclass

_CONV = "BatchNorm, ReLU, MaxPool, Dropout 0.25"
_DENSE = "BatchNorm, ReLU, Dropout 0.25"
TABLE_1 = (
    f"Conv 64 3×3, {_CONV}",
    f"Conv 128 5×5, {_CONV}",
    f"Conv 512 3×3, {_CONV}",
    f"Conv 512 3×3, {_CONV}",
    "Flatten",
    f"Dense 256, {_DENSE}",
    f"Dense 512, {_DENSE}",
    "softmax over 7",
)
"""The report's Table 1: Model F's layers."""

TABLE_1_PARAMETERS = 4_478_727
"""Of Model F, in Keras' count: 4,474,759 trainable, 3,968 statistics of batch normalisation."""

TABLE_2 = {
    "happy": (0.81, 0.84, 0.82, 1774),
    "sad": (0.48, 0.55, 0.51, 1247),
    "angry": (0.59, 0.52, 0.56, 958),
    "neutral": (0.55, 0.63, 0.58, 1233),
    "surprise": (0.74, 0.79, 0.77, 831),
    "fear": (0.53, 0.34, 0.41, 1024),
    "disgust": (0.52, 0.53, 0.53, 111),
    "macro avg": (0.60, 0.60, 0.60, 7178),
    "weighted avg": (0.63, 0.63, 0.62, 7178),
}
"""The report's Table 2: Model F's precision, recall, F1 and support, by class and on average."""

TABLE_3 = {
    "F": {"svm": 0.6110, "random_forest": 0.6344, "network_alone": 0.6293},
    "C": {"svm": 0.5933, "random_forest": 0.6183, "network_alone": 0.5972},
    "B": {"svm": 0.5644, "random_forest": 0.5759, "network_alone": 0.5602},
}
"""The report's Table 3: test accuracy of each classifier on the features of each network."""

REPORT_IMAGES = "PublicTest and PrivateTest, 7,178 images"
"""What the report judged on: the support of its Table 2."""


@dataclass(frozen=True)
class Cited:
    """A row of the report's Table 4.

    Attributes:
        approach: in the report's words.
        accuracy: in [0, 1].
        test_images: that it was measured on.
        protocol: what else is known of how it was measured.
    """

    approach: str
    accuracy: float
    test_images: str
    protocol: str


_REPORTS_PROTOCOL = "its words say 3,589 images; validation holds copies of training images"

TABLE_4 = (
    Cited(
        "fine-tuned VGGNet (Khaireddin & Chen 2021)",
        0.7328,
        "PublicTest, 3,589 images",
        "PrivateTest was the validation set; mean over ten crops",
    ),
    Cited("FERNet (Bodapati et al. 2022)", 0.6957, "not known", "only an abstract was readable"),
    Cited("Model F + random forest (the report)", 0.6344, REPORT_IMAGES, _REPORTS_PROTOCOL),
    Cited("Model F (the report)", 0.6293, REPORT_IMAGES, _REPORTS_PROTOCOL),
    Cited("Model F + SVM (the report)", 0.6110, REPORT_IMAGES, _REPORTS_PROTOCOL),
    Cited("CNN (Sarvakar et al. 2023)", 0.5561, "not known", "no list of layers is public"),
)
"""The report's Table 4, the highest accuracy first."""
