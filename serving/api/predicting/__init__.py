"""From an accident to an answer: the model server asked, the prediction logged."""
