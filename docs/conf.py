"""How the documents become a site: `make docs`.

The pages under `reference/` are made from the product itself at every build, so they cannot be out of date.
"""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

from reference import write_reference  # noqa: E402 - lies beside this file

from trailhook import __version__  # noqa: E402

project = "Trailhook"
copyright = "Trailhook's authors"  # noqa: A001 - Sphinx's name
release = version = __version__

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]  # links to files of the repository that are no documents
exclude_patterns = ["_build", "images/README.md"]

html_theme = "furo"
html_title = "Trailhook"
html_show_sphinx = False
html_copy_source = False

write_reference(DOCS / "reference")
