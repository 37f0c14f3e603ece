"""The judging rules of ``rjs doctor``: facts in, findings out. No file, socket, clock or process is touched here."""
