"""`python -m trailhook.demo.product …`: the command `trailhook`, tied to the life of the demo that started it."""

from trailhook.cli.main import main
from trailhook.parent import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    main()
