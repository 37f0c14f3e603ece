"""The web server: homes, the durable job queue, the token authority and the API."""
