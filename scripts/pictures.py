"""Takes docs/pictures again during the browser tests: `python -m scripts.pictures`. Needs a Chromium."""

import sys

from scripts.run_tests import run_pytest

if __name__ == "__main__":
    # In the order of the file: names that a later test gives to achievements would be in the menus.
    sys.exit(run_pytest(["-n", "0", "-p", "no:randomly", "--pictures", "tests/browser"]))
