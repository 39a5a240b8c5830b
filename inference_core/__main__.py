"""`python -m inference_core`: the command line."""

import sys

if __name__ == "__main__":
    try:
        from inference_core.cli.main import main

        status = main()
    except KeyboardInterrupt:  # while importing, before `main` takes care of it
        status = 130
    sys.exit(status)
