"""The command line of the proof: `vigil audit`, `vigil prove`."""
