"""The folders of the classifiers that a configuration names."""

import hydra

from ferlab.instantiate import conf_folder, plain
from ferlab.running.classifiers import folder_names


def test_a_long_search_has_a_folder_whose_name_is_not_too_long():
    def name(*tried):
        with hydra.initialize_config_dir(str(conf_folder()), version_base=None):
            search = f"+search.svm.C=[{','.join(map(str, tried))}]"
            config = hydra.compose("extract_and_fit", ["classifiers=[svm]", search])
            return folder_names(plain(config))["svm"]

    assert name(1, 10) == "svm-search-C-1_10"
    long, longer = name(*range(1, 99)), name(*range(1, 100))
    assert len(long) < 120
    assert long != longer
