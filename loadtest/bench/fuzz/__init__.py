"""HTTP APIs under requests that Schemathesis makes of their OpenAPI documents, right and wrong ones."""
