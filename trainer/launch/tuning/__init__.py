"""A search for better settings: many short runs, of which few go on."""
