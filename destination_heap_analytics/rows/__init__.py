"""The rows of a file, in place of Airbyte messages: formats, compression, encoding. Never a column, or Heap."""
