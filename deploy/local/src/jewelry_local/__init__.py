"""The whole system on one machine: `make up` and `make demo`."""
