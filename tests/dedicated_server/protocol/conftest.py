"""A property test has no deadline an example: the first one loads the kernels, which takes a second."""

from __future__ import annotations

import hypothesis

hypothesis.settings.register_profile("kernels", deadline=None)
hypothesis.settings.load_profile("kernels")
