"""Teachers behind any OpenAI-compatible endpoint."""
