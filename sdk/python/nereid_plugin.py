"""The module that componentize-py is given: it takes `plugin.py` in, and shows the host what the contract names.

Runs once, while the component is built; its memory then is what every instance begins with. Whatever `plugin.py`
imports and computes at its top level therefore costs no request anything.
"""

from nereid import export

import plugin  # noqa: F401  (registers itself)

export.check_registered()


class Transform(export.Exported):
    """The interface `transform`."""
