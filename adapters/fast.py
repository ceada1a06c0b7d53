"""`--fast`: a first result in about 0.4 of the time, at the price of some quality.

The paper's way puts adapters into every layer, so that each step goes forward and back through the
whole encoder. Three changes save time:

- adapters in the top half of the layers only. The lower layers' adapters matter least (Houlsby et
  al. 2019, figure 6; Rücklé et al. 2021, AdapterDrop, arXiv 2010.11918), and what the layers below
  compute is the same in every epoch: each text goes through them once (`cached_layers`);
- 0.6 of the epochs, Houlsby's adapters at a rate of 2e-3;
- an end when three epochs in turn have gained nothing on the development data.

docs/performance.md has what it costs: little where a text is judged by its words, several points
where the base has to learn something new, such as to compare two texts.
"""

from adapters.methods.method import Method
from adapters.methods.table import top_layers
from minibert.config import BertConfig
from minibert.errors import InputError

EPOCHS, STOP_AFTER = 0.6, 3
RATES = {"adapters": 2e-3}  # of the methods that were measured in the top half


def fast_method(method: Method, config: BertConfig) -> Method:
    """The method in the top half of the layers. Raises InputError for `full` and `head`, of which
    nothing was measured: they train all of a layer, or none."""
    if method.name in ("full", "head"):
        raise InputError(
            f"fast is for methods that add to each layer or tune a little of it, not {method.name}"
        )
    return top_layers(method, max(1, config.num_hidden_layers // 2), config)


def fast_rate_epochs(method: str, rate: float, epochs: int) -> tuple[float, int]:
    """The learning rate and epochs to begin with, from the usual ones of the method and task."""
    return RATES.get(method, rate), max(1, round(EPOCHS * epochs))
