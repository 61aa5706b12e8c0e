"""The stage: windows, time and people. It never loads torch."""
