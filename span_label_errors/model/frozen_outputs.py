"""What frozen layers say of a window: the same in every epoch and every fold, so computed once and kept.

A window is computed by itself, whatever the batch it is in. So a run that reads what was kept and one that computes it
anew, as after an interruption, have the same bytes.
"""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch

from span_label_errors.model.network import SpanClassification, replaced_forward

_SHARE_OF_DISK = 0.25  # of what is free when the file is made; models and training states need some, too
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_LENGTH_OF_KEY = 16


class KeptOutputs:
    """Outputs of frozen layers, in a file without a name that is gone when it is closed, or this process ends.

    The operating system holds in memory what there is room for.

    Parameters
    ----------
    folder : Path
        Whose disk holds the file, of which it takes a quarter of what is free at most. What finds no room is not kept.
    """

    def __init__(self, folder: Path):
        # Unbuffered: each output is read and written in one piece.
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 # `close` closes it
        self._place_of: dict[bytes, int] = {}
        self._room = int(_SHARE_OF_DISK * shutil.disk_usage(folder).free)

    def read(self, key: bytes, output: torch.Tensor) -> bool:
        """Fill `output` with what is kept under `key`, and return whether there is anything."""
        place = self._place_of.get(key)
        if place is None:
            return False
        self._file.seek(place)
        self._file.readinto(_bytes_of(output))
        return True

    def keep(self, key: bytes, output: torch.Tensor) -> None:
        """Keep an output, if there is room."""
        if output.nbytes > self._room:
            return
        place = self._file.seek(0, os.SEEK_END)
        try:
            num_written = self._file.write(_bytes_of(output))
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            # A quota or a limit of files, which the free space of a disk does not show.
            self._room = 0
            return
        if num_written == output.nbytes:
            self._place_of[key] = place
            self._room -= num_written

    @property
    def num_bytes(self) -> int:
        """How much is kept."""
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        """Give the disk back; from now on, nothing is found or kept."""
        self._place_of, self._room = {}, 0
        self._file.close()


def _bytes_of(tensor: torch.Tensor) -> np.ndarray:
    return tensor.view(torch.uint8).numpy()


class FrozenLayers:
    """The frozen layers of a network on the processor, and the embeddings below them; `of` makes it."""

    def __init__(self, network: SpanClassification, precision: str, kept: KeptOutputs | None):
        self._network, self._precision, self._kept = network, precision, kept
        self._digest = _digest(network, precision)

    @classmethod
    def of(cls, network: SpanClassification, precision: str, kept: KeptOutputs | None = None) -> Self | None:
        """Return the frozen layers of a network; None if there are none, or they are no part by themselves.

        Parameters
        ----------
        network : SpanClassification
            Without dropout, or ready to predict.
        precision : {"float32", "bfloat16"}
        kept : KeptOutputs, optional
            Where outputs are looked for, and kept. Those of other weights, or another precision, are never found.
        """
        return cls(network, precision, kept) if network.frozen_layers and _are_a_part(network, precision) else None

    def of_batch(self, items: Sequence[dict[str, np.ndarray]]) -> torch.Tensor:
        """Return what the highest frozen layer says of each window of a batch, of shape (B, L, hidden size).

        `items` are what `windows.model_inputs` returns. Behind a window that is shorter than the longest are zeros.
        """
        lengths = [len(item["input_ids"]) for item in items]
        outputs = torch.zeros(len(items), max(lengths), self._network.config.hidden_size)
        for output, item, length in zip(outputs, items, lengths, strict=True):
            self._fill(output[:length], item["input_ids"], item["token_type_ids"])
        return outputs

    def _fill(self, output: torch.Tensor, *inputs: np.ndarray) -> None:
        key = hashlib.blake2b(self._digest + b"".join(map(bytes, inputs)), digest_size=_LENGTH_OF_KEY).digest()
        if self._kept is not None and self._kept.read(key, output):
            return
        output.copy_(_output(self._network, self._precision, *(torch.from_numpy(array)[None] for array in inputs))[0])
        if self._kept is not None:
            self._kept.keep(key, output)


def _output(
    network: SpanClassification, precision: str, input_ids: torch.Tensor, token_type_ids: torch.Tensor
) -> torch.Tensor:
    """Return the output of the highest frozen layer, of shape (B, L, hidden size); those above it do nothing."""
    found = []
    # The highest layer of all may be frozen, so that there is none above.
    with replaced_forward((*network.layers_above, network.dropout), lambda hidden, *_, **__: hidden):
        hook = network.frozen_layers[-1].register_forward_hook(lambda layer, inputs, output: found.append(output))
        try:
            _encode(network, precision, input_ids, token_type_ids)
        finally:
            hook.remove()
    return found[0]


def _encode(
    network: SpanClassification,
    precision: str,
    input_ids: torch.Tensor,
    token_type_ids: torch.Tensor,
    frozen_outputs: torch.Tensor | None = None,
) -> torch.Tensor:
    with torch.no_grad(), torch.autocast(input_ids.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        return network.encode(input_ids, torch.ones_like(input_ids), token_type_ids, frozen_outputs)


def _are_a_part(network: SpanClassification, precision: str) -> bool:
    """Return whether what a network says of a text is the same if the frozen layers' output is put in their place.

    Some encoders' layers hand on more than a vector for each token, are used several times, or have something between
    them.
    """
    outputs: list[object] = []
    layers = network.frozen_layers + network.layers_above
    hooks = [layer.register_forward_hook(lambda layer, inputs, output: outputs.append(output)) for layer in layers]
    texts = torch.linspace(0, network.config.vocab_size - 1, 8).long().reshape(2, 4), torch.zeros(2, 4).long()
    try:
        whole = _encode(network, precision, *texts)
    finally:
        for hook in hooks:
            hook.remove()
    is_vector = all(isinstance(output, torch.Tensor) and output.dtype == torch.float32 for output in outputs)
    if len(outputs) != len(layers) or not is_vector:
        return False
    return torch.equal(whole, _encode(network, precision, *texts, _output(network, precision, *texts)))


def _digest(network: SpanClassification, precision: str) -> bytes:
    """Return a hash of all that shapes the frozen layers' outputs."""
    digest = hashlib.blake2b(f"{network.config.model_type} {precision} {len(network.frozen_layers)}".encode())
    for name, weights in network.base_model.named_parameters():
        if not weights.requires_grad:
            digest.update(name.encode())
            digest.update(weights.detach().contiguous().numpy())
    return digest.digest()
