"""Whether a release breaks the clients of its services: their OpenAPI documents, fetched and compared."""
