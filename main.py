"""python main.py spec | check --config FILE | preview or write --config FILE --catalog FILE | resend FILE..."""

import sys

try:
    from destination_heap_analytics.destination import main
except ModuleNotFoundError as missing:
    sys.exit(f"{missing.name} is not installed here: run `source .venv/bin/activate`, or `pip install .` first.")
except KeyboardInterrupt:  # the imports take a second
    sys.exit(130)

if __name__ == "__main__":
    main()
