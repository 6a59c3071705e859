"""Texts to the numbers that language models read, and back: `tokenizer.json` files, read by the host.

    class Embed(nereid.Transform):
        def __init__(self):
            # The model's own folder is granted as /model in plugin.toml.
            self.tokenizer = nereid.tokenizers.Tokenizer("/model/tokenizer.json", max_length=128)

        def run(self, request, inputs):
            encoded = self.tokenizer.encode(inputs["TEXT"])
            return nereid.infer("encoder", {"input_ids": encoded.ids, "attention_mask": encoded.mask})

A tokenizer may be kept between calls. What one instance read, the others find. No text is copied into the plugin's memory.
"""

from typing import NamedTuple

from wit_world.imports import tokenizers as host

from . import values
from .errors import raised_by_host
from .tensor import Tensor


class Encoded(NamedTuple):
    """What texts become: a row for each, INT64 `[texts, length]`."""

    ids: Tensor
    """Numbers of the tokens."""
    mask: Tensor
    """1 for a token, 0 for padding."""
    type_ids: Tensor
    """0 for the first text, 1 for the second of a pair."""


class Tokenizer:
    """A vocabulary, and the rules that cut texts into its tokens."""

    __slots__ = ("_handle",)

    def __init__(self, file: str | bytes, *, max_length: int | None = None, cut_beginning: bool | None = None):
        """From a file in a folder that the plugin was granted, or from the bytes of one. A text is cut to `max_length` tokens,
        special ones included (the file's own limit unless given); with `cut_beginning` it keeps its end."""
        options = values.options(max_length=max_length, cut_beginning=cut_beginning)
        with raised_by_host():
            if isinstance(file, str):
                self._handle = host.Tokenizer.open(file, options)
            else:
                self._handle = host.Tokenizer.from_bytes(bytes(file), options)

    @property
    def vocabulary_size(self) -> int:
        """How many tokens there are, added ones included."""
        return self._handle.vocabulary_size()

    def token_id(self, token: str) -> int | None:
        """The number of a token."""
        return self._handle.token_id(token)

    def token(self, id: int) -> str | None:
        """The token of a number."""
        return self._handle.token(id)

    def encode(
        self, texts: Tensor, pairs: Tensor | None = None, *, special_tokens: bool = True, length: int | None = None
    ) -> Encoded:
        """Every element of a BYTES tensor; with `pairs`, an element of each together. Every row has `length` tokens: as many as
        the longest, or as the file says, unless given."""
        options = values.options(special_tokens=special_tokens, length=length)
        with raised_by_host():
            encoding = self._handle.encode(texts._handle, pairs and pairs._handle, options)
        return Encoded(Tensor(encoding.ids), Tensor(encoding.mask), Tensor(encoding.type_ids))

    def decode(self, ids: Tensor, *, skip_special: bool = True) -> Tensor:
        """The texts of rows of token numbers, whole numbers along the innermost axis, as a BYTES tensor of the other axes."""
        with raised_by_host():
            return Tensor(self._handle.decode(ids._handle, values.options(skip_special=skip_special)))
