"""The main job: `python train.py model=F optimizer=adam`, the same as `ferlab train`."""

import sys

from ferlab.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
