"""``python -m launchday.cli`` is the command ``launchday``."""

from launchday.cli.main import main

if __name__ == "__main__":
    main()
