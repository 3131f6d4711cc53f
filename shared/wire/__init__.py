"""HTTP shapes: OpenAI's and our own, as pydantic models at the border."""
