"""`python -m lab`: the lab without the rest of Novella."""

import sys

from lab.cli import main

sys.exit(main())
