"""The adapters of Houlsby et al. 2019: everything that is trained per task. Start with
`bottleneck`. (Not AdapterHub's library of the same name; see the README.)"""

import minibert  # noqa: F401  chooses NumPy's kernels, before any module here imports NumPy

PROJECT = "minibert"
