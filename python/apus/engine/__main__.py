"""`python -m apus.engine`"""

import sys

if __name__ == "__main__":
    if sys.version_info < (3, 9):
        sys.exit("ipengine: Python %d.%d is too old: engines need 3.9 or later (choose one with --python=...)" % sys.version_info[:2])
    from apus.engine.app import main

    sys.exit(main(sys.argv[1:]))
