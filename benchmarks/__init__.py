"""Side by side with the loops that people write: `python -m benchmarks`.

Each side trains the same nets on the same batches in a process of its own (`worker`), because
thread settings and allocators must not meet. The peers' modules in `sides` import neither nnstudy
nor each other's frameworks; what they are to train reaches them as files (`problem`). This module
imports nothing, so that a peer's interpreter needs no more than the peer.
"""
