"""Catalogues as jobs: durable, counted, bounded, and never paid for twice.

```
 routers/catalogue, routers/jobs ── Jobs (service) ──┬── Store    jobs, items, events (adapters/job_store, SQL)
                                                     └── Engine   durable workflows (adapters/dbos_engine | inline)
                       Engine runs ── Work ──┬── Store
                                             └── Catalogue.process: one product, step by step
```

- `model`: what a job, an item and an event are. `ports`: the Protocols `Store`, `Engine`, `Keep`, `Webhooks`.
- `service.Jobs` is what HTTP asks: submit, wait, events, cancel, resume, review, edit, export, estimate. It reads and
  writes the store and tells the engine what to run; it never works on a product itself.
- `work.Work` is what an engine runs: `start` (options of the template, then a child per product), `product` (each paid
  call is a step whose result the engine keeps), `finish` (one workbook of all that went well, then the webhook). The
  last product to end starts `finish`. Ids of workflows are made of job, attempt and position: starting one twice is
  starting it once.
- The store's items hold what was paid for (fields and copy) beyond a workflow's life: `resume` goes on from there, and
  `export` writes the workbook again from them with a person's edits, without asking a model.
- An attempt is one run over a job's open items. A workflow of an older attempt finds that out and stops.

Nothing here imports grpc, fastapi or dbos: with `inline.InlineEngine` the same work runs in plain tasks.
"""
