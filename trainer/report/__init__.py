"""Looking at runs: what they left behind as films, tables and a page.

Everything here reads run folders, in buckets too, and needs no TensorFlow.
"""
