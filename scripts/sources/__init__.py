"""The public corpora, read from the files of their own sources into rows for JSONL."""
