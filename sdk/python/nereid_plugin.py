"""The module that componentize-py is given: it takes `plugin.py` in, and shows the host what the contract names.

Runs once, while the component is built; its memory then is what every instance begins with. Whatever `plugin.py`
imports and computes at its top level therefore costs no request anything.
"""

from nereid import batches, export, full_models
from wit_world import exports

import plugin  # noqa: F401  (registers itself)

if hasattr(exports, "Completion"):
    export.check_registered(export.FULL_MODEL)

    class Model(batches.ExportedModel):
        """The interface `model`."""

    class Completion(full_models.ExportedCompletion):
        """The interface `completion`."""

    class Readiness(full_models.ExportedReadiness):
        """The interface `readiness`."""

    class Draining(full_models.ExportedDraining):
        """The interface `draining`."""

elif hasattr(exports, "Model"):
    export.check_registered(export.MODEL)

    class Model(batches.ExportedModel):
        """The interface `model`."""

else:
    export.check_registered(export.TRANSFORM)

    class Transform(export.ExportedTransform):
        """The interface `transform`."""
