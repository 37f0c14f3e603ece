"""What each task of a job is run with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from rjs.bundle.verify import OpenedBundle
from rjs.descriptor.model import Descriptor
from rjs.descriptor.task_file import TaskLines
from rjs.limits import MAX_TASK_FILE_BYTES


class TaskList:
    """The arguments of every task. A file of the bundle that lists them is read once, when one is first asked for."""

    def __init__(self, bundle: OpenedBundle, descriptor: Descriptor) -> None:
        self._bundle = bundle
        self._descriptor = descriptor

    def arguments(self, index: int) -> list[str]:
        """Those of task ``index``, which the job has: the common ones, then its own.

        Raises BundleRefusedError when the file that lists them is not what was signed.
        """
        return self._descriptor.expanded([*self._descriptor.args, *self._own(index)], index)

    def _own(self, index: int) -> Sequence[str]:
        each = self._descriptor.each_task
        if isinstance(each, str):
            return self._lines.words(index)
        return each[index] if each else ()

    @cached_property
    def _lines(self) -> TaskLines:
        return TaskLines(self._bundle.read(str(self._descriptor.each_task), MAX_TASK_FILE_BYTES))
