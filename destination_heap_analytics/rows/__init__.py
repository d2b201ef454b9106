"""The rows of a file, in place of Airbyte messages: formats, compression, encoding. Nothing about columns or Heap."""
