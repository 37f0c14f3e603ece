"""The eyes of ``rjs doctor``: each module gathers facts of one kind, bounded in time, and changes nothing."""
