"""A small renderer of wrinkled garments, so that the example photos are wholly our own."""
