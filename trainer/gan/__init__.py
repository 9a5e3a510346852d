"""The networks, losses and the Keras model that trains them."""
