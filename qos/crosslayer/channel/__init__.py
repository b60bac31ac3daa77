"""The radio channel: path loss, fading, its memory, its estimation."""
