"""Takes docs/pictures again during the browser tests: `python -m scripts.pictures`. Needs a Chromium."""

import sys

from scripts.run_tests import run_pytest

if __name__ == "__main__":
    sys.exit(run_pytest(["-n", "0", "--pictures", "tests/browser"]))
