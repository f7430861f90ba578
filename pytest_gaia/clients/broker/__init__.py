"""NATS: publish, request, listen, with the platform's payloads decoded."""
