"""The stage: windows, time and people. It never loads torch."""

import time

BEGAN = time.perf_counter_ns() - time.process_time_ns()
"""When Python started, in ns on the clock of `time.perf_counter_ns()`: all that was computed before
this line was its own start. The process itself may be older, where a script has become it."""
