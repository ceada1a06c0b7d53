"""How many texts were longer than the maximum length, and how much of them was lost."""

from collections.abc import Sequence

from minibert.tokenizer import Encoded


class CutTexts:
    """A count over all the encoded texts that it is called with. Printed, it is one line.

    texts, cut: how many, and how many of them were cut at `max_length`; tokens, lost: how many they
    had before, and how many of them were cut off.
    """

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length
        self.texts = self.cut = self.tokens = self.lost = 0

    def __call__(self, encoded: Sequence[Encoded]) -> None:
        """Count these texts, too."""
        self.texts += len(encoded)
        self.cut += sum(text.lost > 0 for text in encoded)
        self.lost += sum(text.lost for text in encoded)
        self.tokens += sum(len(text.ids) + text.lost for text in encoded)

    def add(self, other: "CutTexts") -> None:
        """Count the texts that another one has counted, too."""
        self.texts += other.texts
        self.cut += other.cut
        self.lost += other.lost
        self.tokens += other.tokens

    @property
    def counts(self) -> str:
        """The counts in words."""
        if not self.cut:
            return f"none of {self.texts:,}"
        share, tokens = 100 * self.cut / self.texts, 100 * self.lost / self.tokens
        texts = f"{self.cut:,} of {self.texts:,} ({share:.1f} %)"
        return f"{texts}, with {tokens:.1f} % of all tokens lost"

    def __str__(self) -> str:
        return f"texts cut at {self.max_length} tokens: {self.counts}"
