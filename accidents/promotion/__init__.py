"""Whether a challenger may become champion: gates, comparison, decision."""
