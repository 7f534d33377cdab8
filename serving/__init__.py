"""What runs next to a model: the model server's runtime, the API, the page. No training framework."""
