"""python main.py spec | check --config FILE | write --config FILE --catalog FILE."""

from destination_heap_analytics.destination import main

if __name__ == "__main__":
    main()
