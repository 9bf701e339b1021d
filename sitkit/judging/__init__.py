"""A judge rates the quality of what a run's students answered (Appendix H of the paper); behind ``sitkit judge``."""
