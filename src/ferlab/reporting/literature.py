"""Numbers that others have published, as they printed them."""

TABLE_3 = {
    "F": {"svm": 0.6110, "random_forest": 0.6344, "network_alone": 0.6293},
    "C": {"svm": 0.5933, "random_forest": 0.6183, "network_alone": 0.5972},
    "B": {"svm": 0.5644, "random_forest": 0.5759, "network_alone": 0.5602},
}
"""The report's Table 3: test accuracy of each classifier on the features of each network."""
