"""``rjs doctor``: what is wrong with a server, a person's machine or an operator's folder.

``rules`` judge facts, ``look`` gathers them and changes nothing, ``examine`` makes the round. docs/doctor.md lists
every code.
"""

from rjs.doctor.examine import examine, examine_operator

__all__ = ["examine", "examine_operator"]
