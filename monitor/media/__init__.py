"""The sealed room: cameras, the window, viewers. Writes nowhere; knows no person and no call."""
