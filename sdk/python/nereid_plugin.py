"""The module that componentize-py is given: it takes `plugin.py` in, and shows the host what the contract names.

Runs once, while the component is built; its memory then is what every instance begins with. Whatever `plugin.py`
imports and computes at its top level therefore costs no request anything.
"""

from nereid import batches, export
from wit_world import exports

import plugin  # noqa: F401  (registers itself)

if hasattr(exports, "Model"):
    export.check_registered(export.MODEL)

    class Model(batches.ExportedModel):
        """The interface `model`."""

else:
    export.check_registered(export.TRANSFORM)

    class Transform(export.ExportedTransform):
        """The interface `transform`."""
