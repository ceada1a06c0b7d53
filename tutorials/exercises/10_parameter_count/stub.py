"""Exercise 10: what adapters cost.

An adapter is two linear maps: down from d numbers to m, and up from m to d. A linear map has one
weight for each pair of an input and an output, and one bias for each output. Together, an adapter
has (section 2.1)

    2md + d + m

parameters. Each layer has two adapters, one for each sublayer. What a task trains and has to itself
is

    all adapters of all layers;
    every LayerNorm, with d gains and d biases: two in each layer, and one after the embeddings;
    the head, a linear map from d numbers to the task's C classes.

For many tasks the paper counts one frozen base and each task's own parameters, and gives the total
in units of the base (the column "total num params" of its tables):

    total = (base + tasks * own) / base

Full fine-tuning has a whole model for each task and shares none: its total is the number of tasks.
All arguments are whole numbers.
"""


def projection_parameters(d: int, m: int) -> dict[str, int]:
    """The numbers of parameters of an adapter's two linear maps: {"down": int, "up": int}."""
    raise NotImplementedError


def adapter_parameters(d: int, m: int, layers: int) -> int:
    """The number of parameters of all adapters in a BERT with this many layers. -> int."""
    raise NotImplementedError


def own_parameters(d: int, m: int, layers: int, classes: int) -> int:
    """The number of parameters that one task trains: adapters, LayerNorms and head. -> int."""
    raise NotImplementedError


def total(base: int, own: int, tasks: int) -> float:
    """All parameters for this many tasks with adapters, in units of the base. -> float."""
    raise NotImplementedError
