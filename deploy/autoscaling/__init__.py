"""Autoscaling of the embedders on paper: loads are replayed through KEDA's and the HPA's formulas.

`python -m deploy.autoscaling`, or `make simulate-autoscaling`, prints what each metric to scale on would have cost and
missed. `chosen.toml` is what was chosen from it; `check` holds the manifests against it.
"""
