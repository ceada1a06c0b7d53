"""The adapters of Houlsby et al. 2019: everything that is trained per task. Start with
`bottleneck`. (Not AdapterHub's library of the same name; see the README.)"""

PROJECT = "minibert"
