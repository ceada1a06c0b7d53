"""`--fast`: most of the quality in half the time.

The paper's way puts adapters into every layer, so that each step goes forward and back through the
whole encoder. `--fast` differs in two things, which anybody can ask for one by one:

- adapters in the top half of the layers only. The lower layers' adapters matter least (Houlsby et
  al. 2019, figure 6; Rücklé et al. 2021, AdapterDrop, arXiv 2010.11918), and what the layers below
  compute is the same in every epoch: each text goes through them once (`cached_layers`);
- an end when three epochs in turn have gained nothing on the development data.

Rate and epochs stay: fewer epochs at a higher rate lose more than they save. docs/performance.md
has what was measured, and where quality is lost.
"""

from adapters.methods.method import Method
from adapters.methods.table import top_layers
from minibert.config import BertConfig
from minibert.errors import InputError

STOP_AFTER = 3  # epochs without gain, unless the user says otherwise


def fast_method(method: Method, config: BertConfig) -> Method:
    """The method in the top half of the layers. Raises InputError for `full` and `head`, of which
    nothing was measured: they train all of a layer, or none."""
    if method.name in ("full", "head"):
        raise InputError(
            f"fast is for methods that add to each layer or tune a little of it, not {method.name}"
        )
    return top_layers(method, max(1, config.num_hidden_layers // 2), config)


def fast_stop(stop_after: int | None) -> int:
    """After how many epochs without gain a training ends: as the user says, or STOP_AFTER."""
    return STOP_AFTER if stop_after is None else stop_after
