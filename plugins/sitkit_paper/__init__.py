"""The paper as data: its figures and its claims, and whom of a run they are to be compared with.

Ranaldi and Freitas (2024), arXiv 2405.00402v1. tables.json holds Tables 1, 5, 10, 11, 13 and 14; claims.json what the
paper says, in words of ours that numbers can decide.
"""
