"""What ZenML's `bentoml` flavor needs beside it: Bentos built whole, proved, and their processes ended.

Traps of ZenML's deployer (0.98), which is for BentoML before 1.2: after its whole timeout it takes an ended
process for a running one; it passes on the whole environment, passwords included; if BentoML's port is
taken it looks at another. Traps of BentoML: it restarts a worker that fails at its start without end. Stack
traces of that, and of wrong requests to its own API, fill a log that nothing rotates. Workers outlive the
arbiter's process group.
"""
