"""The gradients of a loss for a dict of arrays: the backward pass itself.

autograd records a function as a graph: a node for each operation, with its parents and its VJP.
Going back through it, each node's gradient is complete once all nodes that use it have been seen;
then its VJP passes it on to the parents. `autograd.value_and_grad` does just this for one array,
but it takes a dict apart with operations of its own, which cost full fine-tuning two more passes
over all gradients. Here every array of the dict is a root of the graph.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from autograd import tracer
from autograd.core import VJPNode, add_outgrads
from autograd.util import toposort

Leaves = dict[str, np.ndarray]


def value_and_grads(loss: Callable[[dict[str, Any]], Any], leaves: Leaves) -> tuple[float, Leaves]:
    """loss(leaves), a scalar, and its gradient for every leaf, zeros for one that it does not use.

    The gradients of two leaves can be the same array: do not change them in place.
    """
    roots = {path: VJPNode.new_root() for path in leaves}
    with tracer.trace_stack.new_trace() as trace:
        boxes = {path: tracer.new_box(leaf, trace, roots[path]) for path, leaf in leaves.items()}
        value = loss(boxes)
    grads: dict[VJPNode, np.ndarray] = {}
    if tracer.isbox(value):
        grads = _backward(value._node, np.ones_like(value._value), set(roots.values()))
    used = {
        path: grads[root] if root in grads else np.zeros_like(leaves[path])
        for path, root in roots.items()
    }
    return float(tracer.getval(value)), used


def _backward(end: VJPNode, g: np.ndarray, roots: set[VJPNode]) -> dict[VJPNode, np.ndarray]:
    """From dLoss/dLoss = g at the graph's end to the gradients of its roots."""
    gradients = {end: (g, False)}  # with whether autograd made the array, so that it may add to it
    found = {}
    for node in toposort(end):  # every node after all those that use it
        gradient = gradients.pop(node)
        if node in roots:
            found[node] = gradient[0]
            continue
        for parent, part in zip(node.parents, node.vjp(gradient[0]), strict=True):
            gradients[parent] = add_outgrads(gradients.get(parent), part)
    return found
