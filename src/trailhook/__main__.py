"""`python -m trailhook` is `trailhook`."""

from trailhook.cli.main import main

if __name__ == "__main__":
    main()
