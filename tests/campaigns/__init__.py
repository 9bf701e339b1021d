"""Campaigns against sitkit: kills, damaged files, hostile input, failing endpoints, full disks, many runs at once.

``python -m tests.campaigns --minutes 10`` runs them all and writes a JSON line a trial; `test_campaigns` runs a few.
"""
