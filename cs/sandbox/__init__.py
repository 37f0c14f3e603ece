"""What stands around a job's processes: cells, and the ways to make one (docs/sandbox.md).

``plan`` says what a cell is, ``walls`` raises it by our own calls to the kernel, ``bubblewrap`` words the same for
``bwrap``, ``probe`` finds by trying which of the two holds here. What runs before or inside a cell (``linux``,
``syscalls``, ``bpf``, ``plan``, ``walls``, ``inside``) loads nothing but the standard library.
"""

__all__: list[str] = []
