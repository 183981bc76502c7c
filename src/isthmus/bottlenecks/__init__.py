"""Bottlenecks: what happens to the code between encoder and decoder."""

from isthmus.bottlenecks.plain import PlainBottleneck

__all__ = ["PlainBottleneck"]
