"""Answers: the signed JARs in which outputs come home, plain or sealed for the submitter alone."""

__all__: list[str] = []
