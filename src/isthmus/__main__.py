"""``python -m isthmus``: the command line, also for launchers that start a module."""

import sys

from isthmus.cli import main

sys.exit(main())
