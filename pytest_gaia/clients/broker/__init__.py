"""NATS: publish, request and subscribe, with decoded payloads."""
