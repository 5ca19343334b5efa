"""What the flows stand on: the machine, the daemons, the images, and the report."""
