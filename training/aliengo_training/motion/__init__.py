"""Reference motions: reading, checking, smoothing, sampling, mirroring, writing and making them."""
