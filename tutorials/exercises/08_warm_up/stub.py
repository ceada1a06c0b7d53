r"""Exercise 8: warm-up, then linear decay.

The first steps of training are the wildest: the head is random, and Adam's means have seen little.
So fine-tuning BERT, in the paper, too (section 3.1), starts with a learning rate of 0, which rises
linearly to its full value and then falls linearly back to 0:

    factor
    1 |     /\
      |    /   \
      |   /      \
    0 +--/---------\--------> step
         0   |      total
             warm_up

The learning rate at a step is this factor times the peak rate. The steps are 0, 1, ..., total - 1;
the factor is 0 at step 0, 1 at step `warm_up`, and would be 0 at step `total`. With warm_up = 0
there is no rise: the factor is 1 at step 0 and falls from there.

(In the paper's released code, the decay starts at step 0, so the factor drops when the warm-up
ends. Here, follow the paper's text.)
"""


def warm_up_then_decay(step: int, total: int, warm_up: int) -> float:
    """The factor on the learning rate at a step. Three whole numbers, 0 <= warm_up < total and
    0 <= step < total -> float."""
    raise NotImplementedError


def learning_rates(peak: float, total: int, share: float) -> list[float]:
    """The learning rate of every training step, a list of `total` floats. `share` is the share of
    the steps that are warm-up (0.1 in the paper); share * total is rounded down to a whole number
    of steps."""
    raise NotImplementedError
