"""python main.py spec | check --config FILE | preview or write --config FILE --catalog FILE | resend FILE..."""

import os
import signal
import sys

# Until `write` watches for signals: for process 1 of a container, signals without a handler are ignored.
signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))

try:
    from destination_heap_analytics.cli import main
except ModuleNotFoundError as missing:
    sys.exit(f"{missing.name} is not installed here: run `source .venv/bin/activate`, or `pip install .` first.")
except OSError as failure:  # such as a process without a descriptor left
    sys.exit(f"The connector cannot be started: {failure.strerror}.")
except KeyboardInterrupt:
    sys.exit(130)

if __name__ == "__main__":
    main()
