"""``python -m sitkit``."""

from sitkit.cli import main

if __name__ == "__main__":
    main()
