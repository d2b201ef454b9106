"""The project folder: heap-courier.yaml, its template and its schedules. Never a bucket or a warehouse."""
