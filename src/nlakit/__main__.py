"""``python -m nlakit`` is the command ``nlakit``."""

from nlakit.cli import main

if __name__ == "__main__":
    main()
