"""Delivers the orders of one region above an amount.

The broker hands over columns: what is wanted of a whole batch of messages, as one array a column.
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.filter import Batch, Plan, Subscription
from wit_world.exports.lifecycle import PluginContext, PluginInfo
from wit_world.imports.types import ColumnRequest, Shape, Source_Property, TextColumn

# What was opened, by the id that the broker gave it: region and least amount.
opened: dict[int, tuple[bytes, int]] = {}


class Lifecycle(exports.Lifecycle):
    def init(self, ctx: PluginContext) -> PluginInfo:
        return PluginInfo(name="orders", version="0.1.0", language="python")

    def self_check(self) -> None:
        """Raises a sentence when the plugin must not be put in service."""


class Filter(exports.Filter):
    def open(self, id: int, sub: Subscription) -> Plan:
        """Prepares for one topic and group; raises a sentence for the operator."""
        given = {pair.name: pair.value for pair in sub.params}
        for name in given:
            if name not in ("region", "above"):
                raise Err(f"unknown parameter `{name}`; known are region, above")
        try:
            above = int(given.get("above", "0"))
        except ValueError:
            raise Err(f"the parameter `above` is {given['above']!r}, expected a whole number")
        opened[id] = given.get("region", "eu").encode(), above
        columns = [
            ColumnRequest(Source_Property("region"), Shape.TEXT),
            ColumnRequest(Source_Property("amount"), Shape.INT),
        ]
        return Plan(columns=columns, tags=[], max_batch=0)

    def evaluate(self, id: int, batch: Batch) -> bytes:
        """One byte a message: 0 skip, 1 deliver, 2 cannot decide."""
        region, above = opened[id]
        regions, amounts = (column.value for column in batch.columns)
        verdicts = bytearray(batch.count)
        for index in range(batch.count):
            if text(regions, index) == region and is_present(amounts.present, index):
                verdicts[index] = amounts.values[index] > above
        return bytes(verdicts)


def text(column: TextColumn, index: int) -> bytes | None:
    """The text of message `index`, if it has one."""
    if not is_present(column.present, index):
        return None
    return column.data[column.offsets[index] : column.offsets[index + 1]]


def is_present(bitmap: bytes | None, index: int) -> bool:
    """Whether message `index` has a value: bit `index` of the bitmap, and all have one when there is none."""
    return bitmap is None or bitmap[index >> 3] & (1 << (index & 7)) != 0
