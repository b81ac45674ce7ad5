"""`python -m ferlab STAGE [overrides]`: the same as `ferlab STAGE [overrides]`."""

import sys

from ferlab.cli import main

if __name__ == "__main__":
    sys.exit(main())
