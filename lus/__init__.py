"""The lookup server: discovers compute servers, leases tasks from the WS, places them, relays answers."""
