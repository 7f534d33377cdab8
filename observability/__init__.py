"""Prometheus, Alertmanager and Grafana as files: what is scraped, what is an alert, what is drawn."""
