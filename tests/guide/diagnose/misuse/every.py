"""Every case of misuse: each of these modules enters its own into MISUSE."""

from tests.guide.diagnose.misuse import (  # noqa: F401
    binary,
    classes,
    everywhere,
    likelihood,
    pairs,
)
from tests.guide.diagnose.misuse.case import MISUSE  # noqa: F401
