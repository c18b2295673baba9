"""Images: headers, decoding checks, JPEG conversion, drawn scenes."""
