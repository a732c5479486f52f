"""Rules, alerts and dashboard, made from code; `python -m deploy.monitoring.check` proves that they fit."""
