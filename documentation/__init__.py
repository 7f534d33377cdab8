"""The documentation's site: pages, a reference made of the sources, links, checks."""
