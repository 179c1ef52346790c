"""Pages of metrics that are fetched instead of sent: targets, where they are found, and the process that scrapes them.

`runner` decides when, `fetch` gets one page within bounds, `addresses` says where a fetch may go, `file` and
`kubernetes` find targets, `delivery` hands the points to the ingest's pipeline, `python -m heliograph.scrape` runs it.
"""
