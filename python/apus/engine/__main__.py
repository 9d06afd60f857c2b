"""`python -m apus.engine`"""

import sys

from apus.engine.app import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
