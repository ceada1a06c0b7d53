"""`--fast`: a first result in half the time.

The paper's way puts adapters into every layer, so that each step goes forward and back through the
whole encoder. `--fast` differs in two things, which anybody can ask for one by one:

- adapters in the top half of the layers only. The lower layers' adapters matter least (Houlsby et
  al. 2019, figure 6; Rücklé et al. 2021, AdapterDrop, arXiv 2010.11918), and what the layers below
  compute is the same in every epoch: each text goes through them once (`cached_layers`);
- an end when a fifth of the epochs, at least three in turn, has gained nothing on the development
  data. (A fifth is twice the warm-up, during which little is gained.)

Rate and epochs stay: fewer epochs at a higher rate lose more than they save. On MiniLM one point is
lost on sentiment, and much where the base has to learn something new, as to compare two texts or to
see bad grammar: docs/performance.md has the figures.
"""

from adapters.methods.method import Method
from adapters.methods.table import top_layers
from minibert.config import BertConfig
from minibert.errors import InputError

STOP_AFTER, STOP_SHARE = 3, 5  # epochs without gain: so many, or this part of all


def fast_method(method: Method, config: BertConfig) -> Method:
    """The method in the top half of the layers. Raises InputError for `full` and `head`, of which
    nothing was measured: they train all of a layer, or none."""
    if method.name in ("full", "head"):
        raise InputError(
            f"fast is for methods that add to each layer or tune a little of it, not {method.name}"
        )
    return top_layers(method, max(1, config.num_hidden_layers // 2), config)


def fast_stop(stop_after: int | None, epochs: int) -> int:
    """After how many epochs without gain a training of so many ends: as the user says
    (`stop_after`), or a fifth of them, at least STOP_AFTER."""
    return max(STOP_AFTER, epochs // STOP_SHARE) if stop_after is None else stop_after
