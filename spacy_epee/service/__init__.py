"""Answers over HTTP: notes of many requests in batches, within limits, by a pipeline that can be replaced."""
