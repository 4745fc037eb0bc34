"""Where packets come from: `rtsp`, `pattern` (synthetic), `file` (looped). `base` is what they have in common."""
