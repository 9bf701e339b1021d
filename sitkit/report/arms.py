"""The lead overwrote this file by mistake (his own is lines.py now): whoever wrote Arm and rows_of, please write it again."""
