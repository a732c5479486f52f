"""Proof of the manifests without a cluster: `python -m deploy.check`, or `make check-deploy`.

Each overlay is built as `kubectl apply -k` would build it. What comes out is held against the code: variables against
the settings classes, ports and probes against the servers, allowed connections against the addresses that services are
told, times of grace against the deadlines that callers give.
"""
