"""Who is who: names and roles, keys and certificates, invitations, enrolment, and mutual TLS between members."""

__all__: list[str] = []
