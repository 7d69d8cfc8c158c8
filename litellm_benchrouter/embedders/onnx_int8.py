"""The products of an ONNX graph in 8-bit integers, each number in one term or two.

One scale for all activations of a text leaves an encoder with few steps for most of them: behind
its feed-forward layers some are ten times the others. So what rounding leaves of the activations
is a second 8-bit term: two integer products for one, about sixteen bits. Weights have a scale for
each output channel, and a second term where rounding them turns the vectors most for what it costs:
in matrices that share their input (query, key and value of an attention) and in those that narrow
(the second of a feed-forward layer).

Nothing is calibrated: the same model gives the same graph, whatever the benchmark.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

_OWN = "com.microsoft"  # onnxruntime's own operators
_STEPS = 127


def quantise_products(model: Any) -> int:
    """Replace, in place, the products with constant matrices; the others stay as they are.

    Parameters
    ----------
    model : onnx.ModelProto
        In fp32, without quantised parts.

    Returns
    -------
    int
        How many products were replaced.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    products = {
        node.output[0]: node
        for node in graph.node
        if node.op_type == "MatMul" and _rank(constants, node.input[1]) == 2
    }
    shared = Counter(node.input[0] for node in products.values())
    biases = dict(_biases(graph, constants, products))
    absorbed = {added for _, added in biases.values()}
    writer = _Writer(constants)
    for node in graph.node:
        name = node.output[0]
        if name in products:
            bias, output = biases.get(name, ("", name))
            writer.product(node, bias, output, is_shared=shared[node.input[0]] > 1)
        elif name not in absorbed:
            writer.nodes.append(node)
    used = {name for node in writer.nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    _replace(graph.node, writer.nodes)
    _replace(graph.initializer, kept + writer.tensors)
    if not any(each.domain == _OWN for each in model.opset_import):
        model.opset_import.append(helper.make_opsetid(_OWN, 1))
    return len(products)


class _Writer:
    """The nodes and constants of the new graph."""

    def __init__(self, constants: dict[str, Any]) -> None:
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []
        self._constants = constants
        self._terms: dict[str, list[list[str]]] = {}

    def product(self, node: Any, bias: str, output: str, *, is_shared: bool) -> None:
        """Write `input @ matrix + bias` as a sum of integer products."""
        activations = self._activations(node.input[0])
        matrix = numpy_helper.to_array(self._constants[node.input[1]])
        width, outputs = matrix.shape
        n_terms = 2 if is_shared or width > outputs else 1
        weights = self._weights(matrix, f"{output}/weights", n_terms)
        # The product of both second terms would be below the rounding of what is there.
        pairs = [(activations[0], weights[0], bias), (activations[1], weights[0], "")]
        pairs += [(activations[0], second, "") for second in weights[1:]]
        total = ""
        for i, ((x, x_scale, x_zero), (w, w_scale), added) in enumerate(pairs):
            found = f"{output}/product{i}"
            given = [x, w, x_scale, w_scale, x_zero, "", added]
            self._write("MatMulIntegerToFloat", given, [found], domain=_OWN)
            if i:
                last = i == len(pairs) - 1
                self._write("Add", [total, found], [output if last else f"{output}/sum{i}"])
            total = f"{output}/sum{i}" if i else found

    def _activations(self, name: str) -> list[list[str]]:
        """Return (integers, scale, zero) of both terms of an input, written once."""
        if name not in self._terms:
            first, second = (
                [f"{name}/{part}{i}" for part in ("integers", "scale", "zero")] for i in (0, 1)
            )
            self._write("DynamicQuantizeLinear", [name], first)
            self._write("DequantizeLinear", first, [f"{name}/rounded"])
            self._write("Sub", [name, f"{name}/rounded"], [f"{name}/rest"])
            self._write("DynamicQuantizeLinear", [f"{name}/rest"], second)
            self._terms[name] = [first, second]
        return self._terms[name]

    def _weights(self, matrix: NDArray[np.float32], name: str, n_terms: int) -> list[list[str]]:
        """Return (integers, scales) of each term, a scale for each column."""
        found = []
        rest = matrix
        for i in range(n_terms):
            scale = np.abs(rest).max(axis=0) / np.float32(_STEPS)
            scale[scale == 0] = 1
            integers = np.rint(rest / scale).astype(np.int8)
            rest = rest - integers * scale
            found.append([f"{name}{i}", f"{name}{i}/scale"])
            for array, each in zip((integers, scale), found[-1], strict=True):
                self.tensors.append(numpy_helper.from_array(array, each))
        return found

    def _write(self, kind: str, given: list[str], found: list[str], domain: str = "") -> None:
        self.nodes.append(helper.make_node(kind, given, found, name=found[0], domain=domain))


def _biases(
    graph: Any, constants: dict[str, Any], products: dict[str, Any]
) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield (product, (bias, sum)) for products to which nothing but a constant row is added."""
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(output.name for output in graph.output)
    for node in graph.node:
        if node.op_type != "Add":
            continue
        for name, bias in (tuple(node.input), tuple(node.input)[::-1]):
            if name in products and uses[name] == 1 and _rank(constants, bias) == 1:
                yield name, (bias, node.output[0])


def _rank(constants: dict[str, Any], name: str) -> int | None:
    tensor = constants.get(name)
    is_float = tensor is not None and tensor.data_type == onnx.TensorProto.FLOAT
    return len(tensor.dims) if tensor is not None and is_float else None


def _replace(field: Any, values: list[Any]) -> None:
    values = [type(value).FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(values)
