"""Students and teachers served by vLLM."""
