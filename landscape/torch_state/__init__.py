"""What PyTorch keeps for a whole process: devices, precision and random state, memory."""
