"""What a bundle's job is: the descriptor, however it is written down."""
