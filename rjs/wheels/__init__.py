"""Wheels and the lock that names them, as the packer and the compute server both read them. Nothing is installed."""

from rjs.wheels.archive import Wheel, open_wheel
from rjs.wheels.lock import LOCK_NAME, Choice, Target, choose, lock_from, read_lock, this_interpreter

__all__ = [
    "LOCK_NAME",
    "Choice",
    "Target",
    "Wheel",
    "choose",
    "lock_from",
    "open_wheel",
    "read_lock",
    "this_interpreter",
]
