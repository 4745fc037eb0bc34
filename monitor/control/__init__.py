"""The room that may write: people, calls, configuration, journal. Never holds a frame."""
