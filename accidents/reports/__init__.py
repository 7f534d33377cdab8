"""What people read: the model card, figures, maps, and the pages of predictions, quality and monitoring."""
