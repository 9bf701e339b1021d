"""sitkit in lm-eval: its tasks, and a student as lm-eval's language model."""
